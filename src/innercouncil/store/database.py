"""What the person made: one SQLite file, `data/council.db`, migrated forward, never overwritten by a re-run."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from innercouncil.model.errors import DamagedError, InnerCouncilError, WorkspaceError
from innercouncil.model.persona import Change
from innercouncil.store.backups import UNWIPED, back_up, forget_deleted
from innercouncil.store.database_errors import damaged, trouble
from innercouncil.store.workspace import private_folder

_WAIT_MS: Final = 10_000
"""Longest wait for another program that writes, or that stands in the way of overwriting."""
_LOG_ONLY: Final = "log"
"""Value of UNWIPED once the copies no longer hold what was deleted."""
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

    A file that was damaged, moved or replaced under it is let go: whoever restores a copy finds nobody holding the file,
    and the next block opens what is there then.

    Raises WorkspaceError where the file cannot be used or was made by a newer version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = _open(path)
        self._file = _identity(path)
        self._blocks, self._opened = 0, 1
        self._suspect, self._closed = False, False
        self._refused: tuple[object, str] | None = None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit at the end of the block, roll back when it raises."""
        with self.reading() as db, _together(db):
            yield db

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Read without locking out others."""
        with self._lock:
            db = self._there()
            self._blocks += 1
            try:
                yield db
            except sqlite3.Error as error:
                told = trouble(self.path, error)
                self._suspect |= isinstance(told, DamagedError)
                raise told from error
            except InnerCouncilError:
                raise
            except msgspec.MsgspecError as error:
                raise DamagedError(damaged(self.path, "a record cannot be read")) from error
            except Exception as error:  # a row may hold anything where a page was overwritten
                if found := _unsound(db):
                    self._suspect = True
                    raise DamagedError(damaged(self.path, found)) from error
                raise
            finally:
                self._blocks -= 1
                if not self._blocks and (self._suspect or (not self._closed and db.in_transaction)):
                    self._let_go()

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

    def state(self) -> tuple[int, int, int]:
        """Another one whenever anything was written, by this process or by another one."""
        with self.reading() as db:
            return self._opened, int(db.execute("PRAGMA data_version").fetchone()[0]), db.total_changes

    @contextlib.contextmanager
    def deletion(self) -> Iterator[sqlite3.Connection]:
        """A transaction after which nothing of what it deleted is left on disk: neither in the files nor in the copies.

        What keeps that from being done, a kill too, is made up for when the file is opened or closed next.

        Raises WorkspaceError where it is deleted, but another program keeps the bytes from being overwritten.
        """
        with self.transaction() as db:
            yield db
            db.execute("INSERT OR REPLACE INTO setting (name, value) VALUES (?, '')", (UNWIPED,))
        with self.reading() as db:
            wiped = _wipe(db, self.path)
        if not wiped:
            raise WorkspaceError(
                f"It is deleted, but another program that uses {self.path} (a database browser, another innercouncil) keeps the "
                f"old bytes on disk, in {self.path.name}-wal; close it, and the next innercouncil command overwrites them."
            )

    def suspect(self) -> None:
        """Damage was seen by somebody else: let the file go, and look all through it before it is used again."""
        with self._lock:
            self._suspect = True
            if not self._blocks:
                self._let_go()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._closed = True
            if self._connection is not None:
                if _identity(self.path) == self._file:
                    _make_up_for_wipe(self._connection, self.path)
                self._connection.close()

    def _there(self) -> sqlite3.Connection:
        """The connection to the file that bears the name now. Raises WorkspaceError."""
        if self._blocks or self._closed:
            if self._connection is None:
                raise WorkspaceError(f"{self.path} was closed already; start again.")
            return self._connection
        now = _identity(self.path)
        if self._connection is not None and now == self._file:
            return self._connection
        if self._connection is not None:
            # What is not in the file yet goes into the one it belongs to, and the new one meets an empty log.
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._let_go()
        if now is None:
            raise WorkspaceError(
                f"{self.path} was moved or deleted while innercouncil had it open; put it back, or take a copy with "
                f"`innercouncil backup restore --workspace {self.path.parent}`."
            )
        if self._refused and self._refused[0] == _looks(self.path):
            raise DamagedError(self._refused[1])
        try:
            self._connection = _open(self.path, thorough=self._suspect)
        except DamagedError as error:
            self._refused = _looks(self.path), str(error)
            raise
        self._file, self._suspect, self._refused = _identity(self.path), False, None
        self._opened += 1
        return self._connection

    def _let_go(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
        if not self._closed:
            self._connection = None


def _looks(path: Path) -> tuple[int, int, int, int] | None:
    """Another value once the file was restored or written to; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file bears the name; None where there is none."""
    found = _looks(path)
    return found and found[:2]


def _open(path: Path, *, thorough: bool = False) -> sqlite3.Connection:
    # Never by a plain open(): closing it would drop this process's locks on the file, and another process that closes the database
    # would take the write-ahead log away under those who use it (sqlite.org/howtocorrupt.html, 2.2).
    try:
        private_folder(path.parent)
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_WAIT_MS / 1000)
    except (OSError, sqlite3.Error) as error:
        raise WorkspaceError(
            f"Cannot open {path}: {error}; check the folder, or choose another with --workspace."
        ) from error
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA secure_delete=ON")
        if thorough or path.stat().st_size <= _CHEAP:
            _look_through(connection, path)
        _migrate(connection, path)
        _make_up_for_wipe(connection, path)
    except (OSError, sqlite3.Error) as error:
        connection.close()
        raise trouble(path, error) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _wipe(connection: sqlite3.Connection, path: Path, *, copies: bool = True) -> bool:
    """Bring deletions from the write-ahead log into the file and empty the log; false where somebody still reads it.

    With `copies`, no copy holds what was deleted afterwards.
    """
    busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    if copies:
        forget_deleted(path)
    if busy:
        connection.execute("UPDATE setting SET value = ? WHERE name = ?", (_LOG_ONLY, UNWIPED))
    else:
        connection.execute("DELETE FROM setting WHERE name = ?", (UNWIPED,))
    return not busy


def _make_up_for_wipe(connection: sqlite3.Connection, path: Path) -> None:
    """Do what an earlier deletion could not, if that goes without waiting; else it waits for the next time."""
    with contextlib.suppress(sqlite3.Error, WorkspaceError):
        left = connection.execute("SELECT value FROM setting WHERE name = ?", (UNWIPED,)).fetchone()
        if left is None:
            return
        connection.execute("PRAGMA busy_timeout=0")
        try:
            _wipe(connection, path, copies=left[0] != _LOG_ONLY)
        finally:
            connection.execute(f"PRAGMA busy_timeout={_WAIT_MS}")


def _look_through(connection: sqlite3.Connection, path: Path) -> None:
    if found := _unsound(connection):
        raise DamagedError(damaged(path, found))


def _unsound(connection: sqlite3.Connection) -> str:
    """What SQLite's own check finds, empty where the file is sound."""
    try:
        found = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.Error as error:
        return "" if isinstance(error, sqlite3.ProgrammingError) else str(error)
    return "" if found == "ok" else " ".join(found.split())


