"""Blind judgements of final answers in council.db."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from innercouncil.model.council import Part
from innercouncil.model.errors import SessionNotFoundError
from innercouncil.model.worth import WorthVote
from innercouncil.store.database import Database


class WorthStore:
    """Which sessions have a baseline, and how their final answers were judged."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def sessions(self) -> list[str]:
        """Finished sessions with a usable answer of the council and of at least one baseline, oldest first."""
        with self._db.reading() as db:
            rows = db.execute(
                "SELECT s.id FROM session s JOIN synthesis y ON y.session = s.number "
                "WHERE s.status = 'done' AND y.body ->> '$.status' IN ('ok', 'cut') "
                "GROUP BY s.number HAVING count(*) > 1 AND sum(y.part = 'council') = 1 ORDER BY s.number"
            )
            return [str(row[0]) for row in rows]

    def votes(self) -> list[WorthVote]:
        """All judgements, oldest first."""
        with self._db.reading() as db:
            rows = db.execute(
                "SELECT s.id, v.judge, v.shown, v.tiers FROM worth_vote v JOIN session s ON s.number = v.session ORDER BY v.id"
            ).fetchall()
        return [
            WorthVote(
                session=i, judge=j, shown=msgspec.json.decode(shown, type=tuple[Part, ...]),
                tiers=msgspec.json.decode(tiers, type=tuple[tuple[Part, ...], ...]),
            )
            for i, j, shown, tiers in rows
        ]  # fmt: skip

    def add(self, votes: Sequence[WorthVote]) -> None:
        """Keep judgements. Raises SessionNotFoundError."""
        with self._db.transaction() as db:
            for vote in votes:
                row = db.execute("SELECT number FROM session WHERE id = ?", (vote.session,)).fetchone()
                if row is None:
                    raise SessionNotFoundError(f"There is no session {vote.session[:40]!r} any more.")
                db.execute(
                    "INSERT INTO worth_vote (session, made_at, judge, shown, tiers) VALUES (?, ?, ?, ?, ?)",
                    (
                        row[0], datetime.now(UTC).isoformat(timespec="milliseconds"), vote.judge,
                        msgspec.json.encode(vote.shown).decode(), msgspec.json.encode(vote.tiers).decode(),
                    ),
                )  # fmt: skip
