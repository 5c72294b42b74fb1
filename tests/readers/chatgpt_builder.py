"""Small ChatGPT exports for the tests: trees are written as node -> (parent, role, text, more fields)."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from innercouncil.model.conversation import ImportReport
from innercouncil.readers.json_stream import iter_elements


def new_report() -> ImportReport:
    return ImportReport(format="chatgpt", source_name="test")


def message(role: str | None, text: object = "", **fields: Any) -> dict[str, Any]:
    base: dict[str, Any] = {"author": {"role": role}, "content": {"content_type": "text", "parts": [text]}}
    return base | fields


def tree(*nodes: tuple[Any, ...]) -> dict[str, Any]:
    """A mapping from (id, parent, role, text[, fields]) rows; role None makes a node without a message."""
    mapping: dict[str, Any] = {}
    for node, parent, role, *rest in nodes:
        text, fields = (rest[0] if rest else ""), (rest[1] if len(rest) > 1 else {})
        body = None if role is None else message(role, text, **({"id": node} | fields))
        mapping[node] = {"id": node, "message": body, "parent": parent, "children": []}
    for node, entry in mapping.items():
        if isinstance(entry["parent"], str) and entry["parent"] in mapping:
            mapping[entry["parent"]]["children"].append(node)
    return mapping


def chat(*nodes: tuple[Any, ...], **fields: Any) -> dict[str, Any]:
    base = {"title": "A chat", "create_time": 1.7e9, "mapping": tree(*nodes), "conversation_id": "c1"}
    if nodes:
        base["current_node"] = nodes[-1][0]
    return base | fields


def simple(conversation_id: str, text: str = "hello", answer: str = "hi there") -> dict[str, Any]:
    rows = [("root", None, None), ("u", "root", "user", text), ("a", "u", "assistant", answer)]
    return chat(*rows, conversation_id=conversation_id)


def write(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def elements(data: bytes, report: ImportReport | None = None) -> list[Any]:
    return list(iter_elements(io.BytesIO(data), report or new_report(), name="x.json"))
