"""Claude.ai's export: an array of flat conversations, each message made of blocks."""

from __future__ import annotations

from typing import Final

from innercouncil.model.conversation import Conversation, ImportReport, Role, Turn
from innercouncil.readers.fields import as_dict, as_list, as_time, as_word, content_id

NAME: Final = "claude"


def recognise(sample: object) -> bool:
    """A conversation with `chat_messages`."""
    return isinstance(as_dict(sample).get("chat_messages"), list)


def to_conversation(element: object, report: ImportReport) -> Conversation | None:
    """The conversation, messages in the order of the file; None (counted) where it holds no text."""
    data = as_dict(element)
    turns = tuple(t for m in as_list(data.get("chat_messages")) if (t := _turn(as_dict(m), report)))
    if not any(t.role == "user" for t in turns):
        report.skip("conversation without a message of yours")
        return None
    title = as_word(data.get("name")) or ""
    return Conversation(
        id=as_word(data.get("uuid")) or content_id(NAME, title, turns),
        title=title,
        turns=turns,
        time=as_time(data.get("created_at")),
        model=as_word(data.get("model")),
        assistant_id=as_word(as_dict(data.get("project")).get("uuid")) or as_word(data.get("project_uuid")),
    )


def _turn(message: dict[str, object], report: ImportReport) -> Turn | None:
    sender = message.get("sender")
    if sender not in ("human", "assistant"):
        if message:
            report.skip("message of an unknown sender")
        return None
    role: Role = "user" if sender == "human" else "assistant"
    text = _text(message, report)
    files = [as_dict(f) for f in [*as_list(message.get("attachments")), *as_list(message.get("files"))]]
    names = tuple(dict.fromkeys(n for f in files if (n := as_word(f.get("file_name")))))
    pasted = tuple(p for f in files if (p := as_word(f.get("extracted_content"))))
    if not text.strip() and not pasted and not names:
        return None
    return Turn(
        role=role, text=text, id=as_word(message.get("uuid")), time=as_time(message.get("created_at")),
        attachments=names, pasted=pasted if role == "user" else (),
    )  # fmt: skip


def _text(message: dict[str, object], report: ImportReport) -> str:
    """The text blocks joined; the message's own `text` where there are none. Thoughts and tool calls are left out."""
    texts = []
    for block in map(as_dict, as_list(message.get("content"))):
        if block.get("type") == "text" and isinstance(block.get("text"), str):
            texts.append(str(block["text"]))
        elif block.get("type") in ("thinking", "tool_use", "tool_result"):
            report.skip("step of the assistant (code, tool, thought)")
    joined = "\n".join(t for t in texts if t.strip())
    return joined or as_word(message.get("text")) or ""
