"""A/B tests in council.db: pairs are kept before they are shown, votes once, deletions for real."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from innercouncil.model.ab import AbTest, SideAnswer, Trial, Variant
from innercouncil.model.council import Worker
from innercouncil.model.errors import AbTestNotFoundError, UsageError, WorkspaceError
from innercouncil.store.ab_tests import AbStore
from innercouncil.store.database import MIGRATIONS, Database

SECRET = "xylographzebra"


def test_of(name: str = "t") -> AbTest:
    def side(system: str) -> Variant:
        worker = Worker(seat=0, slug="w", name="W", system=system, temperature=0.5)
        return Variant(kind="prompt", name=system, workers=(worker,))

    return AbTest(
        name=name,
        a=side("one"),
        b=side(f"two {SECRET}"),
        worker_model="m",
        synthesizer_model="m",
        questions=("q1", "q2"),
    )


test_of.__test__ = False  # type: ignore[attr-defined]


def pair(number: int, *, first: str = "a", same: bool = False) -> Trial:
    return Trial(
        number=number, question=f"q{number}", first=first, same=same,  # type: ignore[arg-type]
        a=SideAnswer(text=f"A {SECRET}", milliseconds=5), b=SideAnswer(text="B", milliseconds=6, answer_tokens=3),
    )  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "council.db"


def test_a_pair_survives_a_kill_between_generation_and_vote(file: Path) -> None:
    database = Database(file)
    store = AbStore(database)
    assert store.add(test_of()).made_at
    store.put("t", pair(1, first="b"))
    # Killed here: nothing is closed, another process opens the file.
    again = AbStore(Database(file))
    (kept,) = again.trials("t")
    assert (kept.number, kept.choice, kept.first, kept.b.answer_tokens) == (1, None, "b", 3)
    assert kept.shown == (kept.b, kept.a)
    again.vote("t", 1, "first")
    assert again.trials("t")[0].outcome == "b"
    assert again.get("t").questions == ("q1", "q2")


def test_a_trial_takes_one_vote_and_a_number_one_pair(file: Path) -> None:
    store = AbStore(Database(file))
    store.add(test_of())
    with pytest.raises(UsageError, match="not open"):
        store.vote("t", 1, "first")
    store.put("t", pair(1))
    with pytest.raises(UsageError, match="Another window"):
        store.put("t", pair(1))
    store.vote("t", 1, "second")
    with pytest.raises(UsageError, match="not open"):
        store.vote("t", 1, "first")
    assert [t.outcome for t in store.trials("t")] == ["b"]
    assert store.put("t", pair(2, same=True)).outcome == "tie"


def test_a_stopped_test_takes_nothing_more_and_names_are_unique(file: Path) -> None:
    store = AbStore(Database(file))
    store.add(test_of())
    with pytest.raises(UsageError, match="already"):
        store.add(test_of())
    store.put("t", pair(1))
    store.stop("t")
    for act in (lambda: store.vote("t", 1, "tie"), lambda: store.put("t", pair(2))):
        with pytest.raises(UsageError, match="stopped"):
            act()
    assert store.get("t").stopped_at


def test_questions_are_added_at_the_end_or_as_the_next_one(file: Path) -> None:
    store = AbStore(Database(file))
    store.add(test_of())
    store.put("t", pair(1))
    store.ask("t", ["last"])
    store.ask("t", ["now"], next_one=True)
    assert store.get("t").questions == ("q1", "now", "q2", "last")


def test_a_question_put_first_while_a_pair_is_written_is_the_next_one(file: Path) -> None:
    store = AbStore(Database(file))
    store.add(test_of())
    written = pair(1)
    AbStore(Database(file)).ask("t", ["now"], next_one=True)
    store.put("t", written)
    assert store.get("t").questions == ("q1", "now", "q2")


def test_a_question_is_in_a_test_once_and_comes_next_when_it_is_asked_for(file: Path) -> None:
    store = AbStore(Database(file))
    store.add(test_of())
    store.put("t", pair(1))
    store.ask("t", ["q2", "q3", "q1"])
    assert store.get("t").questions == ("q1", "q2", "q3")
    store.ask("t", ["q3", "q1"], next_one=True)
    assert store.get("t").questions == ("q1", "q3", "q2")


def test_nothing_of_a_deleted_test_is_left_on_disk(file: Path) -> None:
    database = Database(file)
    store = AbStore(database)
    store.add(test_of())
    store.put("t", pair(1))
    store.delete("t")
    with pytest.raises(AbTestNotFoundError):
        store.trials("t")
    assert database.reading().__enter__().execute("SELECT count(*) FROM ab_trial").fetchone()[0] == 0
    database.close()
    assert all(SECRET.encode() not in p.read_bytes() for p in file.parent.iterdir())


def test_a_test_deleted_while_another_program_reads_is_gone_and_that_is_told(file: Path) -> None:
    database = Database(file)
    store = AbStore(database)
    store.add(test_of())
    store.put("t", pair(1))
    with database.reading() as db:
        db.execute("PRAGMA busy_timeout=50")
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM ab_test").fetchone()
        with pytest.raises(WorkspaceError, match="It is deleted, but"):
            store.delete("t")
        assert store.all() == []
    database.close()
    assert all(SECRET.encode() not in p.read_bytes() for p in file.parent.iterdir())


def test_an_older_database_gets_the_tables(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import innercouncil.store.database as module

    before = next(n for n, script in enumerate(MIGRATIONS) if "ab_test" in script)
    monkeypatch.setattr(module, "MIGRATIONS", MIGRATIONS[:before])
    Database(file).close()
    monkeypatch.undo()
    assert AbStore(Database(file)).all() == []
