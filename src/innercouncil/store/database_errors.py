"""What SQLite says went wrong with council.db, as a sentence for a person."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from innercouncil.model.errors import DamagedError, DiskFullError, WorkspaceError


def trouble(path: Path, error: Exception) -> WorkspaceError:
    """The error to raise for one of SQLite's or the system's."""
    whole = getattr(error, "sqlite_errorcode", 0)
    code = whole & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return DamagedError(damaged(path, str(error)))
    if isinstance(error, sqlite3.OperationalError) and "decode to UTF-8" in str(error):
        # The message quotes what could not be decoded, which may be the person's.
        return DamagedError(damaged(path, "a text cannot be read"))
    if code == sqlite3.SQLITE_FULL:
        return DiskFullError(
            f"Cannot write {path}: the disk is full; free some space and try again: everything saved before is kept."
        )
    if whole in (sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_FSYNC):
        return DiskFullError(
            f"Cannot write {path}: the disk does not take it (no room, a quota, or a limit on the size of files); free some "
            "space or raise the limit and try again: everything saved before is kept."
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return WorkspaceError(
            f"Cannot use {path}: another program is writing to it; wait for it or close it, then try again."
        )
    return WorkspaceError(f"Cannot use {path}: {error}; check the disk and the folder's rights, then try again.")


def damaged(path: Path, why: str) -> str:
    """What to say of a damaged file."""
    return (
        f"{path} is damaged ({why}); `innercouncil backup list --workspace {path.parent}` shows the copies to go back to, "
        "`innercouncil backup restore` takes one."
    )
