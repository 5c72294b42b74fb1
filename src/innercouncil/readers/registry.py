"""Read any known export: each file is recognised by what it holds, not by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from innercouncil.model.conversation import Conversation, ImportReport, Message
from innercouncil.model.errors import ImportFormatError
from innercouncil.readers import chatgpt, claude, gemini, llm_log, lmstudio, openwebui, plain_jsonl
from innercouncil.readers.json_stream import iter_elements
from innercouncil.readers.messages import messages_of
from innercouncil.readers.source import Member, Source, open_source

DUPLICATE: Final = "conversation that appears twice"
BROKEN: Final = "conversation that could not be understood"
NO_CHATS: Final = "file of the export without conversations"

Progress = Callable[[int, int], None]

_LOOKED_FOR: Final = "ChatGPT, Claude, Gemini, Open WebUI, LM Studio, llm's logs and JSON Lines"
_SUFFIXES: Final = frozenset({".json", ".jsonl", ".ndjson", ".db", ".sqlite", ".sqlite3", ".html", ".htm"})
"""Files of a folder or ZIP worth opening; a file given by itself is always opened."""
_WRAPPERS: Final = ("conversations", "chats", "data")
_SAMPLES: Final = 20
"""Elements looked at before a file counts as unknown: the first ones may be broken or empty."""
_HEAD_BYTES: Final = 1 << 16
_MISREAD: Final = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)


class ElementFormat(Protocol):
    """A format in which one JSON element is one conversation."""

    @property
    def NAME(self) -> str: ...  # noqa: N802, D102
    def recognise(self, sample: object, /) -> bool: ...  # noqa: D102
    def to_conversation(self, element: object, report: ImportReport, /) -> Conversation | None: ...  # noqa: D102


class FileFormat(Protocol):
    """A format that reads its file itself."""

    @property
    def NAME(self) -> str: ...  # noqa: N802, D102
    def recognise_file(self, head: bytes, name: str, /) -> bool: ...  # noqa: D102
    def read(self, member: Member, report: ImportReport, /) -> Iterator[Conversation]: ...  # noqa: D102


ELEMENT_FORMATS: Final[tuple[ElementFormat, ...]] = (chatgpt, claude, openwebui, lmstudio)
FILE_FORMATS: Final[tuple[FileFormat, ...]] = (llm_log, gemini)
LAST_RESORT: Final[FileFormat] = plain_jsonl
"""Asked only after the others: a single conversation of another format may stand on one line too."""


def read_export(path: Path, report: ImportReport, *, progress: Progress | None = None) -> Iterator[Conversation]:
    """Yield the conversations of the export at `path` (file, folder or ZIP), each id once, and count them in `report`.

    While a file is read `report.format` is its format, at the end all formats found, joined by "+". `progress` gets
    the bytes done and in all. Raises ImportFormatError where nothing can be read.
    """
    with open_source(path) as source:
        members = source.chosen(lambda m: source.kind == "file" or m.suffix in _SUFFIXES)
        reading = _Reading(source, report, sum(m.size for m in members), progress)
        for member in members:
            yield from reading.member(member)
        reading.finish()


def read_messages(
    path: Path, report: ImportReport, *, progress: Progress | None = None, analyse: bool = True
) -> Iterator[Message]:
    """Yield the person's messages of the export at `path`, ids unique. See `read_export` and `messages_of`."""
    seen: set[str] = set()
    for conversation in read_export(path, report, progress=progress):
        yield from messages_of(conversation, report, seen=seen, analyse=analyse)


