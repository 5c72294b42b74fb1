"""What the person made: one SQLite file, `data/council.db`, migrated forward, never overwritten by a re-run."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from innercouncil.model.errors import WorkspaceError
from innercouncil.model.persona import Change

MIGRATIONS: Final = (
    """
    CREATE TABLE persona_change (
        id INTEGER PRIMARY KEY,
        made_at TEXT NOT NULL,
        action TEXT NOT NULL CHECK (action IN ('edit', 'rename', 'merge', 'split', 'drop')),
        slug TEXT NOT NULL,
        value TEXT NOT NULL DEFAULT '',
        other TEXT NOT NULL DEFAULT ''
    ) STRICT;
    """,
)


@contextlib.contextmanager
def _connect(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise WorkspaceError(
            f"Cannot open {path}: {error}; check the folder, or choose another with --workspace."
        ) from error
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA foreign_keys=ON")
        _migrate(connection, path)
        yield connection
    except sqlite3.Error as error:
        raise WorkspaceError(f"Cannot use {path}: {error}; restore it from a backup or move it away.") from error
    finally:
        connection.close()


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(MIGRATIONS):
        raise WorkspaceError(
            f"{path} was made by a newer innercouncil (schema {version}); update innercouncil to open it."
        )
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.executescript(f"BEGIN;{script}PRAGMA user_version={number};COMMIT;")


def changes(path: Path) -> list[Change]:
    """All changes of the person, oldest first; none where there is no database yet."""
    if not path.exists():
        return []
    with _connect(path) as connection:
        rows = connection.execute("SELECT action, slug, value, other FROM persona_change ORDER BY id").fetchall()
    return [Change(action=a, slug=s, value=v, other=o) for a, s, v, o in rows]


def add_change(path: Path, change: Change) -> None:
    """Record a change."""
    with _connect(path) as connection:
        connection.execute(
            "INSERT INTO persona_change (made_at, action, slug, value, other) VALUES (?, ?, ?, ?, ?)",
            (datetime.now(UTC).isoformat(timespec="seconds"), change.action, change.slug, change.value, change.other),
        )


def undo_change(path: Path) -> Change | None:
    """Take back the newest change and return it, None where there is none."""
    if not path.exists():
        return None
    with _connect(path) as connection:
        row = connection.execute(
            "SELECT id, action, slug, value, other FROM persona_change ORDER BY id DESC LIMIT 1"
        ).fetchone()
        if row is None:
            return None
        connection.execute("DELETE FROM persona_change WHERE id = ?", (row[0],))
    return Change(action=row[1], slug=row[2], value=row[3], other=row[4])
