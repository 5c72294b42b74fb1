"""Answers the person wrote for training, in council.db: one to a message of theirs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from innercouncil.model.tuning import HandAnswer
from innercouncil.store.database import Database


class TrainingAnswers:
    """What was written by hand."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def all(self) -> list[HandAnswer]:
        """All answers, in the order of their messages' ids."""
        with self._db.reading() as db:
            rows = db.execute("SELECT message, persona, text FROM training_answer ORDER BY message").fetchall()
        return [HandAnswer(*row) for row in rows]

    def put(self, answers: Sequence[HandAnswer]) -> None:
        """Keep answers, instead of earlier ones to the same messages; an empty one takes the earlier away."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self._db.transaction() as db:
            for a in answers:
                if a.text.strip():
                    db.execute(
                        "INSERT OR REPLACE INTO training_answer (message, persona, made_at, text) VALUES (?, ?, ?, ?)",
                        (a.message, a.persona, now, a.text),
                    )
                else:
                    db.execute("DELETE FROM training_answer WHERE message = ?", (a.message,))