@contextlib.contextmanager
def _connect(path: Path) -> Iterator[sqlite3.Connection]:
    connection = _open(path)
    try:
        yield connection
    except sqlite3.Error as error:
        raise trouble(path, error) from error
    finally:
        connection.close()


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


class Made(NamedTuple):
    """A change that was made, or taken back."""

    change: Change
    undone: bool


_UNFINISHED: Final = "unfinished_change"


def add_change(path: Path, change: Change, *, begins: bool = False) -> None:
    """Record a change; the newest one made again, as after a kill, changes nothing and would have to be undone twice.

    With `begins` it is known as unfinished until `finish_change`, whatever ends the process in between.
    """
    values = (change.action, change.slug, change.value, change.other)
    with _connect(path) as connection, _together(connection):
        newest = connection.execute(
            "SELECT action, slug, value, other FROM persona_change ORDER BY id DESC LIMIT 1"
        ).fetchone()
        if newest != values:
            connection.execute(
                "INSERT INTO persona_change (made_at, action, slug, value, other) VALUES (?, ?, ?, ?, ?)",
                (datetime.now(UTC).isoformat(timespec="seconds"), *values),
            )
        if begins:
            _begin(connection, Made(change, undone=False))


def undo_change(path: Path, change: Change | None = None) -> Change | None:
    """Take back the newest change, or the newest that is like `change`, and return it, None where there is none.

    It is unfinished until `finish_change`.
    """
    if not path.exists():
        return None
    with _connect(path) as connection, _together(connection):
        rows = connection.execute(
            "SELECT id, action, slug, value, other FROM persona_change ORDER BY id DESC"
        ).fetchall()
        for number, *values in rows:
            found = Change(**dict(zip(("action", "slug", "value", "other"), values, strict=True)))
            if change in (None, found):
                connection.execute("DELETE FROM persona_change WHERE id = ?", (number,))
                _begin(connection, Made(found, undone=True))
                return found
    return None


def unfinished(path: Path) -> Made | None:
    """The change that something cut off before all that follows from it was there."""
    if not path.exists():
        return None
    with _connect(path) as connection:
        return unfinished_in(connection)


def unfinished_in(connection: sqlite3.Connection) -> Made | None:
    """The same, of an open database."""
    row = connection.execute("SELECT value FROM setting WHERE name = ?", (_UNFINISHED,)).fetchone()
    return msgspec.json.decode(row[0], type=Made) if row else None


def finish_change(path: Path) -> None:
    """All that follows from the newest change is there."""
    with _connect(path) as connection:
        connection.execute("DELETE FROM setting WHERE name = ?", (_UNFINISHED,))


def _begin(connection: sqlite3.Connection, made: Made) -> None:
    value = msgspec.json.encode(made).decode()
    connection.execute("INSERT OR REPLACE INTO setting (name, value) VALUES (?, ?)", (_UNFINISHED, value))


@contextlib.contextmanager
def _together(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has SQLite roll back by itself
            connection.execute("ROLLBACK")
        raise
