"""What a person names on the command line: a path, and the text of a file or of stdin."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from innercouncil.model.errors import UsageError
from innercouncil.model.plain_text import text_of


class GivenPath(click.Path):
    """A path, given to the command as a `Path`. `~` is the home folder in every shell: PowerShell before 7.5 leaves it to programs."""

    def __init__(
        self, *, exists: bool = False, file_okay: bool = True, dir_okay: bool = True, dash: bool = False
    ) -> None:
        super().__init__(exists=exists, file_okay=file_okay, dir_okay=dir_okay, allow_dash=dash, path_type=Path)

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        """The path with the home folder put in."""
        return super().convert(os.path.expanduser(value), param, ctx)  # noqa: PTH111 - Path raises for ~nobody


def given_text(path: Path) -> str:
    """The text of a file, or of stdin where `path` is `-`. Raises UsageError."""
    return read_text(_bytes(path), "What came on stdin" if path == Path("-") else str(path))


def read_text(data: bytes, where: str, advice: str = "save it as such") -> str:
    """The bytes as text with plain line breaks. Raises UsageError that names `where` and gives the advice."""
    try:
        return text_of(data).replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise UsageError(f"{where} is not UTF-8 text; {advice}.") from None


def _bytes(path: Path) -> bytes:
    if path == Path("-"):
        return sys.stdin.buffer.read()
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; name another file.") from None
