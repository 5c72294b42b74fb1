"""A/B tests in council.db: a pair of answers is there before anybody sees it, a vote is one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from innercouncil.model.ab import AbTest, Choice, SideAnswer, Trial
from innercouncil.model.errors import AbTestNotFoundError, UsageError
from innercouncil.store.database import Database


class AbStore:
    """The A/B tests of a workspace."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, test: AbTest) -> AbTest:
        """Keep a new test. Raises UsageError where the name is taken."""
        with self._db.transaction() as db:
            if db.execute("SELECT 1 FROM ab_test WHERE name = ?", (test.name,)).fetchone():
                raise UsageError(f"There is a test called {test.name!r} already; choose another name, or delete it.")
            body = msgspec.structs.replace(test, questions=())
            db.execute(
                "INSERT INTO ab_test (name, made_at, body, questions) VALUES (?, ?, ?, ?)",
                (test.name, _now(), _json(body), _json(test.questions)),
            )
            return _get(db, test.name)[1]

    def all(self) -> list[AbTest]:
        """All tests, newest first."""
        with self._db.reading() as db:
            return [_test(row)[1] for row in db.execute(_SELECT + "ORDER BY id DESC").fetchall()]

    def get(self, name: str) -> AbTest:
        """The test. Raises AbTestNotFoundError."""
        with self._db.reading() as db:
            return _get(db, name)[1]

    def trials(self, name: str) -> list[Trial]:
        """Its trials, oldest first. Raises AbTestNotFoundError."""
        with self._db.reading() as db:
            rows = db.execute(_TRIALS, (_get(db, name)[0],)).fetchall()
        return [_trial(row) for row in rows]

    def ask(self, name: str, questions: Sequence[str], *, next_one: bool = False) -> None:
        """Add the questions that the test does not have, at the end; or make those not asked yet the very next ones.

        Raises AbTestNotFoundError.
        """
        with self._db.transaction() as db:
            number, test = _get(db, name)
            at = _count(db, number) if next_one else len(test.questions)
            _order(db, number, (*test.questions[:at], *questions, *test.questions[at:]))

    def put(self, name: str, trial: Trial) -> Trial:
        """Keep a finished pair. Raises UsageError where another window made the same one, or the test was stopped."""
        with self._db.transaction() as db:
            number, test = _get(db, name)
            if test.stopped_at is not None:
                raise UsageError(f"The test {name!r} was stopped meanwhile; the pair is not kept.")
            if trial.number != _count(db, number) + 1:
                raise UsageError(f"Another window asked the next question of {name!r} first; vote on that one.")
            # Another window may have put a question before this one while its answers were written.
            _order(
                db, number, (*test.questions[: trial.number - 1], trial.question, *test.questions[trial.number - 1 :])
            )
            choice, at = ("tie", _now()) if trial.same else (None, None)
            db.execute(
                "INSERT INTO ab_trial (test, number, made_at, question, first, a, b, same, choice, voted_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (number, trial.number, _now(), trial.question, trial.first, _json(trial.a), _json(trial.b),
                 int(trial.same), choice, at),
            )  # fmt: skip
        return self.trials(name)[trial.number - 1]

    def vote(self, name: str, number: int, choice: Choice) -> None:
        """Keep a vote, once for each trial. Raises AbTestNotFoundError, UsageError."""
        with self._db.transaction() as db:
            test, found = _get(db, name)
            if found.stopped_at is not None:
                raise UsageError(f"The test {name!r} was stopped; start another one.")
            done = db.execute(
                "UPDATE ab_trial SET choice = ?, voted_at = ? WHERE test = ? AND number = ? AND choice IS NULL",
                (choice, _now(), test, number),
            )
            if not done.rowcount:
                raise UsageError(f"Question {number} of {name!r} is not open for a vote; ask the next one.")

    def stop(self, name: str) -> None:
        """Mark the test as stopped; nothing happens where it was. Raises AbTestNotFoundError."""
        with self._db.transaction() as db:
            number, _ = _get(db, name)
            db.execute("UPDATE ab_test SET stopped_at = ? WHERE id = ? AND stopped_at IS NULL", (_now(), number))

    def delete(self, name: str) -> None:
        """Delete the test with all its texts. Raises AbTestNotFoundError, and WorkspaceError as `Database.deletion` does."""
        with self._db.deletion() as db:
            db.execute("DELETE FROM ab_test WHERE id = ?", (_get(db, name)[0],))


_SELECT = "SELECT id, name, made_at, stopped_at, body, questions FROM ab_test "
_TRIALS = (
    "SELECT number, made_at, question, first, a, b, same, choice, voted_at FROM ab_trial WHERE test = ? ORDER BY number"
)


def _get(db: sqlite3.Connection, name: str) -> tuple[int, AbTest]:
    row = db.execute(_SELECT + "WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise AbTestNotFoundError(f"There is no A/B test {name[:60]!r}; `innercouncil ab list` shows all.")
    return _test(row)


def _test(row: tuple[object, ...]) -> tuple[int, AbTest]:
    number, _, made_at, stopped_at, body, questions = row
    test = msgspec.structs.replace(
        msgspec.json.decode(str(body), type=AbTest), made_at=made_at, stopped_at=stopped_at,
        questions=msgspec.json.decode(str(questions), type=tuple[str, ...]),
    )  # fmt: skip
    return int(str(number)), test


def _trial(row: tuple[object, ...]) -> Trial:
    number, made_at, question, first, a, b, same, choice, voted_at = row
    return Trial(
        number=number, made_at=made_at, question=question, first=first, same=bool(same), choice=choice, voted_at=voted_at,  # type: ignore[arg-type]
        a=msgspec.json.decode(str(a), type=SideAnswer), b=msgspec.json.decode(str(b), type=SideAnswer),
    )  # fmt: skip


def _order(db: sqlite3.Connection, test: int, questions: Sequence[str]) -> None:
    """Keep the questions in this order, each where it stands first."""
    db.execute("UPDATE ab_test SET questions = ? WHERE id = ?", (_json(tuple(dict.fromkeys(questions))), test))


def _count(db: sqlite3.Connection, test: int) -> int:
    return int(db.execute("SELECT count(*) FROM ab_trial WHERE test = ?", (test,)).fetchone()[0])


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
