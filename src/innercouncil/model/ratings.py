"""Who answers best, in whose eyes, and how far that can be told: judgements, ratings, boards and gauges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

Voters = Literal["person", "models"]
Covariate = Literal["length", "formatting", "position", "own"]


class Judgement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How one judge ranked the answers to one question."""

    question: str
    """Session id; judgements of one question are never taken for independent."""
    topic: str = ""
    board: Voters
    judge: str = ""
    """Slug of the voter, empty for the person."""
    tiers: tuple[tuple[str, ...], ...]
    """Slugs of the competitors, best tier first; those in one tier are tied."""
    shown: tuple[str, ...]
    """All competitors in the order the judge saw them. Those in no tier come after all that are, in no order among
    themselves (the ballot had no room for them)."""
    length: Mapping[str, float] = {}
    """Slug -> characters of the answer."""
    formatting: Mapping[str, float] = {}
    """Slug -> share of the answer's lines that carry Markdown marks, 0 to 1."""


class Rating(msgspec.Struct, frozen=True, kw_only=True):
    """How strong a competitor is, with 95% intervals."""

    slug: str
    strength: float
    """Log-odds of being put before an average competitor of the board (Bradley & Terry 1952), style held equal."""
    low: float
    high: float
    win_rate: float
    """The same as a share: how often it is put before an average competitor where one is put before the other."""
    win_low: float
    win_high: float
    wins: int
    """Competitors it was put before, summed over judgements."""
    ties: int
    losses: int
    questions: int
    """Questions it was judged on."""
    first: int
    """Best place it may have: one more than the competitors whose whole interval lies above its own."""
    last: int
    """Worst place it may have."""


class Effect(msgspec.Struct, frozen=True):
    """How much something besides the competitor moves a judgement, in log-odds a unit, with its 95% interval."""

    name: Covariate
    value: float
    low: float
    high: float


class Gauge(msgspec.Struct, frozen=True, kw_only=True):
    """A bias of the judges: how often the favoured one of two equally good answers wins; 0.5 is no bias."""

    name: Covariate
    value: float
    low: float
    high: float
    meaning: str
    """What the figure says, in one sentence."""

    @property
    def shown(self) -> bool:
        """Whether the interval leaves no bias out."""
        return not self.low <= 0.5 <= self.high


class Unmeasured(msgspec.Struct, frozen=True):
    """A bias without a gauge: why it has none, and what would give it one."""

    name: Covariate
    why: str


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """The ratings by one kind of voter on one topic."""

    name: Voters
    topic: str = ""
    """Empty: all topics."""
    ratings: tuple[Rating, ...] = ()
    """Strongest first; neighbours whose intervals overlap are in no known order. Empty: not enough votes yet."""
    questions: int
    judgements: int
    missing: int = 0
    """Questions still needed before anything is drawn."""
    effects: tuple[Effect, ...] = ()
    gauges: tuple[Gauge, ...] = ()
    unmeasured: tuple[Unmeasured, ...] = ()
    warnings: tuple[str, ...] = ()
    trusted: bool = False
    """Whether nothing speaks against reading it; `warnings` say what does."""


class Standings(msgspec.Struct, frozen=True, kw_only=True):
    """Every board of a workspace."""

    boards: tuple[Board, ...]
    names: dict[str, str] = {}
    """Slug -> name of the persona as it last sat."""
    gone: tuple[str, ...] = ()
    """Slugs that are no longer among the personas, or archived."""
