"""Text files as editors and shells write them."""

from __future__ import annotations

import codecs

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def text_of(data: bytes) -> str:
    """What the bytes of a text file say: UTF-8, or UTF-16 with its mark, which `>` of Windows PowerShell writes.

    A mark at the beginning is no part of the text. Raises UnicodeDecodeError.
    """
    return data.decode("utf-16" if data.startswith(_UTF16) else "utf-8-sig")
