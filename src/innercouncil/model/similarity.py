"""How far apart personas are in what they say: figures, verdicts and advice."""

from __future__ import annotations

from typing import Literal

import msgspec

TwinVerdict = Literal["twins", "distinct", "not sure"]
Remedy = Literal["none", "merge", "sharpen", "train an adapter", "ask more questions"]


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of a persona to a question."""

    persona: str
    """Slug."""
    question: int
    """Number of the question; answers of several personas to it are compared with each other only."""
    text: str
    draw: str = ""
    """What its random numbers came from, as a seed and a seat; answers with the same are not independent. Empty: like no
    other's."""


class Estimated(msgspec.Struct, frozen=True):
    """A figure with its 95% interval over questions or sessions."""

    value: float
    low: float
    high: float


class LinePair(msgspec.Struct, frozen=True):
    """Two lines of two prompts that say nearly the same."""

    one: str
    other: str
    similarity: float
    """Cosine, 0 to 1."""


class PairSimilarity(msgspec.Struct, frozen=True, kw_only=True):
    """Two personas against each other."""

    one: str
    other: str
    questions: int
    """That both answered."""
    independent: int = 0
    """Groups of them that share no random numbers: so many observations there are."""
    samples: int
    """Answers of both."""
    ratio: Estimated | None
    """Distance between the two over the distance within each one's own samples; 1 or less: indistinguishable. None where no
    question has two samples of each."""
    attribution: Estimated
    """Share of answers a classifier gives to the right one of the two; chance is one half."""
    swapped: float | None = None
    """Where there is no ratio: the chance of two voices as far apart as these if whose answer is whose were drawn by lot."""
    verdict: TwinVerdict
    prompt_overlap: float
    """Share of the lines of the two prompts that say nearly what a line of the other says."""
    same_lines: tuple[LinePair, ...]
    """The most alike first."""
    remedy: Remedy
    advice: str
    """In words, for a person."""


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of the kept votes without a persona."""

    persona: str
    sessions: int
    """It sat in where four answers or more stood and somebody voted."""
    wins: Estimated
    """Share of them it won, alone or tied with some of the others."""
    changes: Estimated
    """Share of them that it won alone, or whose other winners would be others without its answer and its ballot."""
    swings: Estimated
    """Share of them where it did not win alone, and yet its ballot, or its answer on the others', decided who did."""


class Behind(msgspec.Struct, frozen=True, kw_only=True):
    """A kept session that a report rests on."""

    session: str
    compared: tuple[str, ...] = ()
    """Slugs of the personas whose answers were compared."""
    counted: tuple[str, ...] = ()
    """Slugs of those who were left out of its vote, one at a time."""


class TwinReport(msgspec.Struct, frozen=True, kw_only=True):
    """All pairs of personas."""

    personas: tuple[str, ...]
    questions: int
    samples: int
    model: str
    """Empty where answers of kept sessions were compared."""
    attribution: Estimated
    """Over all personas at once."""
    chance: float
    pairs: tuple[PairSimilarity, ...]
    """The most alike first."""
    removals: tuple[Removal, ...]
    notes: tuple[str, ...] = ()
    sessions: tuple[Behind, ...] = ()
    """Newest first."""
