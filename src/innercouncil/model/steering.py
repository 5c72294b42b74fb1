"""Characters that steer whatever shows a text, and are no part of what it says."""

from __future__ import annotations

import re
from typing import Final

STEERING: Final = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters but tab and line feed
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # marks of direction
    "\u2028\u2029"  # ends of a line and of a paragraph
    "\u206a-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"  # formats nobody sees: deprecated, annotations, tags
    "\ud800-\udfff"  # halves of characters
)
"""For the inside of a character class. Joiners (U+200B-U+200D) are left: scripts and pictures are written with them."""
_PLAIN_RE: Final = re.compile("[^\\x20-\\x7e\\n]+")


def escaped(json: str) -> str:
    """JSON in which every character that is not seen as itself is escaped; read again, it says the same."""
    return _PLAIN_RE.sub(lambda m: m[0] if m[0].isprintable() else "".join(map(_escaped, m[0])), json)


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x10000:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
