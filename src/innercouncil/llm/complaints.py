"""What a server says is wrong: read in any of the shapes servers use, and made fit to be shown."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec

MAX_WORDS: Final = 300
"""Characters of a server's own error message that are passed on."""
_ECHO: Final = 16
"""Length from which a run of characters of an error message that also stands in the request counts as an echo."""
_CONTEXT: Final = re.compile(r"context[ _](length|window|size)|too (large|long|many)|exceed", re.IGNORECASE)


class Complaint(NamedTuple):
    """What a server says is wrong."""

    words: str = ""
    code: str = ""
    """Machine-readable reason, e.g. `unsupported_parameter` or `overloaded_error`."""
    about: str = ""
    """Name of the field that is wrong, where the server tells."""

    def names(self, field: str) -> bool:
        """Whether the complaint is that the server does not know or want `field` (not that a value is too large)."""
        if says_too_long(self.words):
            return False
        if self.about not in ("", "body"):
            return field in re.split(r"[.\[\]/ ]", self.about)
        return re.search(rf"(?<!\w){re.escape(field)}(?!\w)", self.words) is not None


def read_complaint(data: bytes | dict[str, Any]) -> Complaint:
    """What an error document says, in any of the shapes that servers use."""
    value: object = data
    if isinstance(data, bytes):
        text = data.decode("utf-8", "replace")
        try:
            value = msgspec.json.decode(text)
        except (msgspec.MsgspecError, RecursionError, UnicodeError):
            return Complaint("" if text.lstrip().startswith("<") else text)  # a proxy's HTML page says nothing
    if not isinstance(value, dict):
        return Complaint(value if isinstance(value, str) else "")
    inner = value.get("error", value)
    if isinstance(inner, str):
        return Complaint(inner)
    if not isinstance(inner, dict):
        return Complaint()
    detail = inner.get("detail")
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):  # FastAPI; `input` beside it is an echo
        where = detail[0].get("loc")
        about = ".".join(map(str, where)) if isinstance(where, list) else ""
        return Complaint(f"{about}: {detail[0].get('msg', '')}", str(detail[0].get("type", "")), about)
    words = next((w for key in ("message", "detail") if isinstance(w := inner.get(key), str)), "")
    code = next((str(c) for key in ("code", "type") if isinstance(c := inner.get(key), str | int)), "")
    param = inner.get("param")
    return Complaint(words, code, param if isinstance(param, str) else "")


def says_too_long(words: str) -> bool:
    """Whether the reason is that too much was asked at once."""
    return _CONTEXT.search(words) is not None


def clean(words: str, limit: int = MAX_WORDS) -> str:
    """Words on one line without characters that steer a terminal, cut at `limit`."""
    line = "".join(" " if unicodedata.category(c).startswith(("C", "Z")) else c for c in words[: 8 * limit])
    line = " ".join(line.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def redact(words: str, private: Iterable[str | None]) -> str:
    """`words` without the private texts: neither whole nor in runs of `_ECHO` characters."""
    words = words[: 8 * MAX_WORDS]
    texts = [text for text in private if text]
    for text in texts:
        if 4 <= len(text) <= _ECHO:
            words = words.replace(text, "…")
    hidden = [False] * len(words)
    for start in range(len(words) - _ECHO + 1):
        run = words[start : start + _ECHO]
        if any(run in text for text in texts):
            hidden[start : start + _ECHO] = [True] * _ECHO
    kept = "".join("\0" if hide else c for c, hide in zip(words, hidden, strict=True))
    return re.sub("\0+", "…", kept)
