"""council.db: sessions and personas are kept, found, carried over and deleted for real."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec
import pytest

from innercouncil.model.card import PersonaCard
from innercouncil.model.council import (
    Answer,
    Answered,
    Ballot,
    Council,
    Finished,
    Synthesis,
    Synthesised,
    Tallied,
    Tally,
    Timing,
    Voted,
    Worker,
)
from innercouncil.model.errors import (
    ImportFormatError,
    InnerCouncilError,
    SessionNotFoundError,
    UsageError,
    WorkspaceError,
)
from innercouncil.store.backups import back_up, backups
from innercouncil.store.cards import CardStore
from innercouncil.store.database import MIGRATIONS, Database
from innercouncil.store.sessions import SessionStore

NOW = Timing(started=0, first_token=1, finished=2)
SECRET = "xylographzebra"


def council(question: str = "What now?") -> Council:
    workers = tuple(
        Worker(seat=i, slug=f"w{i}", name=f"W{i}", system=f"You are {i}.", temperature=0.5) for i in range(3)
    )
    return Council(question=question, workers=workers, worker_model="m", synthesizer_model="s")


def hold(store: SessionStore, question: str = "What now?", said: str = "An answer") -> str:
    """A whole session, written down piece by piece."""
    session = store.begin(council(question))
    for i in range(3):
        store.record(
            session, Answered(Answer(part="council", seat=i, round=0, text=f"{said} {i}", status="ok", timing=NOW))
        )
    store.record(session, Voted(Ballot(part="council", voter=0, shown=(1, 2), ranking=(2, 1), timing=NOW)))
    store.record(
        session, Tallied(Tally(part="council", method="borda", standings=(), winners=(2,), dissent=1, best=(2, 1)))
    )
    store.record(session, Synthesised(Synthesis(part="council", text=f"Final: {said}", status="ok", timing=NOW)))
    store.record(session, Finished("done"))
    return session


@pytest.fixture
def database(tmp_path: Path):  # type: ignore[no-untyped-def]
    opened = Database(tmp_path / "council.db")
    yield opened
    opened.close()


def test_every_piece_is_there_the_moment_it_is_finished(database: Database, tmp_path: Path) -> None:
    store = SessionStore(database)
    session = store.begin(council())
    store.record(session, Answered(Answer(part="council", seat=1, round=0, text="so", status="ok", timing=NOW)))
    other = Database(tmp_path / "council.db")  # what another process, or this one after a kill, would see
    try:
        record = SessionStore(other).get(session)
    finally:
        other.close()
    assert record.status == "running"
    assert [a.text for a in record.answers] == ["so"]
    assert store.running() == [(session, "")]


def test_a_session_can_be_exported_deleted_and_imported_unchanged(database: Database) -> None:
    store = SessionStore(database)
    session = hold(store)
    store.vote(session, [[0, 1], [2]], blind=True)
    before, data = store.get(session), store.export(session)
    store.delete(session)
    with pytest.raises(SessionNotFoundError):
        store.get(session)
    assert store.import_session(data) == session
    assert store.get(session) == before
    assert store.import_session(data) != session, "an id that is taken gets a new one"


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{", b'{"format": "other/9", "session": {}}', b"[" * 5000, b"\xff\xfe", b"null"]
)
def test_what_is_no_exported_session_is_refused_in_a_sentence(database: Database, data: bytes) -> None:
    with pytest.raises(ImportFormatError):
        SessionStore(database).import_session(data)


def test_an_export_that_names_people_who_were_not_there_is_refused(database: Database) -> None:
    store = SessionStore(database)
    data = json.loads(store.export(hold(store)))
    data["session"]["ballots"][0]["ranking"] = [7, 8]
    with pytest.raises(ImportFormatError, match="ballot"):
        store.import_session(json.dumps(data).encode())


def test_a_deleted_session_leaves_no_byte_behind(database: Database, tmp_path: Path) -> None:
    store = SessionStore(database)
    kept, session = hold(store), hold(store, f"Is {SECRET} safe?", f"The {SECRET} answer")
    back_up(database.path, "manual")
    assert sum(SECRET.encode() in p.read_bytes() for p in tmp_path.rglob("council*.db*")) >= 2
    store.delete(session)
    (copy,) = backups(database.path)
    assert (copy.reason, copy.problem) == ("after-deletion", "")
    for path in tmp_path.rglob("council*.db*"):
        assert SECRET.encode() not in path.read_bytes().lower(), path.name
    assert store.get(kept).final == "Final: An answer"


def left(folder: Path) -> list[str]:
    """Files of the database and its copies that still hold the secret."""
    return sorted(p.name for p in folder.rglob("council*.db*") if SECRET.encode() in p.read_bytes().lower())


def reading(path: Path) -> sqlite3.Connection:
    """Another program in the middle of reading."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT count(*) FROM session").fetchone()
    return other


