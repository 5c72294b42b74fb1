"""Was the council worth it? Its final answers against the two baselines', judged blindly."""

from __future__ import annotations

from typing import Literal

import msgspec

from innercouncil.model.council import Part

Verdict = Literal["yes", "no", "not known yet"]
PERSON = ""
"""Name of the judge who is the person."""


class WorthVote(msgspec.Struct, frozen=True, kw_only=True):
    """One blind judgement of the final answers of a session."""

    session: str
    judge: str
    """PERSON, or the label of a model."""
    shown: tuple[Part, ...]
    """In the order they were seen."""
    tiers: tuple[tuple[Part, ...], ...]
    """Best first; parts in one tier are tied."""


class WorthTrial(msgspec.Struct, frozen=True, kw_only=True):
    """A session that can be judged: its final answers, nobody told whose they are."""

    session: str
    question: str
    answers: tuple[str, ...]


class Contest(msgspec.Struct, frozen=True, kw_only=True):
    """The council's final answer against one baseline's, over all sessions of one kind of judge."""

    baseline: Part
    judge: Literal["person", "models"]
    wins: int
    """Sessions in which the council's answer was put before the baseline's."""
    losses: int
    ties: int
    judgements: int
    """That the sessions rest on. Several judges make one outcome of a session: what most of them say, or a tie."""
    share: float
    """Wins among the decided ones, 0.5 where none is."""
    low: float
    high: float
    """95% confidence sequence of `share`: it holds at whatever moment one looks."""
    evidence: float
    """E-value against one half: 20 or more is reached by chance at most once in twenty meters, however often one looks."""
    verdict: Verdict
    words: str

    @property
    def sessions(self) -> int:
        """Sessions that were judged."""
        return self.wins + self.losses + self.ties

    @property
    def basis(self) -> str:
        """What it rests on, for a person."""
        sessions = f"{self.sessions} session{'s' if self.sessions != 1 else ''}"
        return sessions if self.judgements == self.sessions else f"{sessions} with {self.judgements} judgements"


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What one way of answering takes, mean over the newest sessions that have it."""

    part: Part
    sessions: int
    seconds: float
    tokens: float
    """Read and written, as the backend counted them; 0 where it did not."""


class Worth(msgspec.Struct, frozen=True, kw_only=True):
    """The meter."""

    verdict: Verdict
    words: str
    contests: tuple[Contest, ...]
    costs: tuple[Cost, ...]
    sessions: int
    """Sessions with at least one baseline."""
    waiting: int
    """Of those, not yet judged by the person."""
    notes: tuple[str, ...] = ()
