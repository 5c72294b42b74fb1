"""The bundled example as other programs would have exported it."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from innercouncil.model.conversation import Conversation, ImportReport, Turn
from innercouncil.readers.registry import read_export


def write_exports(example: Path, folder: Path) -> None:
    """ZIPs of ChatGPT, Claude and Gemini in `folder`, as their users have them after downloading."""
    folder.mkdir(parents=True)
    found = list(read_export(example, ImportReport(format="", source_name=example.name)))
    _zip(folder / "chatgpt-export.zip", "conversations.json", example.read_text("utf-8"))
    _zip(folder / "claude-export.zip", "conversations.json", json.dumps([_claude(c) for c in found]))
    activities = [a for c in found for a in _gemini(c)]
    _zip(folder / "takeout-gemini.zip", "Takeout/My Activity/Gemini Apps/MyActivity.json", json.dumps(activities))


def _zip(path: Path, name: str, text: str) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr(name, text)


def _when(turn: Turn) -> str:
    return datetime.fromtimestamp(turn.time or 0, UTC).isoformat().replace("+00:00", "Z")


def _claude(conversation: Conversation) -> dict[str, Any]:
    sender = {"user": "human", "assistant": "assistant"}
    messages = [
        {"uuid": t.id, "sender": sender[t.role], "text": t.text, "content": [{"type": "text", "text": t.text}], "created_at": _when(t)}
        for t in conversation.turns
    ]  # fmt: skip
    return {"uuid": conversation.id, "name": conversation.title, "chat_messages": messages}


def _gemini(conversation: Conversation) -> list[dict[str, Any]]:
    turns = conversation.turns
    return [
        {"header": "Gemini Apps", "title": f"Prompted {asked.text}", "time": _when(asked), "products": ["Gemini Apps"],
         "safeHtmlItem": [{"html": f"<p>{answer.text}</p>"}]}
        for asked, answer in pairwise(turns) if (asked.role, answer.role) == ("user", "assistant")
    ]  # fmt: skip
