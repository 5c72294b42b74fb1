"""Who ranked whose answers, read out of council.db in a few passes, whatever the number of votes."""

from __future__ import annotations

import sqlite3
from collections.abc import Container, Iterable, Mapping
from functools import lru_cache

import msgspec

from innercouncil.model.council import Part, Worker
from innercouncil.store.database import Database

COUNCIL: Part = "council"


class VotedSession(msgspec.Struct, frozen=True, gc=False):
    """A session as far as votes go."""

    number: int
    id: str
    finished_at: str | None
    seats: Mapping[int, str]
    """Seat -> slug, of the answers that stand; one and the same mapping for all sessions that were seated alike."""


class Paper(msgspec.Struct, gc=False):
    """What of a ballot counts."""

    voter: int
    shown: tuple[int, ...]
    ranking: tuple[int, ...] = ()


class _Said(msgspec.Struct):
    text: str


class _Seated(msgspec.Struct):
    workers: tuple[Worker, ...]


class JudgementStore:
    """The votes of a workspace, by the number of their session."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def sessions(self) -> dict[int, VotedSession]:
        """Every session in which an answer stands."""
        decode = lru_cache(maxsize=None)(msgspec.json.Decoder(dict[int, str]).decode)
        with self._db.reading() as db:
            seated = dict(
                db.execute(
                    "SELECT w.session, json_group_object(w.seat, w.slug) FROM worker w WHERE EXISTS ("
                    "SELECT 1 FROM answer a WHERE a.session = w.session AND a.part = ? AND a.seat = w.seat "
                    "AND a.status IN ('ok', 'cut')) GROUP BY w.session",
                    (COUNCIL,),
                ).fetchall()
            )
            known = db.execute("SELECT number, id, finished_at FROM session ORDER BY number").fetchall()
        return {n: VotedSession(n, i, f, decode(seated[n])) for n, i, f in known if n in seated}

    def ballots(self) -> list[tuple[int, Paper]]:
        """The council's ballots that rank something, by session."""
        decode = msgspec.json.Decoder(Paper).decode
        with self._db.reading() as db:
            rows = db.execute(
                "SELECT session, body FROM ballot WHERE part = ? ORDER BY session, voter", (COUNCIL,)
            ).fetchall()
        papers = [(number, decode(body)) for number, body in rows]
        return [(number, paper) for number, paper in papers if paper.ranking]

    def votes(self) -> list[tuple[int, tuple[tuple[int, ...], ...]]]:
        """The person's last vote on each session."""
        decode = msgspec.json.Decoder(tuple[tuple[int, ...], ...]).decode
        with self._db.reading() as db:
            rows = db.execute(
                "SELECT session, tiers FROM person_vote WHERE id IN (SELECT max(id) FROM person_vote GROUP BY session) "
                "ORDER BY session"
            ).fetchall()
        return [(number, decode(tiers)) for number, tiers in rows]

    def texts(self, numbers: Iterable[int]) -> Iterable[tuple[int, str, dict[int, str]]]:
        """(session, question, seat -> the answer voted on) of these sessions, one after another."""
        decode = msgspec.json.Decoder(_Said).decode
        for number in numbers:
            with self._db.reading() as db:
                found = db.execute("SELECT question FROM session WHERE number = ?", (number,)).fetchone()
                rows = db.execute(
                    "SELECT seat, body FROM answer WHERE session = ? AND part = ? AND status IN ('ok', 'cut') ORDER BY round",
                    (number, COUNCIL),
                ).fetchall()
            if found:
                yield number, str(found[0]), {seat: decode(body).text for seat, body in rows}

    def names(self) -> dict[str, str]:
        """Slug -> name of each persona as it last sat."""
        with self._db.reading() as db:
            rows: list[tuple[str, str]] = db.execute(
                "SELECT last.slug, s.council FROM (SELECT slug, max(session) AS number FROM worker GROUP BY slug) last "
                "JOIN session s ON s.number = last.number"
            ).fetchall()
        out = {}
        for slug, council in rows:
            seated = msgspec.json.decode(council, type=_Seated).workers
            out[slug] = next((w.name for w in seated if w.slug == slug), slug)
        return out

    def personas(self) -> Container[str]:
        """Slugs of the personas there are now, archived ones left out."""
        with self._db.reading() as db:
            return {str(r[0]) for r in _slugs(db)}


def _slugs(db: sqlite3.Connection) -> list[tuple[str]]:
    return db.execute("SELECT slug FROM persona WHERE NOT archived").fetchall()
