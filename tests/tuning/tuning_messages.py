"""Labelled messages for the tests of the tuning stage."""

from __future__ import annotations

from typing import Any

from innercouncil.model.labels import LabelledMessage


def message(id_: str = "m1", voice: str = "please add a retry with three attempts", **more: Any) -> LabelledMessage:
    """A message of the person; fields of `more` replace the plain ones."""
    fields: dict[str, Any] = {
        "id": id_, "conversation_id": "c1", "title": "", "position": 0, "time": 1.0, "branch": "active", "language": "en",
        "source": "chatgpt", "text": voice, "context": "", "reply": "", "voice": voice, "pasted_chars": 0, "attachments": (),
        "topic_category": "software", "act": "build", "tone": "neutral", "confidence": {}, "reasoning_markers": {},
        "question_types": (), "length_category": "short", "evidence": (),
    }  # fmt: skip
    return LabelledMessage(**{**fields, **more})


def as_it_is(text: str, _id: str) -> str:
    """A redaction that finds nothing."""
    return text