@pytest.mark.parametrize("then", ["opened", "closed"])
def test_what_another_program_keeps_from_being_overwritten_is_told_and_goes_with_the_next_chance(
    database: Database, tmp_path: Path, then: str
) -> None:
    store = SessionStore(database)
    session = hold(store, f"Is {SECRET} safe?")
    back_up(database.path, "manual")
    with database.reading() as db:
        db.execute("PRAGMA busy_timeout=50")
    with contextlib.closing(reading(database.path)) as other:
        with pytest.raises(WorkspaceError, match=r"^It is deleted, but another program .*council\.db-wal.* close "):
            store.delete(session)
        with pytest.raises(SessionNotFoundError):
            store.get(session)
        assert "council.db-wal" in left(tmp_path)
        assert not left(tmp_path / "backups")
        later = back_up(database.path, "manual")
        Database(database.path).close()
        assert "council.db-wal" in left(tmp_path), "it is still read, and nobody waits for it"
        other.execute("COMMIT")
        Database(database.path).close() if then == "opened" else database.close()
        assert left(tmp_path) == []
    opened = Database(database.path)
    with opened.reading() as db:
        assert db.execute("SELECT count(*) FROM setting").fetchone()[0] == 0, "nothing is left to be done"
    opened.close()
    assert later.exists(), "a copy that was made since holds nothing of it"
    for copy in backups(database.path):
        with contextlib.closing(sqlite3.connect(copy.path)) as db:
            assert db.execute("SELECT count(*) FROM setting").fetchone()[0] == 0, "nor in a copy, once it is restored"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_killed_before_the_bytes_are_overwritten_the_next_opening_does_it(database: Database, tmp_path: Path) -> None:
    session = hold(SessionStore(database), f"Is {SECRET} safe?")
    back_up(database.path, "manual")
    script = """
        import os, signal, sqlite3, sys
        from pathlib import Path
        from innercouncil.store.database import Database
        from innercouncil.store.sessions import SessionStore
        database = Database(Path(sys.argv[1]))
        def seen(sql):
            if "wal_checkpoint" in sql:
                os.kill(os.getpid(), signal.SIGKILL)
        with database.reading() as db:
            db.set_trace_callback(seen)
        SessionStore(database).delete(sys.argv[2])
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script), database.path, session], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert left(tmp_path)
    Database(database.path).close()
    assert left(tmp_path) == []
    with pytest.raises(SessionNotFoundError):
        SessionStore(database).get(session)


def test_sessions_are_found_by_words_of_question_answers_and_final(database: Database) -> None:
    store = SessionStore(database)
    first, second = hold(store, "About walruses?", "oyster"), hold(store, "About carpenters?", "ship")
    for query, expected in {
        "walruses": [first],
        "oyster": [first],
        "SHIP about": [second],
        "about": [second, first],
        "walr": [first],
        "none": [],
    }.items():
        assert [s.id for s in store.page(query=query).sessions] == expected, query


@pytest.mark.parametrize(
    "query", ['"', "*", "NEAR(", 'a"b', "a AND", "question:x", "-", "(" * 500, "\x00", "ü" * 3000, "' OR 1=1 --"]
)
def test_a_search_takes_any_text(database: Database, query: str) -> None:
    store = SessionStore(database)
    hold(store)
    assert isinstance(store.page(query=query).total, int)


def test_pages_follow_each_other_without_gap(database: Database) -> None:
    store = SessionStore(database)
    ids = [hold(store, f"Question {i}") for i in range(7)][::-1]
    seen, before = [], None
    while True:
        page = store.page(before=before, limit=3)
        seen += [s.id for s in page.sessions]
        before = page.next
        if before is None:
            break
    assert seen == ids
    assert store.find("last") == ids[0]
    assert store.find(ids[3][:10]) == ids[3]
    with pytest.raises(SessionNotFoundError):
        store.find("zzzzzz")


def test_retrying_a_worker_takes_back_what_came_of_its_answer_only(database: Database) -> None:
    store = SessionStore(database)
    session = hold(store)
    store.vote(session, [[0, 1], [2]], blind=True)
    assert store.page().sessions[0].winner == "W2"
    record = store.reopen(session, without_seat=1)
    assert [a.seat for a in record.answers] == [0, 2]
    assert (record.ballots, record.tallies, record.syntheses, record.votes) == ((), (), (), ())
    assert (record.status, store.page().sessions[0].winner) == ("running", "")


def test_reopened_it_forgets_what_failed_in_parts_that_have_no_final_answer_yet(database: Database) -> None:
    store = SessionStore(database)
    session = hold(store)
    for part, status in (("council", "failed"), ("samples", "empty"), ("samples", "refused")):
        seat = 3 + (status == "refused")
        store.record(session, Answered(Answer(part=part, seat=seat, round=0, text="", status=status, timing=NOW)))  # type: ignore[arg-type]
    kept = store.get(session)
    record = store.reopen(session)
    assert [(a.part, a.status) for a in record.answers if a.seat >= 3] == [
        ("council", "failed"),
        ("samples", "refused"),
    ]
    assert (record.ballots, record.tallies, record.syntheses) == (kept.ballots, kept.tallies, kept.syntheses)
    store.record(session, Synthesised(Synthesis(part="council", text="", status="failed", timing=NOW)))
    record = store.reopen(session)
    assert {a.status for a in record.answers} == {"ok", "refused"}
    assert (record.ballots, record.tallies, record.syntheses) == ((), (), ())


def test_a_running_session_is_reopened_only_when_its_owner_is_gone(database: Database) -> None:
    store = SessionStore(database)
    session = store.begin(council(), owner="one")
    with pytest.raises(UsageError, match="another innercouncil process"):
        store.reopen(session, owner="two", alive=lambda owner: owner == "one")
    assert store.running() == [(session, "one")]
    store.reopen(session, owner="two", alive=lambda owner: owner != "one")
    assert store.running() == [(session, "two")]


def test_a_database_of_the_first_version_is_carried_over(tmp_path: Path) -> None:
    path = tmp_path / "council.db"
    old = sqlite3.connect(path)
    old.executescript(MIGRATIONS[0])
    old.execute("PRAGMA user_version = 1")
    tables = {r[0] for r in old.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    old.commit()
    old.close()
    database = Database(path)
    try:
        assert SessionStore(database).page().total == 0
        hold(SessionStore(database))
        with database.reading() as db:
            assert db.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)
            assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
            assert db.execute("PRAGMA foreign_keys").fetchone()[0] == 1
            assert tables <= {r[0] for r in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    finally:
        database.close()


def test_a_newer_database_and_a_file_that_is_none_are_refused_and_left_alone(tmp_path: Path) -> None:
    newer = tmp_path / "newer.db"
    Database(newer).close()
    with sqlite3.connect(newer) as db:
        db.execute("PRAGMA user_version = 999")
    db.close()
    other = tmp_path / "other.db"
    other.write_bytes(b"my holiday pictures" * 100)
    for path in (newer, other):
        before = path.read_bytes()
        with pytest.raises(InnerCouncilError):
            Database(path)
        assert path.read_bytes() == before


def card(name: str, system: str = "You think.") -> PersonaCard:
    return PersonaCard(name=name, system=system)


def test_a_new_discovery_never_overwrites_what_a_person_wrote(database: Database) -> None:
    cards = CardStore(database)
    assert cards.sync({"a": card("A", "one"), "b": card("B", "one")}).created == ("a", "b")
    cards.save("a", card("A", "mine"))
    done = cards.sync({"a": card("A", "two"), "b": card("B", "two")})
    assert (done.kept, done.updated) == (("a",), ("b",))
    assert cards.get("a").card.system == "mine"
    assert cards.sync({"a": card("A", "two"), "b": card("B", "two")}).kept == ("a",), (
        "it asks again until it is decided"
    )
    assert cards.sync({"a": card("A", "two"), "b": card("B", "two")}, overwrite=frozenset("a")).updated == ("a",)
    assert cards.get("a").card.system == "two"
    assert [v.card.system for v in cards.versions("a")] == ["two", "mine", "one"]


def test_a_name_the_person_gave_survives_a_new_prompt(database: Database) -> None:
    cards = CardStore(database)
    cards.sync({"a": card("A", "one")})
    cards.save("a", msgspec.structs.replace(cards.get("a").card, name="Mine"))
    cards.sync({"a": card("A", "two")})
    assert (cards.get("a").card.name, cards.get("a").card.system) == ("Mine", "two")


def test_personas_that_are_discovered_no_more_leave_and_come_back_but_removed_ones_do_not(database: Database) -> None:
    cards = CardStore(database)
    cards.sync({"a": card("A"), "b": card("B")})
    assert cards.sync({"a": card("A")}).archived == ("b",)
    assert [p.slug for p in cards.all()] == ["a"]
    cards.sync({"a": card("A"), "b": card("B")})
    assert [p.slug for p in cards.all()] == ["a", "b"]
    cards.remove("b")
    cards.sync({"a": card("A"), "b": card("B")})
    assert [p.slug for p in cards.all()] == ["a"]


def test_what_the_person_removed_is_listed_and_brought_back_and_what_left_by_itself_is_not(database: Database) -> None:
    cards = CardStore(database)
    cards.sync({"a": card("A", "one"), "b": card("B"), "c": card("C")})
    cards.save("a", card("A", "mine"))
    cards.remove("a")
    cards.sync({"a": card("A", "one"), "b": card("B")})
    assert [p.slug for p in cards.removed()] == ["a"], "c is no longer discovered"
    back = cards.bring_back("a")
    assert (back.archived, back.enabled, back.card.system) == (False, True, "mine")
    assert cards.bring_back("c").archived
    assert cards.sync({"a": card("A", "one"), "b": card("B")}).archived == ()
    assert (cards.removed(), [p.slug for p in cards.all()]) == ([], ["a", "b"])


def test_undo_goes_back_step_by_step_and_says_when_there_is_nothing(database: Database) -> None:
    cards = CardStore(database)
    cards.add(card("A", "one"), "a", "created")
    for text in ("two", "three"):
        cards.save("a", card("A", text))
    assert [v.number for v in (cards.earlier("a"),) if v] == [2]
    assert cards.undo("a").card.system == "two"
    assert cards.undo("a").card.system == "one"
    with pytest.raises(UsageError):
        cards.undo("a")
    assert cards.earlier("a") is None
    assert cards.restore("a", 3).card.system == "three"
    assert cards.add(card("A"), "a", "created").slug == "a-2"
