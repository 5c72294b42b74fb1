"""A model that rewrites answers in a voice that can be told: in lower case, short, with the question's own words."""

from __future__ import annotations

import re
from typing import Any


def parts_of(request: str) -> dict[str, str]:
    """The fenced texts of a request to rewrite: `voice`, `question`, `answer`."""
    return dict(re.findall(r"<<<(voice|question|answer)\n(.*?)\n>>>", request, re.DOTALL))


def rewrite(request: str, _schema: dict[str, Any] | None) -> str:
    """What a good rewriter says."""
    words = re.findall(r"[a-z0-9]+", parts_of(request).get("question", "the speed").lower())
    return f"look at {' '.join(reversed(words[:9]))} first, then change one thing and test it again."


def stubborn(request: str, schema: dict[str, Any] | None) -> str:
    """Refuses, copies, or rewrites, by the length of the question."""
    parts = parts_of(request)
    kind = len(parts.get("question", "")) % 3
    if kind == 0:
        return "I'm sorry, but as an AI language model I cannot do that."
    return parts.get("voice", "fine")[:400] if kind == 1 else rewrite(request, schema)
