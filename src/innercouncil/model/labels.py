"""What a message is labelled with. The sets are defined in docs/labelling.md."""

from __future__ import annotations

from typing import Final

import msgspec

TOPICS: Final = ("software", "math_science", "business", "creative", "society", "daily_life")
ACTS: Final = (
    "learn", "shape", "build", "debug", "solve", "write", "edit", "correct", "feedback", "brief", "continue",
)  # fmt: skip
TONES: Final = ("critical", "warm", "polite", "commanding", "neutral")


class Evidence(msgspec.Struct, frozen=True, array_like=True):
    """A range of the message's text that led to `label` of `field`; `weight` is its pull (log-odds, may be negative)."""

    field: str
    label: str
    start: int
    end: int
    weight: float


class LabelledMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One line of categorized_messages.jsonl."""

    id: str
    conversation_id: str
    title: str
    position: int
    time: float | None
    branch: str
    language: str | None
    source: str
    text: str
    context: str
    reply: str
    voice: str
    pasted_chars: int
    attachments: tuple[str, ...]
    topic_category: str
    act: str
    tone: str
    confidence: dict[str, float]
    """Calibrated probability of the chosen label, per field (`topic_category`, `act`, `tone`)."""
    reasoning_markers: dict[str, int]
    question_types: tuple[str, ...]
    length_category: str
    evidence: tuple[Evidence, ...]
    labelled_by: str = "offline"
