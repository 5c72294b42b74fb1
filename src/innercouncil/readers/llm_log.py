"""The SQLite log of simonw/llm (`logs.db`), old and new schemas; opened read-only."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from innercouncil.model.conversation import Conversation, ImportReport, Turn
from innercouncil.model.errors import ImportFormatError
from innercouncil.readers.fields import as_time, as_word
from innercouncil.readers.source import Member

NAME: Final = "llm"
_MAGIC: Final = b"SQLite format 3\0"


def recognise_file(head: bytes, name: str) -> bool:
    """Any SQLite file; whether it is llm's shows when its tables are read."""
    del name
    return head.startswith(_MAGIC)


def read(member: Member, report: ImportReport) -> Iterator[Conversation]:
    """Conversations in order of their first answer. Raises ImportFormatError where the tables are not llm's."""
    with _local(member) as path:
        try:
            uri = path.resolve().as_uri() + "?mode=ro&immutable=1"
            with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
                connection.row_factory = sqlite3.Row
                connection.text_factory = lambda b: b.decode("utf-8", "replace")
                yield from _conversations(connection, report, member.name)
        except sqlite3.Error as error:
            raise ImportFormatError(
                f"{member.name} is a SQLite file that cannot be read as llm's log; give the file that `llm logs path` prints."
            ) from error


@contextlib.contextmanager
def _local(member: Member) -> Iterator[Path]:
    """A path for SQLite to open; a member of a ZIP is copied to a temporary file first."""
    if member.path is not None:
        yield member.path
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "logs.db"
        with path.open("wb") as out, member.open() as stream:
            shutil.copyfileobj(stream, out)
        yield path


def _conversations(connection: sqlite3.Connection, report: ImportReport, name: str) -> Iterator[Conversation]:
    columns = {str(r[1]) for r in connection.execute("PRAGMA table_info(responses)")}
    if not {"prompt", "response"} <= columns:
        raise ImportFormatError(
            f"{name} is a SQLite file without llm's tables; give the file that `llm logs path` prints."
        )
    wanted = [
        c for c in ("id", "model", "prompt", "system", "response", "conversation_id", "datetime_utc") if c in columns
    ]
    titles = _titles(connection)
    conversation = "conversation_id" if "conversation_id" in columns else "NULL"
    order = "datetime_utc" if "datetime_utc" in columns else "rowid"
    # Column names come from the fixed list above, never from the file.
    rows = connection.execute(
        f"SELECT {', '.join(wanted)} FROM responses ORDER BY "  # noqa: S608
        f"MIN({order}) OVER (PARTITION BY COALESCE({conversation}, rowid)), COALESCE({conversation}, rowid), {order}, rowid"
    )
    numbered = ((dict(row), n) for n, row in enumerate(rows))
    for key, group in groupby(
        numbered, key=lambda x: x[0].get("conversation_id") or f"single-{x[0].get('id') or x[1]}"
    ):
        answers = [row for row, _ in group]
        turns = tuple(t for row in answers for t in _turns(row))
        if not any(t.role == "user" for t in turns):
            report.skip("conversation without a message of yours")
            continue
        first = answers[0]
        yield Conversation(
            id=str(key),
            title=titles.get(str(key), ""),
            turns=turns,
            time=as_time(first.get("datetime_utc")),
            model=as_word(first.get("model")),
        )


def _titles(connection: sqlite3.Connection) -> dict[str, str]:
    try:
        return {str(i): n for i, n in connection.execute("SELECT id, name FROM conversations") if isinstance(n, str)}
    except sqlite3.Error:
        return {}


def _turns(row: dict[str, Any]) -> Iterator[Turn]:
    when, key = as_time(row.get("datetime_utc")), as_word(row.get("id"))
    prompt, response = as_word(row.get("prompt")), as_word(row.get("response"))
    if prompt and prompt.strip():
        yield Turn(role="user", text=prompt, id=key, time=when)
    if response and response.strip():
        yield Turn(role="assistant", text=response, time=when, model=as_word(row.get("model")))