class _Reading:
    """One pass over an export."""

    def __init__(self, source: Source, report: ImportReport, total: int, progress: Progress | None) -> None:
        self._source, self._report, self._total, self._progress = source, report, total, progress
        self._done = 0
        self._ids: set[str] = set()
        self._formats: dict[str, None] = {}
        self._errors: list[ImportFormatError] = []

    def member(self, member: Member) -> Iterator[Conversation]:
        """Read one file. Its error is kept for the end: the other files may be sound."""
        before = self._done
        try:
            for conversation in self._conversations(member.watched(self._count)):
                if conversation.id in self._ids:
                    self._report.skip(DUPLICATE)
                    continue
                self._ids.add(conversation.id)
                self._note(conversation)
                yield conversation
        except ImportFormatError as error:
            self._errors.append(error)
        self._report.bytes += member.size
        self._done = before + member.size
        self._tell()

    def finish(self) -> None:
        """Complete the report; raise where no conversation was found."""
        self._report.format = "+".join(self._formats)
        if self._report.conversations:
            self._report.warnings += [str(error) for error in self._errors]
            return
        if self._errors:
            raise self._errors[0]
        name = self._source.name
        if self._formats:
            raise ImportFormatError(
                f"{name} is an export of {self._report.format}, but no conversation in it has text to read."
            )
        raise ImportFormatError(
            f"No chats were found in {name}: looked for the exports of {_LOOKED_FOR}. "
            "Give the ZIP as downloaded, its folder, or its conversations.json."
        )

    def _count(self, size: int) -> None:
        # Some formats open a file twice, so never count beyond the whole.
        self._done = min(self._done + size, self._total)
        self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self._done, self._total)

    def _note(self, conversation: Conversation) -> None:
        report = self._report
        report.conversations += 1
        report.messages += len(conversation.turns)
        if conversation.instructions and conversation.instructions not in report.instructions:
            report.instructions.append(conversation.instructions)

    def _uses(self, name: str) -> None:
        self._formats[name] = None
        self._report.format = name

    def _conversations(self, member: Member) -> Iterator[Conversation]:
        error: ImportFormatError | None = None
        with member.open() as stream:
            head = _head(stream)
            kind = next((k for k in FILE_FORMATS if _says_yes(k.recognise_file, head, member.name)), None)
            if kind is None and _may_be_json(head, alone=self._source.kind == "file"):
                try:
                    elements = self._elements(stream, member.name)
                except ImportFormatError as failure:
                    error = failure
                else:
                    if elements is not None:
                        yield from elements
                        return
        if kind is None and _says_yes(LAST_RESORT.recognise_file, head, member.name):
            kind = LAST_RESORT
        if kind is not None:
            yield from self._read_file(kind, member)
        elif error is not None:
            raise error
        else:
            self._report.skip(NO_CHATS)

    def _read_file(self, kind: FileFormat, member: Member) -> Iterator[Conversation]:
        self._uses(kind.NAME)
        try:
            yield from kind.read(member, self._report)
        except _MISREAD as error:
            raise ImportFormatError(f"{member.name} ({kind.NAME}) is damaged; download or export it again.") from error

    def _elements(self, stream: BinaryIO, name: str) -> Iterator[Conversation] | None:
        """The conversations in a JSON file; None where it is of no known format."""
        # What is skipped or warned of counts only once the file is known to hold chats.
        aside = ImportReport(format="", source_name=name)
        elements = iter_elements(stream, aside, name=name)
        samples = _unwrapped(list(islice(elements, _SAMPLES)))
        kind = next((k for sample in samples if (k := _format_of(sample))), None)
        if kind is not None:
            self._uses(kind.NAME)
            return self._converted(kind, chain(samples, elements), aside)
        if not samples and self._source.kind == "file":
            raise ImportFormatError(f"{name} holds no conversation that can be read; download the export again.")
        return None

    def _converted(
        self, kind: ElementFormat, elements: Iterable[object], aside: ImportReport
    ) -> Iterator[Conversation]:
        try:
            for element in elements:
                try:
                    conversation = kind.to_conversation(element, self._report)
                except _MISREAD:
                    self._report.skip(BROKEN)
                    continue
                if conversation is not None:
                    yield conversation
        finally:
            for reason, count in aside.skipped.items():
                self._report.skip(reason, count)
            self._report.warnings += aside.warnings


def _head(stream: BinaryIO) -> bytes:
    """The first bytes without moving the stream on."""
    peek = getattr(stream, "peek", None)
    return bytes(peek(_HEAD_BYTES)[:_HEAD_BYTES]) if peek is not None else b""


def _may_be_json(head: bytes, *, alone: bool) -> bool:
    """Whether to read as JSON. Web pages and databases beside the chats of an export are no errors."""
    start = head.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n")[:1]
    return alone or start in (b"[", b"{") or not head


def _says_yes(question: Callable[..., bool], *about: object) -> bool:
    try:
        return question(*about)
    except _MISREAD:
        return False


def _format_of(sample: object) -> ElementFormat | None:
    return next((kind for kind in ELEMENT_FORMATS if _says_yes(kind.recognise, sample)), None)


def _unwrapped(samples: list[object]) -> list[object]:
    """The list inside `{"conversations": [...]}`, as some tools write it, where it holds chats."""
    if len(samples) == 1 and isinstance(samples[0], dict) and _format_of(samples[0]) is None:
        for key in _WRAPPERS:
            inner = samples[0].get(key)
            if isinstance(inner, list) and any(map(_format_of, inner[:_SAMPLES])):
                return inner
    return samples
