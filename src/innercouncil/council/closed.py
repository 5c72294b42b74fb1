"""Closed questions: which choices a question offers, if it says so in so many words."""

from __future__ import annotations

import re
from typing import Final

_LETTERED_RE: Final = re.compile(
    r"(?:^|[\s(])([A-H1-9])[).:]\s+(\S[^\n;]*?)(?=[;\n]|\s+[A-H1-9][).:]\s|$)", re.MULTILINE
)
_PAIRS: Final = (
    (re.compile(r"\byes\s*(?:or|/)\s*no\b", re.IGNORECASE), ("yes", "no")),
    (re.compile(r"\btrue\s*(?:or|/)\s*false\b", re.IGNORECASE), ("true", "false")),
    (re.compile(r"\bja\s*(?:oder|/)\s*nein\b", re.IGNORECASE), ("ja", "nein")),
)
MAX_CHOICES: Final = 8


def choices_of(question: str) -> tuple[str, ...]:
    """The choices of a question that lists them ("yes or no", "A) … B) …"), empty for every other question.

    >>> choices_of("Is SQLite enough here, yes or no?")
    ('yes', 'no')
    >>> choices_of("Which one? A) Postgres B) SQLite")
    ('A', 'B')
    """
    for pattern, pair in _PAIRS:
        if pattern.search(question):
            return pair
    letters = [m.group(1) for m in _LETTERED_RE.finditer(question)]
    expected = [chr(ord(letters[0]) + i) for i in range(len(letters))] if letters else []
    in_order = letters == expected and letters[:1] in (["A"], ["1"])
    asks = "?" in question
    return tuple(letters) if in_order and asks and 2 <= len(letters) <= MAX_CHOICES else ()
