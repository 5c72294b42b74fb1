"""The vocabulary of training data: rows, where their words come from, and what a run of preparing them found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, Protocol

import msgspec

from innercouncil.model.ports import ChatTurn

TuneMode = Literal["cpu", "8GB", "16GB", "32GB"]

OWN_WORDS: Final = "own words"
BY_HAND: Final = "by hand"
NEUTRAL: Final = "neutral"
REWRITTEN: Final = "rewritten by"
LOCAL: Final = "local model"
"""Kinds of rows: the last two are followed by the model's name."""


class TuneTarget(msgspec.Struct, frozen=True):
    """What rows are made for: the model that will be trained, and how long a row it can be trained on."""

    base: str
    max_length: int
    """Tokens of a whole row."""


TARGETS: Final[dict[TuneMode, TuneTarget]] = {
    "cpu": TuneTarget("qwen2.5:0.5b", 1024),
    "8GB": TuneTarget("qwen2.5:1.5b", 1024),
    "16GB": TuneTarget("qwen2.5:3b", 1024),
    "32GB": TuneTarget("qwen2.5:3b", 2048),
}
"""Memory of the machine -> what can be trained there; the arithmetic is in docs/tuning.md."""


class TrainingRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of persona_<slug>_train.jsonl; a trainer needs `messages` alone."""

    messages: tuple[ChatTurn, ...]
    """System (the persona's prompt; none in neutral rows), user, assistant."""
    id: str
    conversation: str
    """Empty where no conversation stands behind it."""
    sources: tuple[str, ...]
    """Ids of the messages it comes from."""
    kind: str
    tokens: int
    """Of the whole row in the base model's chat template."""

    @property
    def said(self) -> str:
        """What the assistant says: what is trained."""
        return self.messages[-1].content


class AwaitingRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of persona_<slug>_awaiting.jsonl: a question of the person that nobody has answered in the persona's voice.

    Whoever writes `assistant` there, or in the web app, makes a row of it.
    """

    user: str
    assistant: str = ""
    plain: str = ""
    """How the assistant of the export answered, possibly clipped: what to say is there, the voice is not."""
    why: str = ""
    """Why a model's answer was refused, where one was."""
    id: str
    conversation: str
    sources: tuple[str, ...]


class HandAnswer(msgspec.Struct, frozen=True):
    """An answer the person wrote to a message of theirs, as a persona."""

    message: str
    persona: str
    text: str


class Spread(msgspec.Struct, frozen=True):
    """Tokens of rows."""

    min: int = 0
    median: int = 0
    max: int = 0
    total: int = 0


class PartReport(msgspec.Struct, frozen=True, kw_only=True):
    """One file of rows."""

    rows: int
    conversations: int
    kinds: dict[str, int]
    tokens: Spread
    sha256: str


class PersonaReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a persona's messages."""

    slug: str
    name: str
    messages: int
    """Messages of the persona."""
    train: PartReport
    eval: PartReport
    awaiting: int
    left_out: dict[str, int]
    """Reason in words -> messages that gave no row, counted apart as own words and as questions."""
    refused: dict[str, int]
    """Reason in words -> answers of models that were not taken."""
    too_long: int
    """Rows left out because they have more tokens than `max_length`: training would cut the assistant's part off."""
    near_duplicates: int
    across: int
    """Of these, rows of the training part that are too like a held-out one."""
    voice_told: float | None
    """Share of held-out messages that the voice score places above the plain answer they got; None where no model wrote."""
    voice_gain: float | None
    """Mean by which taken answers of models sound more like the person than the plain ones, in log-odds."""
    notes: tuple[str, ...] = ()


class PrepareReport(msgspec.Struct, frozen=True, kw_only=True):
    """report.json."""

    mode: str
    base: str
    max_length: int
    tokens_by: str
    """What counted the tokens."""
    tokens_estimated: bool
    seed: int
    held_out: float
    neutral: float
    sources: tuple[str, ...]
    own: int
    questions: int
    """Most own words and questions of a persona."""
    personas: tuple[PersonaReport, ...]
    redacted: dict[str, int]
    """Kind -> number of replacements in everything that was looked at."""
    sha256: str
    """Over the digests of all files, in the personas' order."""


class TokenCounter(Protocol):
    """Counts the tokens of rows as the base model reads them."""

    @property
    def name(self) -> str:
        """What counts, in words."""
        ...

    @property
    def estimated(self) -> bool:
        """Whether the numbers are estimates."""
        ...

    def count(self, messages: Sequence[ChatTurn]) -> int:
        """Tokens of a whole row in the chat template, the assistant's end included. Raises BackendError."""
        ...
