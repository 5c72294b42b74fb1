"""Training rows as they lie in a file: one JSON object a line, whose `messages` end with what the persona is to say."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import msgspec

from innercouncil.model.errors import UsageError
from innercouncil.model.tokens import estimate_tokens
from innercouncil.model.training import DataFacts

MARKS = 6
"""Tokens of a chat template around a message, about."""


class RowMessage(msgspec.Struct, frozen=True):
    """A message of a row."""

    role: Literal["system", "user", "assistant"]
    content: str


class Row(msgspec.Struct, frozen=True):
    """What a training reads of a line; other keys are passed over."""

    messages: tuple[RowMessage, ...]
    conversation: str = ""
    kind: str = ""


def read_rows(path: Path) -> tuple[list[Row], str]:
    """All rows of a file and its SHA-256. Raises UsageError that names the line and never its text."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror or type(error).__name__}); make it with `innercouncil tune prepare`, or name "
            "the file with --data."
        ) from None
    decoder = msgspec.json.Decoder(Row)
    rows = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            row = decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise UsageError(_said(path, number, "is not an object with messages of role and content")) from None
        if len(row.messages) < 2 or row.messages[-1].role != "assistant" or not row.messages[-1].content.strip():
            raise UsageError(_said(path, number, "does not end with an answer of the assistant to something"))
        rows.append(row)
    return rows, hashlib.sha256(data).hexdigest()


def facts_of(path: Path) -> DataFacts:
    """What a plan needs to know of a file. Raises UsageError for a file without rows too."""
    rows, digest = read_rows(path)
    if not rows:
        raise UsageError(f"{path} holds no rows; make some with `innercouncil tune prepare`.")
    lengths = [sum(estimate_tokens(m.content) + MARKS for m in row.messages) for row in rows]
    return DataFacts(rows=len(rows), tokens=sum(lengths), longest=max(lengths), digest=digest)


def _said(path: Path, number: int, what: str) -> str:
    return f"{path}, line {number}, {what}; mend or remove that line."
