"""What is fuzzed: a function a target that reads bytes, and raises only where our own code is at fault."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

from innercouncil.cards.registry import read_card, write_card
from innercouncil.model.card import CARD_FORMATS
from innercouncil.model.conversation import Conversation, ImportReport
from innercouncil.model.errors import CardError, ImportFormatError
from innercouncil.readers import chatgpt, claude, gemini, llm_log, lmstudio, openwebui, pasted, plain_jsonl
from innercouncil.readers.json_stream import iter_elements
from innercouncil.readers.messages import messages_of
from innercouncil.readers.registry import BROKEN, read_messages
from innercouncil.readers.source import Member, open_source

CARD_NAMES: Final = {
    "card": "x.json", "picture": "x.png", "modelfile": "Modelfile", "template": "x.yaml", "skill": "SKILL.md",
    "markdown": "x.md", "unnamed": "",
}  # fmt: skip
"""Target -> a file name that leads to its importer."""


def _sentence(error: Exception) -> None:
    assert 10 < len(str(error)) < 1000 and "\n" not in str(error), "not one sentence"


def _card(data: bytes, name: str) -> None:
    """Read; what was read can be written in every format and read back."""
    try:
        cards = read_card(data, name)
    except CardError as error:
        _sentence(error)
        return
    for imported in cards[:1]:
        for format_ in CARD_FORMATS:
            file = write_card(imported.card, format_)
            again = read_card(file.content, file.filename)[0].card
            assert again.system.split() == imported.card.system.split(), f"{format_} lost the prompt"


def _check(conversations: Iterator[Conversation], report: ImportReport) -> None:
    seen: set[str] = set()
    for conversation in conversations:
        for message in messages_of(conversation, report, seen=seen, analyse=False):
            whole = message.text + message.title + message.context + message.reply + message.id
            whole.encode()
            assert "\0" not in whole, "NUL in a text"


def _elements(data: bytes, format_: object) -> None:
    """A format in which one JSON element is one conversation, asked about every element."""
    report = ImportReport(format="", source_name="x")
    try:
        for element in iter_elements(io.BytesIO(data), report):
            format_.recognise(element)  # type: ignore[attr-defined]
            conversation = format_.to_conversation(element, report)  # type: ignore[attr-defined]
            _check(iter([conversation] if conversation else []), report)
    except ImportFormatError as error:
        _sentence(error)


def _file(data: bytes, format_: object, suffix: str) -> None:
    """A format that reads its file itself."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x{suffix}"
        path.write_bytes(data)

        def opener() -> BinaryIO:
            return path.open("rb")

        member = Member(path.name, len(data), opener, path=path)
        report = ImportReport(format="", source_name=path.name)
        try:
            format_.recognise_file(data[:65536], path.name)  # type: ignore[attr-defined]
            _check(format_.read(member, report), report)  # type: ignore[attr-defined]
        except ImportFormatError as error:
            _sentence(error)


def _export(data: bytes, suffix: str) -> None:
    """The door to all readers, and the ZIP reader."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x{suffix}"
        path.write_bytes(data)
        report = ImportReport(format="", source_name=path.name)
        try:
            with open_source(path):
                pass
            for _ in read_messages(path, report, analyse=False):
                pass
        except ImportFormatError as error:
            _sentence(error)
        assert BROKEN not in report.skipped, "a reader's exception had to be caught"


def _pasted(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    assert "".join(text[s.start : s.end] for s in pasted.split_voice(text)) == text


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    **{name: partial(_card, name=file) for name, file in CARD_NAMES.items()},
    **{f.NAME: partial(_elements, format_=f) for f in (chatgpt, claude, openwebui, lmstudio)},
    "gemini": partial(_file, format_=gemini, suffix=".json"),
    "llm": partial(_file, format_=llm_log, suffix=".db"),
    "jsonl": partial(_file, format_=plain_jsonl, suffix=".jsonl"),
    "export": partial(_export, suffix=".json"),
    "zip": partial(_export, suffix=".zip"),
    "pasted": _pasted,
}
