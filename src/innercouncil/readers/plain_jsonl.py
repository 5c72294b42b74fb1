"""Plain JSON Lines, for everything else: one message a line, as described in docs/formats.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, Final

import msgspec

from innercouncil.model.conversation import Conversation, ImportReport, Role, Turn
from innercouncil.readers.fields import as_dict, as_list, as_time, as_word
from innercouncil.readers.source import Member

NAME: Final = "jsonl"
ROLES: Final[dict[str, Role]] = {
    "user": "user", "human": "user", "person": "user", "assistant": "assistant", "ai": "assistant", "model": "assistant",
}  # fmt: skip
MAX_LINE: Final = 64 << 20


def recognise_file(head: bytes, name: str) -> bool:
    """The first line is an object with a known `role` and a `text` (or `content`), or with a list of such `messages`."""
    del name
    line = head.lstrip(b"\xef\xbb\xbf \t\r\n").split(b"\n", 1)[0]
    data = _decoded(line)
    if data is None and len(head) >= 1 << 15:
        return line.startswith(b"{") and b'"role"' in line and (b'"text"' in line or b'"content"' in line)
    if data is not None and isinstance(data.get("messages"), list):
        return any(
            as_word(as_dict(m).get("role")) in ROLES and _text(as_dict(m)) is not None for m in data["messages"][:3]
        )
    return data is not None and as_word(data.get("role")) in ROLES and _text(data) is not None


def read(member: Member, report: ImportReport) -> Iterator[Conversation]:
    """Conversations in order of appearance; lines without a `conversation` follow the one before, or form one of their own."""
    turns: list[Turn] = []
    current: tuple[str, str] | None = None
    done: dict[str, int] = {}
    with member.open() as stream:
        for number, data in _lines(stream, report):
            if isinstance(data.get("messages"), list):
                if current:
                    yield _conversation(current, turns, done)
                current, turns = None, []
                whole = [t for m in data["messages"] if (t := _turn(as_dict(m), report))]
                if whole:
                    name = as_word(data.get("conversation")) or as_word(data.get("id")) or f"line-{number}"
                    yield _conversation((name, as_word(data.get("title")) or ""), whole, done)
                continue
            turn = _turn(data, report)
            if turn is None:
                continue
            key = data.get("conversation")
            name = str(key) if isinstance(key, str | int) else current[0] if current else f"line-{number}"
            if current is None or name != current[0]:
                if current:
                    yield _conversation(current, turns, done)
                current, turns = (name, as_word(data.get("title")) or ""), []
            turns.append(turn)
    if current:
        yield _conversation(current, turns, done)


def _turn(data: dict[str, Any], report: ImportReport) -> Turn | None:
    role, text = ROLES.get(str(data.get("role"))), _text(data)
    if role is None or text is None or not text.strip():
        report.skip("line that is no message of yours or the assistant's")
        return None
    return Turn(
        role=role,
        text=text,
        id=as_word(data.get("id")),
        time=as_time(data.get("time")),
        model=as_word(data.get("model")),
        attachments=tuple(a for a in as_list(data.get("attachments")) if isinstance(a, str)),
    )


def _conversation(current: tuple[str, str], turns: list[Turn], done: dict[str, int]) -> Conversation:
    """The conversation; one whose name comes up again later in the file counts as a new one."""
    name, title = current
    done[name] = done.get(name, 0) + 1
    key = name if done[name] == 1 else f"{name}~{done[name]}"
    return Conversation(id=key, title=title, turns=tuple(turns), time=turns[0].time)


def _lines(stream: BinaryIO, report: ImportReport) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    while line := stream.readline(MAX_LINE):
        number += 1
        if not line.strip():
            continue
        data = _decoded(line.lstrip(b"\xef\xbb\xbf"))
        if data is None:
            report.skip("line that is not a JSON object")
            continue
        yield number, data


def _decoded(line: bytes) -> dict[str, Any] | None:
    try:
        data = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _text(data: dict[str, Any]) -> str | None:
    for key in ("text", "content"):
        if isinstance(data.get(key), str):
            return str(data[key])
    parts = [str(p["text"]) for p in map(as_dict, as_list(data.get("content"))) if isinstance(p.get("text"), str)]
    return "\n".join(parts) if parts else None
