"""What the person made is kept in order, can be taken back, and is never opened by an older version."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from innercouncil.model.errors import WorkspaceError
from innercouncil.model.persona import Change
from innercouncil.store.database import MIGRATIONS, add_change, changes, undo_change

SOME = (
    Change(action="rename", slug="a", value="The Maker"),
    Change(action="merge", slug="the-maker", other="b", value="Both"),
    Change(action="edit", slug="both", value="Be brief.\n\n“Ünïcode” 🙂\n"),
    Change(action="split", slug="c"),
    Change(action="drop", slug="c-a"),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "council.db"


def version_of(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])
    finally:
        connection.close()


def test_where_nothing_was_changed_there_are_no_changes(path):
    assert changes(path) == []


def test_looking_for_changes_makes_no_file(path):
    changes(path)
    undo_change(path)
    assert not path.exists()


def test_changes_come_back_as_they_were_in_the_order_they_were_made(path):
    for change in SOME:
        add_change(path, change)
    assert changes(path) == list(SOME)


def test_undo_takes_back_the_newest_change_and_tells_it(path):
    for change in SOME:
        add_change(path, change)
    assert undo_change(path) == SOME[-1]
    assert changes(path) == list(SOME[:-1])


def test_undo_again_and_again_ends_with_nothing(path):
    for change in SOME:
        add_change(path, change)
    assert [undo_change(path) for _ in SOME] == list(reversed(SOME))
    assert undo_change(path) is None


def test_a_change_after_an_undo_comes_last(path):
    for change in SOME[:2]:
        add_change(path, change)
    undo_change(path)
    add_change(path, SOME[4])
    assert changes(path) == [SOME[0], SOME[4]]


def test_the_same_change_twice_is_two_changes(path):
    for _ in range(2):
        add_change(path, SOME[3])
    assert changes(path) == [SOME[3], SOME[3]]


@given(st.text(), st.text())
def test_any_text_of_a_person_is_kept(tmp_path_factory, slug, value):
    path = tmp_path_factory.mktemp("db") / "council.db"
    change = Change(action="edit", slug=slug, value=value)
    add_change(path, change)
    assert changes(path) == [change]


def test_the_folder_of_the_database_is_made(tmp_path):
    add_change(tmp_path / "new" / "council.db", SOME[0])
    assert changes(tmp_path / "new" / "council.db") == [SOME[0]]


def test_a_database_of_an_older_version_is_brought_up_to_date(path):
    path.touch()
    add_change(path, SOME[0])
    assert version_of(path) == len(MIGRATIONS)


def test_a_database_of_a_newer_version_is_refused_with_a_sentence_that_says_what_to_do(path):
    newer = sqlite3.connect(path)
    newer.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
    newer.close()
    with pytest.raises(WorkspaceError, match="made by a newer innercouncil") as error:
        changes(path)
    assert "update innercouncil" in str(error.value)
    assert str(path) in str(error.value)


def test_a_refused_database_is_left_as_it_is(path):
    newer = sqlite3.connect(path)
    newer.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
    newer.close()
    with pytest.raises(WorkspaceError):
        add_change(path, SOME[0])
    assert version_of(path) == len(MIGRATIONS) + 1


def test_a_file_that_is_no_database_is_refused_in_one_sentence(path):
    path.write_bytes(b"this is no database, but long enough to be read as one " * 40)
    with pytest.raises(WorkspaceError) as error:
        changes(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_path_that_cannot_be_opened_is_refused_in_one_sentence(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WorkspaceError) as error:
        add_change(tmp_path / "file" / "council.db", SOME[0])
    assert "\n" not in str(error.value)


def test_the_database_can_be_read_with_plain_sqlite(path):
    add_change(path, SOME[0])
    connection = sqlite3.connect(path)
    try:
        rows = connection.execute("SELECT action, slug, value FROM persona_change").fetchall()
    finally:
        connection.close()
    assert rows == [("rename", "a", "The Maker")]
