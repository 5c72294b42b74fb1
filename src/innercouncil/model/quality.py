"""How good prompts are: what `innercouncil evaluate prompts` finds."""

from __future__ import annotations

import msgspec


class Accuracy(msgspec.Struct, frozen=True, kw_only=True):
    """Balanced accuracy of attribution."""

    value: float
    low: float
    """Lower end of the 95% interval (bootstrap over conversations)."""
    high: float
    chance: float
    messages: int
    unanswered: int = 0
    """Messages the judge gave no valid answer for; they count as wrong."""
    by_persona: tuple[float, ...] = ()


class Difference(msgspec.Struct, frozen=True):
    """One set of prompts against another on the same messages."""

    name: str
    value: float
    low: float
    high: float


class Style(msgspec.Struct, frozen=True, kw_only=True):
    """How close generated answers come to the person's held-out words, as means over the personas."""

    delta: float
    """Burrows's Delta of the most frequent words, 0 for the same style; about 1 is as far as two of one's chats are."""
    nearest_own: float
    """Share of personas whose answers are nearer to their own voice than to any other persona's."""
    length_ratio: float
    """Median words of an answer over median words of a message."""
    marker_distance: float
    """Jensen-Shannon distance of the reasoning markers, 0 to 1."""
    answers: int


class PromptSet(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured for one way of prompting."""

    name: str
    tokens: int
    """Mean length of the prompts."""
    attribution: Accuracy
    """By the offline scorer, which reads words."""
    judged: Accuracy | None = None
    """By the model."""
    style: Style | None = None
    prompt_distinctness: float
    """1 less the mean cosine similarity of two personas' prompts (TF-IDF), 0 to 1."""
    answer_distinctness: float | None = None
    """The same of two personas' answers to one question."""


class PromptQuality(msgspec.Struct, frozen=True, kw_only=True):
    """Contents of prompt_quality.json."""

    personas: tuple[str, ...]
    messages: int
    """Held-out messages."""
    conversations: int
    """Held-out conversations; the prompts were made from the others."""
    seed: int
    judge: str | None
    questions: int
    sets: tuple[PromptSet, ...]
    differences: tuple[Difference, ...]
    """Of attribution by the offline scorer, and by the model where one judged."""
    notes: tuple[str, ...] = ()
