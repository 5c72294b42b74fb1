"""Blind judgements of final answers in council.db."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import msgspec

from innercouncil.model.council import Part
from innercouncil.model.errors import SessionNotFoundError
from innercouncil.model.worth import WorthVote
from innercouncil.store.database import Database

_WITH_BASELINE: Final = (
    "session s JOIN synthesis y ON y.session = s.number "
    "WHERE s.status = 'done' AND y.body ->> '$.status' IN ('ok', 'cut') "
    "GROUP BY s.number HAVING count(*) > 1 AND sum(y.part = 'council') = 1"
)


NEWEST: Final = 1000
"""Sessions that the costs are a mean over: plenty for a mean, and of the models in use."""


class WorthStore:
    """Which sessions have a baseline, and how their final answers were judged."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def sessions(self) -> list[str]:
        """Finished sessions with a usable answer of the council and of at least one baseline, oldest first."""
        with self._db.reading() as db:
            rows = db.execute(f"SELECT s.id FROM {_WITH_BASELINE} ORDER BY s.number")  # noqa: S608
            return [str(row[0]) for row in rows]

    def costs(self) -> list[tuple[Part, int, float, float]]:
        """(part, sessions, mean seconds, mean tokens) over the newest sessions with a baseline, of the parts they have."""
        calls = " UNION ALL ".join(
            f"SELECT session, part, body ->> '$.timing.started' AS started, body ->> '$.timing.finished' AS finished, "  # noqa: S608
            f"coalesce(body ->> '$.usage.prompt_tokens', 0) + coalesce(body ->> '$.usage.completion_tokens', 0) AS tokens, "
            f"{table == 'synthesis'} AS final FROM {table} WHERE session IN paid"
            for table in ("answer", "ballot", "synthesis")
        )
        with self._db.reading() as db:
            return db.execute(
                f"WITH paid AS (SELECT s.number FROM {_WITH_BASELINE} ORDER BY s.number DESC LIMIT ?), calls AS ({calls}), spent AS ("  # noqa: S608
                "SELECT part, (max(finished) - min(started)) / 1000.0 AS seconds, sum(tokens) AS tokens FROM calls "
                "GROUP BY session, part HAVING max(final)) "
                "SELECT part, count(*), avg(seconds), avg(tokens) FROM spent GROUP BY part",
                (NEWEST,),
            ).fetchall()

    def votes(self) -> list[WorthVote]:
        """All judgements, oldest first."""
        with self._db.reading() as db:
            rows = db.execute(
                "SELECT s.id, v.judge, v.shown, v.tiers FROM worth_vote v JOIN session s ON s.number = v.session ORDER BY v.id"
            ).fetchall()
        tuples = lru_cache(maxsize=None)(msgspec.json.Decoder(tuple[Part, ...]).decode)  # a few, again and again
        nested = lru_cache(maxsize=None)(msgspec.json.Decoder(tuple[tuple[Part, ...], ...]).decode)
        return [WorthVote(session=i, judge=j, shown=tuples(shown), tiers=nested(tiers)) for i, j, shown, tiers in rows]

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
