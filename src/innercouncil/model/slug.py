"""Names as file-safe slugs."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container
from typing import Final

NAME_CHARS: Final = 80
"""A name has at most so many characters."""
SLUG_CHARS: Final = 60


def slug_of(name: str) -> str:
    """A name as a file-safe slug: ASCII letters, digits and hyphens, at most 60 characters, never empty."""
    return _hyphened(name)[:SLUG_CHARS].strip("-") or "persona"


def suffixed(name: str, suffix: str) -> str:
    """The name with a word behind it; of a long name the last words are left out, so that the suffix is in the slug too."""
    while len(f"{name} {suffix}") > NAME_CHARS or len(_hyphened(f"{name} {suffix}")) > SLUG_CHARS:
        name = name.rpartition(" ")[0] or name[:-1]
    return f"{name} {suffix}"


def free_name(name: str, taken: Container[str]) -> str:
    """The name, with a number behind it where its slug is among those `taken`."""
    free, number = name, 1
    while slug_of(free) in taken:
        number += 1
        free = suffixed(name, str(number))
    return free


def _hyphened(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode("ascii")
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")


def is_device(filename: str) -> bool:
    """Whether Windows would open a device under this name, whatever its suffix (CON, nul.json)."""
    stem = filename.partition(".")[0].strip().upper()
    return stem in ("CON", "PRN", "AUX", "NUL") or re.fullmatch(r"(?:COM|LPT)[0-9¹²³]", stem) is not None
