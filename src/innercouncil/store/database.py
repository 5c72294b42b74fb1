"""What the person made: one SQLite file, `data/council.db`, migrated forward, never overwritten by a re-run."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from innercouncil.model.errors import WorkspaceError
from innercouncil.model.persona import Change
from innercouncil.store.backups import back_up, forget_deleted

_CHEAP: Final = 4 << 20
"""Bytes of a database that is looked through whenever it is opened; `doctor` and `backup list` look through any."""

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
    """
    CREATE TABLE persona (
        id INTEGER PRIMARY KEY,
        slug TEXT NOT NULL UNIQUE,
        origin TEXT NOT NULL CHECK (origin IN ('discovered', 'created', 'imported', 'duplicated')),
        source TEXT UNIQUE,
        enabled INTEGER NOT NULL DEFAULT 1,
        archived INTEGER NOT NULL DEFAULT 0,
        generated TEXT NOT NULL DEFAULT '',
        position INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE persona_version (
        id INTEGER PRIMARY KEY,
        persona INTEGER NOT NULL REFERENCES persona (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        made_at TEXT NOT NULL,
        reason TEXT NOT NULL,
        card TEXT NOT NULL,
        UNIQUE (persona, number)
    ) STRICT;
    CREATE TABLE session (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        created_at TEXT NOT NULL,
        finished_at TEXT,
        status TEXT NOT NULL CHECK (status IN ('running', 'done', 'stopped', 'failed')),
        problem TEXT NOT NULL DEFAULT '',
        parent TEXT REFERENCES session (id) ON DELETE SET NULL,
        question TEXT NOT NULL,
        winner TEXT NOT NULL DEFAULT '',
        worker_model TEXT NOT NULL,
        synthesizer_model TEXT NOT NULL,
        council TEXT NOT NULL,
        owner TEXT NOT NULL DEFAULT ''
    ) STRICT;
    CREATE INDEX session_parent ON session (parent);
    CREATE TABLE worker (
        session INTEGER NOT NULL REFERENCES session (number) ON DELETE CASCADE,
        seat INTEGER NOT NULL,
        slug TEXT NOT NULL,
        version INTEGER REFERENCES persona_version (id) ON DELETE SET NULL,
        PRIMARY KEY (session, seat)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX worker_slug ON worker (slug);
    CREATE INDEX worker_version ON worker (version);
    CREATE TABLE answer (
        session INTEGER NOT NULL REFERENCES session (number) ON DELETE CASCADE,
        part TEXT NOT NULL,
        seat INTEGER NOT NULL,
        round INTEGER NOT NULL,
        status TEXT NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (session, part, seat, round)
    ) STRICT;
    CREATE TABLE ballot (
        session INTEGER NOT NULL REFERENCES session (number) ON DELETE CASCADE,
        part TEXT NOT NULL,
        voter INTEGER NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (session, part, voter)
    ) STRICT;
    CREATE TABLE tally (
        session INTEGER NOT NULL REFERENCES session (number) ON DELETE CASCADE,
        part TEXT NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (session, part)
    ) STRICT;
    CREATE TABLE synthesis (
        session INTEGER NOT NULL REFERENCES session (number) ON DELETE CASCADE,
        part TEXT NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (session, part)
    ) STRICT;
    CREATE TABLE person_vote (
        id INTEGER PRIMARY KEY,
        session INTEGER NOT NULL REFERENCES session (number) ON DELETE CASCADE,
        made_at TEXT NOT NULL,
        blind INTEGER NOT NULL,
        tiers TEXT NOT NULL
    ) STRICT;
    CREATE INDEX person_vote_session ON person_vote (session);
    CREATE TABLE setting (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE VIRTUAL TABLE session_text USING fts5 (
        question, answers, final, tokenize = "unicode61 remove_diacritics 2"
    );
    """,
    """
    CREATE TABLE persona_change_new (
        id INTEGER PRIMARY KEY,
        made_at TEXT NOT NULL,
        action TEXT NOT NULL CHECK (action IN ('edit', 'rename', 'merge', 'split', 'drop', 'choose')),
        slug TEXT NOT NULL,
        value TEXT NOT NULL DEFAULT '',
        other TEXT NOT NULL DEFAULT ''
    ) STRICT;
    INSERT INTO persona_change_new SELECT id, made_at, action, slug, value, other FROM persona_change;
    DROP TABLE persona_change;
    ALTER TABLE persona_change_new RENAME TO persona_change;
    """,
    """
    CREATE TABLE worth_vote (
        id INTEGER PRIMARY KEY,
        session INTEGER NOT NULL REFERENCES session (number) ON DELETE CASCADE,
        made_at TEXT NOT NULL,
        judge TEXT NOT NULL,
        shown TEXT NOT NULL,
        tiers TEXT NOT NULL
    ) STRICT;
    CREATE INDEX worth_vote_session ON worth_vote (session);
    """,
    """
    CREATE TABLE ab_test (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        made_at TEXT NOT NULL,
        stopped_at TEXT,
        body TEXT NOT NULL,
        questions TEXT NOT NULL
    ) STRICT;
    CREATE TABLE ab_trial (
        id INTEGER PRIMARY KEY,
        test INTEGER NOT NULL REFERENCES ab_test (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        made_at TEXT NOT NULL,
        question TEXT NOT NULL,
        first TEXT NOT NULL CHECK (first IN ('a', 'b')),
        a TEXT NOT NULL,
        b TEXT NOT NULL,
        same INTEGER NOT NULL DEFAULT 0,
        choice TEXT CHECK (choice IN ('first', 'second', 'tie')),
        voted_at TEXT,
        UNIQUE (test, number)
    ) STRICT;
    """,
    """
    CREATE TABLE training_answer (
        message TEXT PRIMARY KEY,
        persona TEXT NOT NULL,
        made_at TEXT NOT NULL,
        text TEXT NOT NULL
    ) STRICT;
    """,
    # Which answers stand is asked of all sessions at once, and must not read their texts.
    "CREATE INDEX answer_standing ON answer (session, part, seat, status);",
)


class Database:
    """An open council.db, for one process and many threads; every block is a transaction.

    Raises WorkspaceError where the file cannot be used or was made by a newer version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._connection = _open(path)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit at the end of the block, roll back when it raises."""
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield self._connection
                    self._connection.execute("COMMIT")
                except BaseException:
                    if self._connection.in_transaction:  # a full disk has SQLite roll back by itself
                        self._connection.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise WorkspaceError(_told(self.path, error)) from error

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Read without locking out others."""
        with self._lock:
            try:
                yield self._connection
            except sqlite3.Error as error:
                raise WorkspaceError(_told(self.path, error)) from error

    def setting(self, name: str) -> str | None:
        """A setting of the workspace, None where it was never made."""
        with self.reading() as db:
            row = db.execute("SELECT value FROM setting WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else None

    def set(self, name: str, value: str | None) -> None:
        """Make or remove a setting. Never a key or another secret."""
        with self.transaction() as db:
            if value is None:
                db.execute("DELETE FROM setting WHERE name = ?", (name,))
            else:
                db.execute("INSERT OR REPLACE INTO setting (name, value) VALUES (?, ?)", (name, value))

    def state(self) -> tuple[int, int]:
        """Another pair whenever anything was written, by this process or by another one."""
        with self.reading() as db:
            return int(db.execute("PRAGMA data_version").fetchone()[0]), db.total_changes

    def wipe(self) -> None:
        """Bring deletions from the write-ahead log into the file, so that nothing of what was deleted is left on disk."""
        with self._lock:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        forget_deleted(self.path)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()


def _open(path: Path) -> sqlite3.Connection:
    # Never by a plain open(): closing it would drop this process's locks on the file, and another process that closes the database
    # would take the write-ahead log away under those who use it (sqlite.org/howtocorrupt.html, 2.2).
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    except (OSError, sqlite3.Error) as error:
        raise WorkspaceError(
            f"Cannot open {path}: {error}; check the folder, or choose another with --workspace."
        ) from error
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA secure_delete=ON")
        _look_through(connection, path)
        _migrate(connection, path)
    except (OSError, sqlite3.Error) as error:
        connection.close()
        raise WorkspaceError(_told(path, error)) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _look_through(connection: sqlite3.Connection, path: Path) -> None:
    if path.stat().st_size > _CHEAP:
        return
    found = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    if found != "ok":
        raise WorkspaceError(_broken(path, " ".join(found.split())))


@contextlib.contextmanager
def _connect(path: Path) -> Iterator[sqlite3.Connection]:
    connection = _open(path)
    try:
        yield connection
    except sqlite3.Error as error:
        raise WorkspaceError(_told(path, error)) from error
    finally:
        connection.close()


def _told(path: Path, error: Exception) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return _broken(path, str(error))
    if code == sqlite3.SQLITE_FULL:
        return f"Cannot write {path}: the disk is full; free some space and try again: everything saved before is kept."
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"Cannot use {path}: another program is writing to it; wait for it or close it, then try again."
    return f"Cannot use {path}: {error}; check the disk and the folder's rights, then try again."


def _broken(path: Path, why: str) -> str:
    return (
        f"{path} is damaged ({why}); `innercouncil backup list --workspace {path.parent}` shows the copies to go back to, "
        "`innercouncil backup restore` takes one."
    )


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the schema up to date, a step a transaction, after a copy of what was there was put aside."""
    version = _version(connection)
    if version > len(MIGRATIONS):
        raise WorkspaceError(
            f"{path} was made by a newer innercouncil (schema {version}); update innercouncil to open it."
        )
    if 0 < version < len(MIGRATIONS):
        back_up(path, f"schema-{version}")
    while version < len(MIGRATIONS):
        connection.execute("BEGIN IMMEDIATE")
        # Another process may have been faster between the look and the lock.
        version = _version(connection)
        if version < len(MIGRATIONS):
            for statement in _statements(MIGRATIONS[version]):
                connection.execute(statement)
            version += 1
            connection.execute(f"PRAGMA user_version={version}")
        connection.execute("COMMIT")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement


def changes(path: Path) -> list[Change]:
    """All changes of the person, oldest first; none where there is no database yet."""
    if not path.exists():
        return []
    with _connect(path) as connection:
        return changes_in(connection)


def changes_in(connection: sqlite3.Connection) -> list[Change]:
    """The same of an open database."""
    rows = connection.execute("SELECT action, slug, value, other FROM persona_change ORDER BY id").fetchall()
    return [Change(action=a, slug=s, value=v, other=o) for a, s, v, o in rows]


def add_change(path: Path, change: Change) -> None:
    """Record a change; the newest one made again, as after a kill, changes nothing and would have to be undone twice."""
    values = (change.action, change.slug, change.value, change.other)
    with _connect(path) as connection:
        newest = connection.execute(
            "SELECT action, slug, value, other FROM persona_change ORDER BY id DESC LIMIT 1"
        ).fetchone()
        if newest != values:
            connection.execute(
                "INSERT INTO persona_change (made_at, action, slug, value, other) VALUES (?, ?, ?, ?, ?)",
                (datetime.now(UTC).isoformat(timespec="seconds"), *values),
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
