"""Take values of any JSON type for what they should be, or for nothing: exports are not to be trusted."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any, Final

from innercouncil.model.conversation import Turn

LATEST: Final = 1e11
"""Seconds since the epoch beyond which a number must be milliseconds."""


def content_id(name: str, title: object, turns: tuple[Turn, ...]) -> str:
    """An id for a conversation that has none: the same whenever the same conversation is read again."""
    digest = hashlib.blake2b(repr(title).encode("utf-8", "replace"), digest_size=8)
    for turn in turns:
        digest.update(f"\0{turn.role}\0{turn.time}\0{turn.text}".encode("utf-8", "replace"))
    return f"{name}-{digest.hexdigest()}"


def as_dict(value: object) -> dict[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def as_word(value: object) -> str | None:
    """The value if it is text that is not empty."""
    return value if isinstance(value, str) and value else None


def as_time(value: object) -> float | None:
    """Seconds since the epoch from a number (seconds or milliseconds) or an ISO date; None for anything else."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
            value = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if abs(value) > LATEST:
        value = value / 1000 if abs(value) < 1e15 else 0
    return float(value) if 0 < value < LATEST else None
