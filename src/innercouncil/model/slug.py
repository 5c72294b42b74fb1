"""Names as file-safe slugs."""

from __future__ import annotations

import re
import unicodedata


def slug_of(name: str) -> str:
    """A name as a file-safe slug: ASCII letters, digits and hyphens, at most 60 characters, never empty."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode("ascii")
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:60].strip("-") or "persona"


def is_device(filename: str) -> bool:
    """Whether Windows would open a device under this name, whatever its suffix (CON, nul.json)."""
    stem = filename.partition(".")[0].strip().upper()
    return stem in ("CON", "PRN", "AUX", "NUL") or re.fullmatch(r"(?:COM|LPT)[0-9¹²³]", stem) is not None
