"""JSON bytes before they are decoded: their encoding, and where elements end."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import BinaryIO, Final

import numpy as np
import numpy.typing as npt

BLOCK_BYTES: Final = 4 << 20
"""Larger blocks take more memory and are no faster."""
SLICE_BYTES: Final = 1 << 17
LONG_RUN: Final = 32
"""Backslashes before a quote that are followed one by one; longer runs are not of this world."""
QUOTE: Final = 0x22
BACKSLASH: Final = 0x5C
OPENING: Final = 0x7B
CLOSING: Final = 0x7D

Bytes = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def utf8_blocks(stream: BinaryIO) -> Iterator[bytes]:
    """Blocks of the stream as UTF-8 without a byte order mark, whatever Unicode encoding it is in."""
    block = stream.read(BLOCK_BYTES)
    mark, encoding = next((pair for pair in _BOMS if block.startswith(pair[0])), (b"", _encoding_by_nulls(block[:4])))
    block = block[len(mark) :]
    decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)("replace")
    while block:
        yield block if decoder is None else decoder.decode(block).encode("utf-8", "replace")
        block = stream.read(BLOCK_BYTES)


def _encoding_by_nulls(start: bytes) -> str:
    """JSON begins with two ASCII characters, so the place of the NULs tells the encoding."""
    nulls = tuple(not byte for byte in start)
    known: dict[tuple[bool, ...], str] = {
        (False, True, True, True): "utf-32-le",
        (True, True, True, False): "utf-32-be",
        (False, True, False, True): "utf-16-le",
        (True, False, True, False): "utf-16-be",
    }
    return known.get(nulls, "utf-8")


class Scanner:
    """Follows strings and brackets across blocks; depth 0 is between elements."""

    def __init__(self) -> None:
        self.depth = 0
        self._in_string = 0
        self._escaped = False

    def feed(self, block: bytes) -> tuple[list[int], int | None]:
        """Offsets just after each element that ends in `block`, and the offset of the bracket that closes the array."""
        text = np.frombuffer(block, dtype=np.uint8)
        where = _marks(text)
        signs = text[where]
        quote = signs == QUOTE
        escaped = self._escaped_quotes(block, text, where[quote])
        if block.endswith(b"\\"):
            run = len(block) - len(block.rstrip(b"\\"))
            self._escaped = bool((run + (self._escaped and run == len(block))) & 1)
        elif block:
            self._escaped = False
        if escaped.any():
            keep = np.ones(len(where), dtype=bool)
            keep[np.flatnonzero(quote)[escaped]] = False
            where, signs, quote = where[keep], signs[keep], quote[keep]
        if not where.size:
            return [], None
        inside = (np.cumsum(quote) + self._in_string) & 1
        self._in_string = int(inside[-1])
        keep = ~quote & (inside == 0)
        where, opening = where[keep], (signs[keep] | 0x20) == OPENING
        if not where.size:
            return [], None
        depths = np.cumsum(np.where(opening, 1, -1)) + self.depth
        self.depth = int(depths[-1])
        below = np.flatnonzero(depths < 0)
        stop = int(below[0]) if below.size else len(depths)
        ends = where[:stop][(depths[:stop] == 0) & ~opening[:stop]] + 1
        return ends.tolist(), int(where[stop]) if below.size else None

    def _escaped_quotes(self, block: bytes, text: Bytes, quotes: Indices) -> Flags:
        """For each quote whether an odd number of backslashes stands before it."""
        odd = np.zeros(len(quotes), dtype=bool)
        if self._escaped and len(quotes) and quotes[0] == 0:
            odd[0] = True
        live = np.flatnonzero((quotes > 0) & (text[quotes - 1] == BACKSLASH))
        at = quotes[live] - 1
        for _ in range(LONG_RUN):
            if not live.size:
                return odd
            odd[live] ^= True
            at = at - 1
            if self._escaped:
                odd[live[at < 0]] ^= True
            more = (at >= 0) & (text[at] == BACKSLASH)
            live, at = live[more], at[more]
        # Backslash pairs first: what is left of an odd run then stands directly before what it escapes.
        block = (b"_" + block[1:] if self._escaped else block).replace(b"\\\\", b"__").replace(b'\\"', b"__")
        marked: Flags = np.frombuffer(block, dtype=np.uint8)[quotes] != QUOTE
        return marked


def _marks(text: Bytes) -> Indices:
    """Positions of quotes and brackets; slices that stay in the processor's cache take half the time."""
    found = []
    for start in range(0, len(text), SLICE_BYTES):
        part = text[start : start + SLICE_BYTES]
        folded = part | 0x20  # [ and ] become { and }
        found.append(np.flatnonzero((part == QUOTE) | (folded == OPENING) | (folded == CLOSING)) + start)
    return np.concatenate(found) if found else np.zeros(0, dtype=np.intp)
