"""Whose answers win: the boards of a workspace, from every vote in its database."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
from threadpoolctl import threadpool_limits

from innercouncil.evaluation.ratings import boards
from innercouncil.model.conversation import Message
from innercouncil.model.errors import WorkspaceError
from innercouncil.model.ratings import Judgement, Standings
from innercouncil.store.database import Database
from innercouncil.store.judgements import JudgementStore, VotedSession
from innercouncil.store.workspace import Workspace

if TYPE_CHECKING:
    from innercouncil.discovery.labeller import Labeller

VERSION: Final = 1
"""Of what is measured on an answer; another number measures all of them again."""
BATCH: Final = 500
"""Sessions whose texts are in memory at a time."""
_MARKED_RE: Final = re.compile(r"^\s*(?:#{1,6} |[-*+] |\d+[.)] |>|```|\|)|\*\*\S|__\S|`[^`\n]+`", re.MULTILINE)


class SessionStyle(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the boards need of a session's texts; no word of them is kept."""

    finished_at: str
    topic: str
    length: dict[str, float]
    formatting: dict[str, float]


class Styles(msgspec.Struct):
    """Those of all sessions, by session id; the file they are kept in."""

    version: int
    sessions: dict[str, SessionStyle]


def standings(workspace: Workspace) -> Standings:
    """Every board: the person's and the models', over all topics and for each. Raises WorkspaceError."""
    workspace.prepare()
    database = Database(workspace.database)
    try:
        store = JudgementStore(database)
        judgements = load(store, workspace)
        names, there = store.names(), store.personas()
    finally:
        database.close()
    with threadpool_limits(limits=1):  # the same last digits everywhere; and threads gain nothing on tables this narrow
        found = (*boards(judgements, "person"), *boards(judgements, "models"))
    shown = sorted({r.slug for b in found for r in b.ratings})
    return Standings(
        boards=found, names={s: names.get(s, s) for s in shown}, gone=tuple(s for s in shown if s not in there)
    )


def load(store: JudgementStore, workspace: Workspace) -> list[Judgement]:
    """Every vote as a judgement."""
    sessions = store.sessions()
    votes = [(n, tiers) for n, tiers in store.votes() if n in sessions]
    ballots = [(n, paper) for n, paper in store.ballots() if n in sessions]
    styles = _styles(store, workspace, {n: sessions[n] for n in {*(n for n, _ in votes), *(n for n, _ in ballots)}})
    names = _Names()
    out: list[Judgement] = []
    for number, told in votes:
        session, style = sessions[number], styles.get(number, _NONE)
        if tiers := names.tiers(session.seats, told):
            out.append(
                Judgement(
                    question=session.id, topic=style.topic, board="person", tiers=tiers, length=style.length,
                    formatting=style.formatting, shown=(),  # where the person saw each is not kept
                )
            )  # fmt: skip
    for number, paper in ballots:
        session, style = sessions[number], styles.get(number, _NONE)
        tiers, shown = names.ranking(session.seats, paper.ranking), names.seats(session.seats, paper.shown)
        if tiers and len(set(shown)) == len(shown):
            out.append(
                Judgement(
                    question=session.id, topic=style.topic, board="models", judge=session.seats.get(paper.voter, ""),
                    tiers=tiers, shown=shown, length=style.length, formatting=style.formatting,
                )
            )  # fmt: skip
    return out


class _Names:
    """From seats to slugs. The same few rankings come again and again; each is told once, and equal ones are one object."""

    def __init__(self) -> None:
        self._told: dict[tuple[object, ...], Any] = {}

    def seats(self, seats: Mapping[int, str], told: tuple[int, ...]) -> tuple[str, ...]:
        """In the order told; a seat whose answer does not stand is left out."""
        found: tuple[str, ...] | None = self._told.get(key := (id(seats), told))
        if found is None:
            found = self._told[key] = tuple(seats[s] for s in told if s in seats)
        return found

    def tiers(self, seats: Mapping[int, str], told: tuple[tuple[int, ...], ...]) -> tuple[tuple[str, ...], ...]:
        """Tier by tier."""
        found: tuple[tuple[str, ...], ...] | None = self._told.get(key := (id(seats), told))
        if found is None:
            tiers = (self.seats(seats, t) for t in told)
            found = self._told[key] = tuple(t for t in tiers if t)
        return found

    def ranking(self, seats: Mapping[int, str], told: tuple[int, ...]) -> tuple[tuple[str, ...], ...]:
        """One to a tier."""
        found: tuple[tuple[str, ...], ...] | None = self._told.get(key := (id(seats), -1, told))
        if found is None:
            found = self._told[key] = tuple((s,) for s in self.seats(seats, told))
        return found


_NONE: Final = SessionStyle("", "", {}, {})


def marked(text: str) -> float:
    """Share of the lines of an answer that carry Markdown marks, 0 to 1."""
    lines = [line for line in text.splitlines() if line.strip()]
    return round(sum(bool(_MARKED_RE.search(line)) for line in lines) / len(lines), 4) if lines else 0.0


def _styles(
    store: JudgementStore, workspace: Workspace, sessions: Mapping[int, VotedSession]
) -> dict[int, SessionStyle]:
    """Topic and style of each session, measured once; those of deleted sessions are dropped."""
    kept = _kept(workspace)
    out = {
        n: kept[s.id] for n, s in sessions.items() if s.id in kept and s.finished_at and kept[s.id].finished_at == s.finished_at
    }  # fmt: skip
    new = [n for n in sessions if n not in out]
    if new:
        out |= dict(_measured(store, sessions, sorted(new)))
    if new or len(kept) > len(out):
        keep = {sessions[n].id: style for n, style in out.items() if style.finished_at}
        with contextlib.suppress(WorkspaceError):  # another look measures them again
            workspace.write_json(workspace.answer_styles, Styles(VERSION, keep))
    return out


def _kept(workspace: Workspace) -> dict[str, SessionStyle]:
    try:
        found = msgspec.json.decode(workspace.answer_styles.read_bytes(), type=Styles)
    except (OSError, msgspec.MsgspecError):
        return {}
    return found.sessions if found.version == VERSION else {}


def _measured(
    store: JudgementStore, sessions: Mapping[int, VotedSession], numbers: Sequence[int]
) -> Iterator[tuple[int, SessionStyle]]:
    from innercouncil.discovery.labeller import Labeller

    labeller = Labeller.load()
    for begin in range(0, len(numbers), BATCH):
        found = list(store.texts(numbers[begin : begin + BATCH]))
        topics = _topics(labeller, [(sessions[n].id, question) for n, question, _ in found])
        for (number, _, answers), topic in zip(found, topics, strict=True):
            session = sessions[number]
            texts = {slug: answers.get(seat, "") for seat, slug in session.seats.items()}
            yield number, SessionStyle(
                session.finished_at or "", topic, {s: float(len(t)) for s, t in texts.items()},
                {s: marked(t) for s, t in texts.items()},
            )  # fmt: skip


def _topics(labeller: Labeller, questions: Sequence[tuple[str, str]]) -> list[str]:
    """The topic of each question, by the offline labeller."""
    batch = [(Message(id=i, conversation_id=i, title="", position=0, text=text), "") for i, text in questions]
    return [m.topic_category for m in labeller.label(batch).messages]
