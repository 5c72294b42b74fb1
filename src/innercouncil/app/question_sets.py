"""Where the questions of an unattended run come from: a file, the bundled set, the person's own chats."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from innercouncil.app.findings import load_discovery
from innercouncil.app.labelling import read_labelled
from innercouncil.model.errors import NothingToDiscoverError, UsageError
from innercouncil.model.labels import LabelledMessage
from innercouncil.model.plain_text import text_of
from innercouncil.questions import varied
from innercouncil.store.workspace import Workspace

FILE_BYTES: Final = 32 << 20
QUESTION_CHARS: Final = 20_000
"""Longest question of a file."""


class _Line(msgspec.Struct):
    question: str


def from_file(path: Path) -> list[str]:
    """One question a line, or JSON objects with a `question`. Raises UsageError that names the line."""
    try:
        if path.stat().st_size > FILE_BYTES:
            raise UsageError(f"{path} is larger than {FILE_BYTES >> 20} MB; split it.")
        text = text_of(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; name another file.") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text; save it as UTF-8.") from None
    found = [_question(path, n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not found:
        raise UsageError(f"{path} holds no question; write one a line.")
    return found


def _question(path: Path, number: int, line: str) -> str:
    question = line.strip()
    if question.startswith("{"):
        try:
            question = msgspec.json.decode(question.encode("utf-8", "replace"), type=_Line).question.strip()
        except (msgspec.MsgspecError, RecursionError):
            raise UsageError(
                f'{path}, line {number}: not a JSON object with a text "question"; mend the line.'
            ) from None
    if not question or len(question) > QUESTION_CHARS or "\x00" in question:
        raise UsageError(f"{path}, line {number}: a question has 1 to {QUESTION_CHARS} characters; mend the line.")
    return question


def bundled() -> list[str]:
    """The questions that come with the program."""
    return [q.question for q in varied()]


def from_history(workspace: Workspace, number: int, seed: int) -> list[str]:
    """Questions the person began conversations with, of the personas in turn, drawn by `seed`.

    A larger `number` keeps those of a smaller one. Raises NothingToDiscoverError.
    """
    assigned = load_discovery(workspace).analysis.assignments
    by_persona: dict[str, dict[str, str]] = {}
    for message in read_labelled(workspace.categorized_messages):
        slug = assigned.get(message.id)
        if slug and stands_alone(message):
            by_persona.setdefault(slug, {}).setdefault(message.voice.strip(), message.id)
    drawn = list(_in_turn([_shuffled(list(by_persona[s]), f"{seed}:{s}") for s in sorted(by_persona)]))
    if not drawn:
        raise NothingToDiscoverError("No conversation of yours begins with a question that can be asked by itself.")
    return drawn[:number]


def stands_alone(message: LabelledMessage) -> bool:
    """Whether a message can be asked by itself: it opens a conversation, holds nothing pasted, and is neither a word nor a page."""
    return not message.context and not message.pasted_chars and 5 <= len(message.voice.split()) <= 60


def _shuffled(texts: list[str], seed: str) -> list[str]:
    random.Random(seed).shuffle(texts)  # noqa: S311 - no secret, and it must be the same again
    return texts


def _in_turn(groups: Sequence[Sequence[str]]) -> Iterator[str]:
    seen: set[str] = set()
    for at in range(max(map(len, groups), default=0)):
        for group in groups:
            if at < len(group) and group[at] not in seen:
                seen.add(group[at])
                yield group[at]
