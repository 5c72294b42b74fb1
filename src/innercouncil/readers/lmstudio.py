"""LM Studio's conversation files: one object a file, every message with its versions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from innercouncil.model.conversation import Conversation, ImportReport, Turn
from innercouncil.readers.fields import as_dict, as_list, as_time, as_word, content_id

NAME: Final = "lmstudio"


def recognise(sample: object) -> bool:
    """An object whose `messages` have `versions`."""
    messages = as_list(as_dict(sample).get("messages"))
    return any(isinstance(as_dict(m).get("versions"), list) for m in messages[:5])


def to_conversation(element: object, report: ImportReport) -> Conversation | None:
    """The selected version of every message; other versions of the person's messages stand before it as edited."""
    data = as_dict(element)
    turns = tuple(t for m in as_list(data.get("messages")) for t in _turns(as_dict(m), report))
    if not any(t.role == "user" for t in turns):
        report.skip("conversation without a message of yours")
        return None
    title = as_word(data.get("name")) or ""
    created = as_time(data.get("createdAt"))
    model = as_word(as_dict(data.get("lastUsedModel")).get("identifier"))
    return Conversation(
        id=as_word(data.get("id")) or content_id(NAME, f"{title}{created}", turns),
        title=title, turns=turns, time=created, model=model, instructions=as_word(data.get("systemPrompt")) or "",
    )  # fmt: skip


def _turns(message: dict[str, Any], report: ImportReport) -> Iterator[Turn]:
    versions = [as_dict(v) for v in as_list(message.get("versions"))]
    selected = message.get("currentlySelected")
    chosen = selected if isinstance(selected, int) and 0 <= selected < len(versions) else len(versions) - 1
    for i, version in enumerate(versions):
        role, text = version.get("role"), _text(version)
        if role not in ("user", "assistant"):
            if role:
                report.skip("system or tool message")
            continue
        if not text.strip() or (i != chosen and role != "user"):
            continue
        if i != chosen:
            yield Turn(role="user", text=text, branch="edited")
    if versions and versions[chosen].get("role") in ("user", "assistant") and _text(versions[chosen]).strip():
        yield Turn(role=versions[chosen]["role"], text=_text(versions[chosen]))


def _text(version: dict[str, Any]) -> str:
    """Text parts of a single step, or of the content blocks of several steps; thoughts and debug blocks left out."""
    parts = as_list(version.get("content"))
    for step in map(as_dict, as_list(version.get("steps"))):
        if step.get("type") == "contentBlock" and as_dict(step.get("style")).get("type") != "thinking":
            parts = [*parts, *as_list(step.get("content"))]
    return "".join(
        str(p["text"]) for p in map(as_dict, parts) if p.get("type") == "text" and isinstance(p.get("text"), str)
    )
