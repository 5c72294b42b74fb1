"""Copies of council.db: one before every change of its schema, one whenever the person asks, and the way back to one."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import psutil

from innercouncil.model.errors import WorkspaceError
from innercouncil.store.workspace import disk_errors, sync_folder

KEPT: Final = 5
"""Copies of each reason that are kept; older ones go."""
UNWIPED: Final = "unwiped_deletion"
"""Setting that is there from a deletion until its bytes are overwritten in the database's files; a copy never holds them."""
_NAME: Final = re.compile(r"council-(\d{8}T\d{6}\.\d{6}Z)-([a-z0-9-]+)\.db")


class Backup(msgspec.Struct, frozen=True):
    """A copy of council.db."""

    path: str
    made_at: str
    reason: str
    size_bytes: int
    problem: str
    """Why it cannot be restored, empty where it is sound."""


def back_up(database: Path, reason: str) -> Path:
    """Put a consistent copy of the database beside it in `backups/`, also while others write to it.

    Raises WorkspaceError where the database or the disk does not allow it.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    target = _folder(database) / f"council-{stamp}-{reason}.db"
    _copy(database, target)
    for old in _of_reason(database, reason)[KEPT:]:
        with contextlib.suppress(OSError):
            old.unlink()
    return target


def forget_deleted(database: Path) -> None:
    """Let one new copy take the place of all there are, which still hold what was just deleted. Raises WorkspaceError."""
    old = list(_folder(database).glob("council-*.db"))
    if not old:
        return
    back_up(database, "after-deletion")
    with disk_errors(_folder(database)):
        for path in old:
            path.unlink(missing_ok=True)


def backups(database: Path) -> list[Backup]:
    """All copies, newest first, each looked through for damage."""
    found = []
    for path in sorted(_folder(database).glob("council-*.db"), reverse=True):
        if match := _NAME.fullmatch(path.name):
            found.append(Backup(str(path), match[1], match[2], path.stat().st_size, damage(path)))
    return found


def restore(database: Path, backup: Path) -> Path | None:
    """Put a sound copy in the database's place; what was there is moved aside and its new path returned.

    Raises WorkspaceError where the copy is damaged or the database is in use.
    """
    if problem := damage(backup):
        raise WorkspaceError(f"{backup} cannot be restored: {problem}; choose another of `innercouncil backup list`.")
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = _folder(database) / f"replaced-{stamp}.db"
    fresh = database.with_name(f".{database.name}.part")
    _copy(backup, fresh)
    _claim(database)
    with disk_errors(database):
        moved = _move_aside(database, aside)
        fresh.replace(database)
        sync_folder(database.parent)
    return aside if moved else None


def damage(path: Path) -> str:
    """What SQLite's own check finds wrong with a database (PRAGMA quick_check), empty where it is sound."""
    if not path.is_file():
        return "it is not there"
    try:
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
            first = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
            made = int(db.execute("PRAGMA user_version").fetchone()[0])
    except (sqlite3.Error, OSError) as error:
        return str(error)
    if first != "ok":
        return first
    return "" if made else "it holds no council"


def _folder(database: Path) -> Path:
    return database.parent / "backups"


def _of_reason(database: Path, reason: str) -> list[Path]:
    files = sorted(_folder(database).glob("council-*.db"), reverse=True)
    return [f for f in files if (match := _NAME.fullmatch(f.name)) and match[2] == reason]


def _claim(database: Path) -> None:
    """Make sure nobody has the database open: only then can SQLite leave its write-ahead mode."""
    if not database.exists():
        return
    try:
        with _opened(database, "rw") as db:
            db.execute("PRAGMA journal_mode=DELETE").fetchone()
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
            raise WorkspaceError(
                f"{database} is open in another innercouncil process; stop it (`serve`, a running council), then restore."
            ) from None


def _move_aside(database: Path, aside: Path) -> bool:
    there = database.exists()
    for suffix in ("-wal", "-shm", ""):
        part = database.with_name(database.name + suffix)
        if part.exists():
            aside.parent.mkdir(parents=True, exist_ok=True)
            _also_or_instead(part, aside.with_name(aside.name + suffix), also=not suffix)
    return there


def _also_or_instead(path: Path, other: Path, *, also: bool) -> None:
    """Give a file another name; with `also` it keeps its own, where the disk can do that, so that it is never missing there."""
    if also:
        with contextlib.suppress(OSError):
            os.link(path, other)
            return
    path.replace(other)


def _copy(source: Path, target: Path) -> None:
    """SQLite's backup of `source`, whole under its name or not there at all."""
    part = target.with_name(f".{target.name.lstrip('.')}.{os.getpid()}.copying")
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        _drop_leftovers(target.parent)
        try:
            with _told(source), _opened(source, "ro") as old, _opened(part, "rwc") as new:
                old.backup(new)
                new.execute("PRAGMA journal_mode=DELETE")
                if new.execute("SELECT 1 FROM sqlite_master WHERE name = 'setting'").fetchone():
                    new.execute("DELETE FROM setting WHERE name = ?", (UNWIPED,))
            part.replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        sync_folder(target.parent)


def _drop_leftovers(folder: Path) -> None:
    """Take out what killed processes left half-copied."""
    for left in folder.glob(".*.copying"):
        pid = left.name.split(".")[-2]
        if not (pid.isdigit() and psutil.pid_exists(int(pid))):
            left.unlink(missing_ok=True)


@contextlib.contextmanager
def _opened(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(
        sqlite3.connect(f"{path.resolve().as_uri()}?mode={mode}", uri=True, isolation_level=None)
    ) as db:
        yield db


@contextlib.contextmanager
def _told(database: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise WorkspaceError(f"Cannot copy {database}: {error}; check the disk's free space and the file.") from error
