"""What an adapter has to show before it may serve: gates, their outcomes and the figures behind them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

GateName = Literal["perplexity", "voice", "forgetting", "copying", "privacy"]
GateOutcome = Literal["pass", "fail", "open"]
"""open: it could not be told."""
CheckKind = Literal["number", "exactly", "exactly_case", "says", "json", "csv", "lines", "pattern", "declines"]


class NeutralTask(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question whose answer a program can check (tuning/neutral_tasks.jsonl)."""

    id: str
    area: Literal["arithmetic", "format", "instruction", "refusal", "language"]
    question: str
    check: CheckKind
    expected: Any
    """number: the number. exactly: any of these texts, without case (exactly_case: with it). says: any of these words. json,
    csv: the parsed value. lines: the lines without bullets. pattern: a regular expression for the whole answer."""
    most_words: int = 0
    """Of says: most words of the answer, 0 for any number."""


class Share(msgspec.Struct, frozen=True):
    """A figure with its 95% interval."""

    value: float
    low: float
    high: float


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """One gate."""

    name: GateName
    outcome: GateOutcome
    words: str
    """What was found, in one or two sentences; never a text of a row or an answer."""
    figures: dict[str, float | int | None] = {}


class GateReport(msgspec.Struct, frozen=True, kw_only=True):
    """gates.json: what an adapter showed on one base, with one prompt."""

    adapter: str
    """Name under which it is served: the persona and the beginning of its digest."""
    sha256: str
    """Of adapter.gguf."""
    base: str
    """File name of the GGUF it was served on."""
    base_sha256: str
    prompt_sha256: str
    """Of the system prompt that both sides had."""
    data_sha256: str
    """Of the training rows that were compared with; empty where they were not there."""
    seed: int
    gates: tuple[Gate, ...]
    passed: bool
    """No gate failed, and forgetting, copying and privacy could be told."""
    notes: tuple[str, ...] = ()

    @property
    def blocking(self) -> tuple[str, ...]:
        """Names of the gates because of which it is not passed."""
        return tuple(g.name for g in self.gates if g.outcome == "fail" or (g.outcome == "open" and g.name in MUST_KNOW))


MUST_KNOW: tuple[GateName, ...] = ("forgetting", "copying", "privacy")
"""Gates that may not stay open; whether the voice is nearer can be told by an A/B test as well."""
