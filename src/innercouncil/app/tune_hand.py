"""Answers the person writes for training, in the web app or in the awaiting files; both end in council.db."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from innercouncil.app.findings import names_of
from innercouncil.model.errors import UsageError
from innercouncil.model.tuning import AwaitingRow, HandAnswer
from innercouncil.store.database import Database
from innercouncil.store.training_answers import TrainingAnswers
from innercouncil.store.workspace import Workspace, writing

ANSWER_CHARS: Final = 20_000
_BEFORE: Final = "persona_"
_BEHIND: Final = "_awaiting.jsonl"


def awaiting_file(workspace: Workspace, slug: str) -> Path:
    """Where the questions of a persona stand that nobody has answered yet."""
    return workspace.lora_training / f"{_BEFORE}{slug}{_BEHIND}"


def read_awaiting(path: Path) -> list[AwaitingRow]:
    """The rows of an awaiting file, none where it is not there. Raises UsageError that names the line."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
    return [_row(path, n, line) for n, line in enumerate(lines, 1) if line.strip()]


def _row(path: Path, number: int, line: bytes) -> AwaitingRow:
    try:
        row = msgspec.json.decode(line, type=AwaitingRow)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise UsageError(
            f"{path}, line {number}, is not a row any more; mend it (a line break in an answer is written \\n), or delete the line."
        ) from None
    if not row.sources:
        raise UsageError(f"{path}, line {number}, names no message in `sources`; put it back, or delete the line.")
    _check(row.assistant, f"{path}, line {number}")
    return row


def write_awaiting(workspace: Workspace, slug: str, rows: Sequence[AwaitingRow]) -> None:
    """Write what awaits an answer; answers must have been taken over before."""
    with writing(awaiting_file(workspace, slug)) as out:
        for row in rows:
            out.write(msgspec.json.encode(row) + b"\n")


def take_awaiting(workspace: Workspace, database: Database) -> int:
    """Bring what was filled in in the awaiting files into council.db, where nothing overwrites it; returns how many.

    Raises UsageError for a damaged line, before anything is taken.
    """
    found = [
        HandAnswer(row.sources[0], path.name[len(_BEFORE) : -len(_BEHIND)], row.assistant)
        for path in sorted(workspace.lora_training.glob(f"{_BEFORE}*{_BEHIND}"))
        for row in read_awaiting(path)
        if row.assistant.strip()
    ]
    if found:
        TrainingAnswers(database).put(found)
    return len(found)


def hand_answers(database: Database, slugs: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
    """Persona -> message -> answer. One written as a persona that is gone counts for whichever has the message now ("")."""
    found: dict[str, dict[str, str]] = {}
    for a in TrainingAnswers(database).all():
        found.setdefault(a.persona if a.persona in slugs else "", {})[a.message] = a.text
    gone = found.pop("", {})
    return {slug: {**gone, **found.get(slug, {})} for slug in slugs}


def answer_by_hand(workspace: Workspace, database: Database, slug: str, row_id: str, text: str) -> list[AwaitingRow]:
    """Keep the person's answer to an awaiting row, an empty one to take it back; returns what `awaiting` does then.

    Raises UsageError where no such row awaits an answer or the text is too long.
    """
    _check(text, "The answer")
    row = next((r for r in read_awaiting(_last_file(workspace, slug)) if r.id == row_id), None)
    if row is None:
        raise UsageError("No such row awaits an answer; load the page again.")
    TrainingAnswers(database).put([HandAnswer(row.sources[0], slug, text)])
    return awaiting(workspace, database, slug)


def awaiting(workspace: Workspace, database: Database, slug: str) -> list[AwaitingRow]:
    """The rows of a persona that await an answer, with what was written since the last `tune prepare`."""
    names = names_of(workspace, slug)
    written = {a.message: a.text for a in TrainingAnswers(database).all() if a.persona in names}
    return [
        msgspec.structs.replace(row, assistant=written.get(row.sources[0], row.assistant))
        for row in read_awaiting(_last_file(workspace, slug))
    ]


def _last_file(workspace: Workspace, slug: str) -> Path:
    """The rows as the last `tune prepare` left them, perhaps under a name the persona had then."""
    files = [awaiting_file(workspace, name) for name in names_of(workspace, slug)]
    return next((f for f in files if f.is_file()), files[0])


def _check(text: str, what: str) -> None:
    if len(text) > ANSWER_CHARS or "\x00" in text:
        raise UsageError(f"{what}: an answer has at most {ANSWER_CHARS} characters; shorten it.")
