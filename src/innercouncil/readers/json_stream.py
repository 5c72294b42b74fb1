"""The elements of a JSON array (or of a run of objects), one after the other, in the memory of about one block.

First a guess: what stands before the last place that looks like the beginning of an element (`}, {"<first key>"`) is
decoded as a list. If that succeeds, the place was right. If not, a vectorised scan follows strings and brackets to
find where elements end; what the fast decoder refuses then is repaired or skipped alone. Where damage has put the scan
out of step it starts anew at the next place that looks like a beginning.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import BinaryIO, Final

import msgspec

from innercouncil.model.conversation import ImportReport
from innercouncil.model.errors import ImportFormatError
from innercouncil.readers.json_scan import Scanner, utf8_blocks

MAX_ELEMENT_BYTES: Final = 1 << 30
"""A larger element is skipped: decoding it would take several times its size in memory."""
SUSPECT_BYTES: Final = 64 << 20
"""An unfinished element of this size is searched for beginnings of others: the scan may be out of step."""
MAX_RESTARTS: Final = 32
"""Each restart scans up to a block again; a file that needs more is not worth the time."""

MAX_WRONG_GUESSES: Final = 3
"""A file in which inner objects begin like the elements is scanned from then on."""
MAX_GUESS_BYTES: Final = 16 << 20
"""Without a beginning in this much, elements are large and the scan is the better way."""

TOO_DEEP: Final = "conversation nested too deeply to read"
DAMAGED: Final = "conversation damaged in the file"
TOO_LARGE: Final = "conversation over 1 GB"

_BETWEEN: Final = b" \t\r\n,"
_ESCAPE_RE: Final = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
_FIRST_KEY_RE: Final = re.compile(rb'[\s,\[]*\{\s*"([^"\\]{1,100})"\s*:')
_GAP_RE: Final = re.compile(rb"\}[ \t\r\n]*,[ \t\r\n]*\{\s*\Z")
_GAP_BYTES: Final = 64
_DECODER: Final = msgspec.json.Decoder()
_JSON: Final = json.JSONDecoder(strict=False)


def iter_elements(stream: BinaryIO, report: ImportReport, *, name: str = "the file") -> Iterator[object]:
    """Yield the elements of the JSON array in `stream`, or each object where objects stand one after the other.

    `name` is how errors and warnings call the file. Strings hold no lone surrogate. What cannot be decoded is counted
    in `report.skipped`; a file that breaks off keeps its whole elements and leaves a warning.
    Raises ImportFormatError where the text is no JSON array or object, or holds no whole element of a broken one.
    """
    blocks = utf8_blocks(stream)
    head = b""
    for block in blocks:
        head = block.lstrip()
        if head:
            break
    _require_json(head, name)
    splitter = _Splitter(report, name, is_array=head[:1] == b"[")
    yield from splitter.take(head[1:] if splitter.is_array else head)
    del head
    for block in blocks:
        yield from splitter.take(block)
    yield from splitter.finish()


def _require_json(head: bytes, name: str) -> None:
    if not head:
        raise ImportFormatError(f"{name} is empty; download the export again.")
    if head[:1] == b"<":
        raise ImportFormatError(
            f"{name} is a web page (HTML), not JSON; give the export's ZIP or its conversations.json."
        )
    if head[:1] not in (b"[", b"{"):
        raise ImportFormatError(
            f"{name} is not JSON (it does not begin with [ or {{); give the export's ZIP or its JSON file."
        )


class _Splitter:
    """Collects blocks until elements are whole, and decodes them."""

    def __init__(self, report: ImportReport, name: str, *, is_array: bool) -> None:
        self.is_array = is_array
        self._closed = False
        self._trailing = 0
        self._report, self._name = report, name
        self._scanner = Scanner()
        self._pending: list[bytes] = []
        self._size = 0
        self._suspect_at = SUSPECT_BYTES
        self._oversized = False
        self._restarts = 0
        self._guessing = False
        self._wrong_guesses = 0
        self._first_key = b""
        self._decoded = 0
        self._repaired = 0
        self._keys: frozenset[str] = frozenset()
        self._beginning: re.Pattern[bytes] | None = None

    def take(self, block: bytes) -> Iterator[object]:
        """Add a block; yield the elements that are whole now."""
        if self._closed:
            yield from self._take_trailing(block)
            return
        if self._beginning is None and not self._pending and (first := _FIRST_KEY_RE.match(block)):
            # A quote cannot stand unescaped inside a string, so this never matches within one.
            self._first_key = b'"' + first[1] + b'"'
            self._guessing = self.is_array
            comma = rb",[ \t\r\n]*" if self.is_array else rb"[ \t\r\n,]*"
            self._beginning = re.compile(rb"\}[ \t\r\n]*" + comma + rb"(?=\{\s*" + re.escape(self._first_key) + rb")")
        if not self._guessing:
            yield from self._scan(block)
            return
        cut = self._last_gap(block)
        elements = _decode_list(_as_list([*self._pending, block[:cut]])) if cut else None
        if elements is not None:
            self._pending, self._size = [block[cut:]], len(block) - cut
            del block
            self._learn(elements)
            yield from elements
            return
        self._wrong_guesses += bool(cut)
        self._pending.append(block)
        self._size += len(block)
        if cut or self._size > MAX_GUESS_BYTES:
            yield from self._scan_pending()

    def _last_gap(self, block: bytes) -> int:
        """Offset between the last two elements in `block` by the look of it, 0 where there is none."""
        at = len(block)
        for _ in range(8):
            at = block.rfind(self._first_key, 0, at)
            if at < 0:
                break
            gap = _GAP_RE.search(block, max(0, at - _GAP_BYTES), at)
            if gap:
                return gap.start() + 1
        return 0

    def _scan_pending(self) -> Iterator[object]:
        """Hand what was kept for a guess to the scan, which goes on until an element ends."""
        blocks, self._pending, self._size = self._pending, [], 0
        self._guessing = False
        for n, block in enumerate(blocks):
            blocks[n] = b""
            yield from self.take(block)

    def _scan(self, block: bytes) -> Iterator[object]:
        ends, stop = self._scanner.feed(block)
        if ends and self._oversized:
            self._report.skip(TOO_LARGE)
            self._oversized = False
            skipped = ends.pop(0)
            block, ends, stop = block[skipped:], [end - skipped for end in ends], stop and stop - skipped
        restarts = self._restarts
        yield from self._take_ends(block if stop is None else block[:stop], ends)
        if restarts != self._restarts:
            # The scan was out of step here; what it took for the closing bracket has not been looked at again yet.
            if stop is not None:
                yield from self.take(block[stop:])
        elif stop is not None:
            self._closed = True
            yield from self._take_trailing(block[stop + 1 :])
        elif ends and self.is_array and self._first_key and self._wrong_guesses < MAX_WRONG_GUESSES:
            self._guessing, self._scanner = True, Scanner()

    def _take_trailing(self, block: bytes) -> Iterator[object]:
        """Look at what follows the closing bracket of the array."""
        onward = self._next_beginning(block, 0)
        if onward is None:
            self._trailing += len(block.strip())
            return
        # More elements follow, so that bracket did not close the list: damage has put the scan out of step.
        self._report.skip(DAMAGED)
        self._pending, self._trailing = [], 0
        yield from self._restart(block[onward:])

    def _next_beginning(self, block: bytes, at: int) -> int | None:
        if self._beginning is None or self._restarts >= MAX_RESTARTS:
            return None
        match = self._beginning.search(block, at)
        return match.end() if match else None

    def _take_ends(self, block: bytes, ends: list[int]) -> Iterator[object]:
        if not ends:
            self._keep(block)
            if self._size > self._suspect_at:
                yield from self._doubt()
            return
        piece = _as_list([*self._pending, block[: ends[-1]]])
        offset = len(piece) - 1 - ends[-1]
        self._pending, self._size, self._suspect_at = [], 0, SUSPECT_BYTES
        self._keep(block[ends[-1] :])
        del block
        yield from self._decode(piece, [end + offset for end in ends])

    def finish(self) -> Iterator[object]:
        """Deal with what is left at the end of the file."""
        if self._guessing:
            self._wrong_guesses = MAX_WRONG_GUESSES
            yield from self._scan_pending()
        rest = b"".join(self._pending).lstrip(_BETWEEN)
        self._pending, self._size = [], 0
        if not self._closed and self._next_beginning(rest, 0) is not None:
            found, rest = self._salvage(rest)
            yield from found
        if self._oversized:
            self._report.skip(TOO_LARGE)
        elif rest and self._closed:
            yield from self._decode_one(rest)
        elif rest:
            if not self._decoded:
                raise ImportFormatError(
                    f"{self._name} breaks off or is damaged within its first entry; download the export again."
                )
            self._warn(
                f"{self._name} breaks off in the middle of a conversation: the last {len(rest):,} bytes were left out, "
                "everything before them was read; download the export again to get the rest."
            )
        elif self.is_array and not self._closed and self._decoded:
            self._warn(
                f"{self._name} lacks its closing bracket: later conversations may be missing; download it again."
            )
        if self._trailing:
            self._warn(f"{self._name} goes on after the end of its list: {self._trailing:,} bytes there were left out.")
        if self._repaired:
            self._warn(f"{self._name} holds characters or numbers that JSON does not allow; they were replaced.")

    def _warn(self, sentence: str) -> None:
        self._report.warnings.append(sentence)

    def _keep(self, block: bytes) -> None:
        if not block or self._oversized:
            return
        self._pending.append(block)
        self._size += len(block)
        if self._size > MAX_ELEMENT_BYTES:
            self._pending, self._size, self._oversized = [], 0, True

    def _decode(self, piece: bytes, ends: list[int]) -> Iterator[object]:
        """Decode `piece`, a list in brackets whose elements end at `ends`."""
        elements = _decode_list(piece)
        if elements is not None:
            self._learn(elements)
            yield from elements
            return
        if self._wrong_guesses < MAX_WRONG_GUESSES:
            self._wrong_guesses = max(0, self._wrong_guesses - 1)  # the guess failed for the damage here
        start = 1
        for end in ends:
            body = piece[start:end].lstrip(_BETWEEN)
            start = end
            if self._next_beginning(body, 0) is not None and _decode_list(_as_list([body])) is None:
                found, rest = self._salvage(body)
                yield from found
                if found and rest:
                    yield from self._restart(rest + piece[end:-1])
                    return
                if found:
                    continue
            yield from self._decode_one(body)

    def _decode_one(self, body: bytes) -> Iterator[object]:
        """Decode an element alone (scalars may stand before it), repaired if need be; count it if that fails."""
        try:
            elements, repaired = _decode_leniently(body)
        except RecursionError:
            self._report.skip(TOO_DEEP)
            return
        except ValueError:
            self._report.skip(DAMAGED)
            return
        self._repaired += repaired
        self._learn(elements)
        yield from elements

    def _learn(self, elements: list[object]) -> None:
        self._decoded += len(elements)
        if not self._keys:
            self._keys = next((frozenset(e) for e in elements if isinstance(e, dict)), frozenset())

    def _doubt(self) -> Iterator[object]:
        """An element has grown very large: is it one, or is the scan out of step?"""
        self._suspect_at *= 2
        if self._scanner.depth == 0 and not self._closed and self.is_array:
            self._report.skip("value that is not a conversation")
            self._pending, self._size = [], 0
            return
        whole = b"".join(self._pending)
        if self._next_beginning(whole, 0) is not None:
            found, rest = self._salvage(whole)
            if found:
                yield from found
                yield from self._restart(rest)
                return
        self._pending = [whole]

    def _salvage(self, data: bytes) -> tuple[list[object], bytes]:
        """Elements like those seen before that stand between beginnings in `data`, and what the last of them begins.

        Without any such element all of `data` is returned.
        """
        assert self._beginning is not None
        found: list[object] = []
        broken = 0
        cuts = [0, *(match.end() for match in self._beginning.finditer(data)), len(data)]
        for start, end in pairwise(cuts):
            elements = _decode_list(b"".join([b"[", data[start:end].strip(_BETWEEN + b"]"), b"]"]))
            if elements and all(map(self._is_alike, elements)):
                found += elements
                self._learn(elements)
            elif end < len(data):
                broken += 1
            else:
                rest = data[start:]
                break
        else:
            rest = b""
        if not found:
            return [], data
        if broken:
            self._report.skip(DAMAGED, broken)
        return found, rest

    def _is_alike(self, element: object) -> bool:
        """Whether it has the keys that elements of this file have; a guess while none is known."""
        if not isinstance(element, dict):
            return False
        return len(self._keys & element.keys()) * 2 >= max(2, len(self._keys)) if self._keys else len(element) > 2

    def _restart(self, rest: bytes) -> Iterator[object]:
        self._restarts += 1
        pending, self._pending, self._size = self._pending, [], 0
        self._scanner, self._guessing = Scanner(), False
        self._suspect_at = SUSPECT_BYTES
        self._closed = False
        yield from self._scan(b"".join([rest, *pending]))


def _as_list(parts: list[bytes]) -> bytes:
    """The parts joined and put in brackets, without what stood between the first element and the one before it."""
    for n, part in enumerate(parts):
        parts[n] = part.lstrip(_BETWEEN)
        if parts[n]:
            break
    return b"".join([b"[", *parts, b"]"])


def _decode_list(text: bytes) -> list[object] | None:
    try:
        elements: list[object] = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None
    return elements


def _decode_leniently(body: bytes) -> tuple[list[object], bool]:
    """Elements in `body` and whether it had to be repaired; raises ValueError or RecursionError where nothing helps."""
    try:
        strict: list[object] = _DECODER.decode(b"".join([b"[", body, b"]"]))
    except ValueError:
        pass
    else:
        return strict, False
    text = body.decode("utf-8", "replace")
    text = _ESCAPE_RE.sub(lambda m: r"\ufffd" if m[1] else m[0], text)
    repaired: list[object] = _JSON.decode(f"[{text}]")
    return repaired, True
