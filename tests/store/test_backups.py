"""Copies of council.db: made before a change of its schema and on request, checked, restored; damage is told in a sentence."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from innercouncil.model.errors import WorkspaceError
from innercouncil.store.backups import KEPT, back_up, backups, restore
from innercouncil.store.database import MIGRATIONS, Database


def ran(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "innercouncil", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def one_sentence(result: subprocess.CompletedProcess[str], *says: str) -> None:
    assert result.returncode == 1, result.stderr
    assert len([line for line in result.stderr.splitlines() if line.startswith("Error")]) == 1
    assert "Traceback" not in result.stderr
    assert all(words in result.stderr for words in says), result.stderr


def old(path: Path, version: int) -> None:
    with sqlite3.connect(path) as db:
        for script in MIGRATIONS[:version]:
            db.executescript(script)
        db.execute("INSERT INTO persona_change (made_at, action, slug, value) VALUES ('x', 'edit', 'mine', 'kept')")
        db.execute(f"PRAGMA user_version={version}")
    db.close()


def filled(path: Path, value: str = "kept") -> None:
    database = Database(path)
    database.set("mine", value)
    database.close()


def value(path: Path) -> str | None:
    database = Database(path)
    try:
        return database.setting("mine")
    finally:
        database.close()


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
def test_before_every_change_of_the_schema_a_copy_is_put_aside(tmp_path: Path, version: int) -> None:
    path = tmp_path / "council.db"
    old(path, version)
    Database(path).close()
    (copy,) = backups(path)
    assert (copy.reason, copy.problem) == (f"schema-{version}", "")
    with sqlite3.connect(copy.path) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == version
        assert db.execute("SELECT slug FROM persona_change").fetchall() == [("mine",)]
    db.close()
    Database(path).close()
    assert len(backups(path)) == 1, "up to date, nothing is copied"


def test_where_no_copy_can_be_made_the_schema_stays(tmp_path: Path) -> None:
    path = tmp_path / "council.db"
    old(path, 1)
    (tmp_path / "backups").write_text("a file in the way")
    with pytest.raises(WorkspaceError, match="backups"):
        Database(path)
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == 1
    db.close()


def test_two_that_open_an_old_one_at_the_same_time_both_get_it(tmp_path: Path) -> None:
    path = tmp_path / "council.db"
    old(path, 1)
    script = "import sys; from pathlib import Path; from innercouncil.store.database import Database; Database(Path(sys.argv[1]))"
    both = [subprocess.Popen([sys.executable, "-c", script, path]) for _ in range(4)]
    assert [p.wait() for p in both] == [0] * 4


def test_only_the_newest_copies_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "council.db"
    filled(path)
    made = [str(back_up(path, "asked-for")) for _ in range(KEPT + 2)]
    assert [b.path for b in backups(path)] == made[:1:-1]


def test_a_copy_holds_what_was_written_last_while_the_file_is_open(tmp_path: Path) -> None:
    path = tmp_path / "council.db"
    database = Database(path)
    database.set("mine", "newest")
    copy = back_up(path, "asked-for")
    database.close()
    assert value(copy) == "newest"


@pytest.mark.parametrize("damage", ["no database", "pages", "cut off"])
def test_damage_is_told_and_the_newest_sound_copy_comes_back(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "council.db"
    filled(path)
    assert ran("backup", "make", "--workspace", tmp_path).returncode == 0
    data = path.read_bytes()
    broken = {
        "no database": b"x" * len(data),
        "pages": data[:4096] + b"\xff" * (len(data) - 4096),
        "cut off": data[:9000],
    }
    path.write_bytes(broken[damage])
    one_sentence(ran("standings", "--workspace", tmp_path), "is damaged", "innercouncil backup restore")
    one_sentence(ran("backup", "make", "--workspace", tmp_path), "is not copied")
    Path(backups(path)[0].path).with_name("council-29990101T000000.000000Z-asked-for.db").write_bytes(broken[damage])
    listed = ran("backup", "list", "--workspace", tmp_path)
    assert [line.split("  ")[3].split(":")[0] for line in listed.stdout.splitlines()] == ["damaged", "sound"]
    done = ran("backup", "restore", "--workspace", tmp_path)
    assert done.returncode == 0, done.stderr
    assert value(path) == "kept"
    (aside,) = (tmp_path / "backups").glob("replaced-*.db")
    assert aside.read_bytes() == broken[damage], "what was there is not deleted"


def test_restored_is_what_the_copy_holds_and_nothing_of_the_write_ahead_log(tmp_path: Path) -> None:
    path = tmp_path / "council.db"
    filled(path, "before")
    copy = back_up(path, "asked-for")
    filled(path, "after")
    assert restore(path, copy) is not None
    assert value(path) == "before"


def test_an_open_database_is_not_restored(tmp_path: Path) -> None:
    path = tmp_path / "council.db"
    filled(path)
    back_up(path, "asked-for")
    database = Database(path)
    database.set("mine", "in use")
    one_sentence(ran("backup", "restore", "--workspace", tmp_path), "open in another innercouncil process")
    assert database.setting("mine") == "in use"
    database.close()


def test_without_a_copy_the_command_says_so(tmp_path: Path) -> None:
    result = ran("backup", "restore", "--workspace", tmp_path)
    assert result.returncode == 2
    assert "no sound copy" in result.stderr


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "council.db"
    filled(path)
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=999")
    db.close()
    before = path.read_bytes()
    one_sentence(ran("standings", "--workspace", tmp_path), "newer innercouncil", "update innercouncil")
    assert path.read_bytes() == before
    assert not (tmp_path / "backups").exists()


def test_another_process_that_closes_it_takes_nothing_from_those_who_have_it_open(tmp_path: Path) -> None:
    path = tmp_path / "council.db"
    held = Database(path)
    held.set("mine", "before")
    Database(path).close()  # nothing about this may drop the process's locks on the file
    script = f"from pathlib import Path; from innercouncil.store.database import Database; Database(Path({str(path)!r})).close()"
    subprocess.run([sys.executable, "-c", script], check=True)
    assert path.with_name("council.db-wal").exists(), "the write-ahead log went while it was in use"
    held.set("mine", "after" * 2000)
    assert value(path) == "after" * 2000
    held.close()
    assert value(path) == "after" * 2000
