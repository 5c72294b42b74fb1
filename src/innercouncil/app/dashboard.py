"""What the dashboard shows, read from the workspace: standings once for each state of the database, reports as they are kept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from innercouncil.app import worth
from innercouncil.app.council import House
from innercouncil.app.standings import load
from innercouncil.app.standings import standings as all_standings
from innercouncil.model.adherence import AdherenceReport
from innercouncil.model.ratings import Judgement, Standings
from innercouncil.model.similarity import TwinReport
from innercouncil.model.worth import PERSON, Worth, WorthVote
from innercouncil.store.database import Database
from innercouncil.store.judgements import JudgementStore, VotedSession
from innercouncil.store.workspace import Workspace
from innercouncil.store.worth import WorthStore

T = TypeVar("T")


class Kept(msgspec.Struct, Generic[T], frozen=True):
    """A report that a command made."""

    made_at: str
    """UTC, ISO 8601; empty where there is none."""
    report: T | None
    problem: str = ""
    """Why a file that is there cannot be read, in one sentence."""


class _Cached(Generic[T]):
    """A value of the database, computed again only after something was written."""

    def __init__(self, house: House, compute: Callable[[], T], lock: threading.Lock) -> None:
        self._house, self._compute, self._lock = house, compute, lock
        self._found: tuple[tuple[int, int, int], T] | None = None

    def get(self) -> T:
        # Whoever comes while it is computed waits for it instead of computing it too.
        with self._lock:
            state = self._house.database.state()
            if self._found is None or self._found[0] != state:
                self._found = state, self._compute()
            return self._found[1]


class Figures:
    """The figures of a house; every method may take seconds and belongs into a thread."""

    def __init__(self, house: House) -> None:
        self.house = house
        lock = threading.Lock()  # of both, which measure the same answers: the second finds what the first has kept
        self._standings = _Cached(house, lambda: all_standings(house.workspace), lock)
        self._judgements = _Cached(house, lambda: _load(house.workspace), lock)

    def standings(self) -> Standings:
        """Every board. Raises WorkspaceError."""
        return self._standings.get()

    def judgements(self) -> list[Judgement]:
        """Every vote. Raises WorkspaceError."""
        return self._judgements.get()

    def names(self) -> dict[str, str]:
        """Slug -> name of every persona there is, or that ever sat."""
        sat = JudgementStore(self.house.database).names()
        return sat | {p.slug: p.card.name for p in self.house.cards.all(archived=True)}

    def answered(self) -> list[VotedSession]:
        """Every session in which an answer stands."""
        return list(JudgementStore(self.house.database).sessions().values())

    def twins(self) -> Kept[TwinReport]:
        """What `evaluate twins` found last."""
        return kept(self.house.workspace.prompts / "twins.json", TwinReport, "innercouncil evaluate twins")

    def adherence(self) -> Kept[AdherenceReport]:
        """What `evaluate adherence` found last."""
        return kept(self.house.workspace.adherence, AdherenceReport, "innercouncil evaluate adherence")

    def worth(self) -> Worth:
        """The worth-it meter."""
        return worth.meter(self.house.database)

    def worth_votes(self, baseline: str, judge: str) -> list[WorthVote]:
        """The judgements behind a line of the meter, oldest first; `judge` is person or models."""
        return [
            v
            for v in WorthStore(self.house.database).votes()
            if (v.judge == PERSON) == (judge == "person")
            and {"council", baseline} <= {part for tier in v.tiers for part in tier}
        ]


def _load(workspace: Workspace) -> list[Judgement]:
    # A connection of its own: reading many votes would keep the house's from a session that is being held.
    database = Database(workspace.database)
    try:
        return load(JudgementStore(database), workspace)
    finally:
        database.close()


def kept(path: Path, type_: type[T], command: str) -> Kept[T]:
    """A report of a command, as far as there is one that can be read."""
    try:
        made = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
        return Kept(made, msgspec.json.decode(path.read_bytes(), type=type_))
    except FileNotFoundError:
        return Kept("", None)
    except (OSError, msgspec.MsgspecError):
        return Kept("", None, f"{path.name} cannot be read; `{command}` makes it anew.")
