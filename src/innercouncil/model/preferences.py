"""A person's votes as rows to learn from: pairs of answers (DPO), or single ones liked or not (KTO)."""

from __future__ import annotations

from typing import Literal

import msgspec

from innercouncil.model.ports import ChatTurn

PreferenceKind = Literal["dpo", "kto"]
VoteSource = Literal["session", "ab"]


class DpoRow(msgspec.Struct, frozen=True, kw_only=True):
    """A line of preferences_<slug>_dpo.jsonl: the persona's answer that was preferred, and one it was put before."""

    prompt: tuple[ChatTurn, ...]
    chosen: tuple[ChatTurn, ...]
    rejected: tuple[ChatTurn, ...]
    source: VoteSource = "session"
    own: bool = False
    """Whether the rejected answer is the persona's too."""


class KtoRow(msgspec.Struct, frozen=True, kw_only=True):
    """A line of preferences_<slug>_kto.jsonl: an answer of the persona, and whether it was liked."""

    prompt: tuple[ChatTurn, ...]
    completion: tuple[ChatTurn, ...]
    label: bool
    source: VoteSource = "session"


class PreferenceReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an export of preferences found."""

    persona: str
    kind: PreferenceKind
    file: str
    eval_file: str
    """Empty: nothing is held out."""
    rows: int
    held_out: int
    questions: int
    sources: dict[str, int]
    """session, ab -> rows."""
    own: int
    """Pairs of two answers of the persona."""
    liked: int
    """Rows of KTO with an answer that was liked."""
    chosen_words: float
    """Median of the preferred (or liked) answers."""
    rejected_words: float
    left_out: dict[str, int]
    """Reason in words -> votes that gave no row."""
    redacted: dict[str, int]
    """Kind -> number of replacements."""
    notes: tuple[str, ...] = ()


class Continued(msgspec.Struct, frozen=True, kw_only=True):
    """How an adapter was continued from preferences; stands on its card."""

    method: PreferenceKind
    parent: str
    """Id of the adapter it was before."""
    data_digest: str
    rows: int
    eval_rows: int
    beta: float
    loss_before: float | None
    """Held-out preference loss."""
    loss_after: float | None
    right: float | None
    """Share of held-out pairs in which the chosen answer gained on the rejected one; None for KTO."""
