"""Where an export lies: a file, a folder, or a ZIP read in place. Nothing is ever unpacked or written."""

from __future__ import annotations

import io
import lzma
import re
import stat
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self, cast

from innercouncil.model.errors import ImportFormatError

MAX_MEMBER_BYTES: Final = 32 << 30
"""Far above any export seen (about 1 GB); above it the declared size is a mistake or an attack."""
MAX_RATIO: Final = 1000
"""JSON of chats packs 3:1 to 20:1; long runs of one byte, as a bomb has them, reach 1000:1."""
MAX_ARCHIVE_RATIO: Final = 200
"""Of the members that are read, together, to the archive itself: those that share their bytes stay below the ratio each, not together."""
RATIO_FREE_BYTES: Final = 256 << 20
"""Below this size a member cannot hurt, however well it packs."""

_ZIP_STARTS: Final = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_DIGITS_RE: Final = re.compile(r"(\d+)")
_DAMAGE: Final = (
    OSError,
    EOFError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
)


@dataclass(frozen=True)
class Member:
    """One file of an export: `name` with forward slashes, `size` in bytes, `path` where it is a file of its own."""

    name: str
    size: int
    opener: Callable[[], BinaryIO] = field(repr=False)
    path: Path | None = None
    packed_size: int | None = None
    on_bytes: Callable[[int], None] | None = field(default=None, repr=False)

    @property
    def suffix(self) -> str:
        """Lower-case file suffix with its dot, "" without one."""
        return Path(self.name).suffix.lower()

    def watched(self, on_bytes: Callable[[int], None]) -> Member:
        """The same member, telling `on_bytes` how many bytes each read delivered."""
        return replace(self, on_bytes=on_bytes)

    def open(self) -> BinaryIO:
        """Open for reading; the stream has `peek`. Damage while opening or reading raises ImportFormatError."""
        _refuse_bomb(self.name, self.size, self.packed_size)
        try:
            inner = self.opener()
        except _DAMAGE as error:
            raise _damaged(self.name, error) from error
        return cast(BinaryIO, io.BufferedReader(_Guarded(inner, self), 1 << 16))


@dataclass(frozen=True)
class Source:
    """The members of an export in natural order of their names (2 before 10). Close it, or use it in a `with`."""

    name: str
    kind: str
    """"file", "folder" or "zip"."""
    members: tuple[Member, ...]
    archive: zipfile.ZipFile | None = field(default=None, repr=False)
    packed_size: int | None = None
    """Bytes of the archive."""

    def chosen(self, wanted: Callable[[Member], bool]) -> tuple[Member, ...]:
        """The members to read. Others are never opened, and count for nothing: a video beside the chats may have any size.

        Raises ImportFormatError where the wanted ones would together unpack to more than such an archive can hold.
        """
        found = tuple(filter(wanted, self.members))
        if self.archive is not None:
            _refuse_bomb(self.name, sum(m.size for m in found), self.packed_size, MAX_ARCHIVE_RATIO)
        return found

    def close(self) -> None:
        """Close the ZIP where there is one."""
        if self.archive is not None:
            self.archive.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_source(path: Path) -> Source:
    """List what lies at `path`; raises ImportFormatError where nothing readable does."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return _folder(path)
        if not stat.S_ISREG(mode):
            raise ImportFormatError(
                f"{path} is neither a file nor a folder; give the export's ZIP, folder or JSON file."
            )
        with path.open("rb") as stream:
            start = stream.read(4)
        if start in _ZIP_STARTS:
            return _zip(path)
        return Source(path.name, "file", (_file(path, path.name),))
    except FileNotFoundError as error:
        raise ImportFormatError(f"There is no file or folder {path}; check the name.") from error
    except (OSError, ValueError) as error:
        raise ImportFormatError(
            f"{path} cannot be read ({_reason(error)}); check its name and your permission to read it."
        ) from error


def _natural(name: str) -> list[tuple[int, int | str]]:
    # Python refuses to convert very long digit runs, so those compare as text.
    return [(0, int(p)) if p.isdecimal() and len(p) < 20 else (1, p) for p in _DIGITS_RE.split(name.casefold())]


def _is_litter(name: str) -> bool:
    """Files that systems leave behind (.DS_Store, __MACOSX/._x)."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _file(path: Path, name: str) -> Member:
    return Member(name, path.stat().st_size, lambda: path.open("rb"), path=path)


def _folder(path: Path) -> Source:
    found = []
    for entry in path.rglob("*"):
        name = entry.relative_to(path).as_posix()
        if not _is_litter(name) and entry.is_file() and not _leads_out(entry, path):
            found.append(_file(entry, name))
    return Source(path.name, "folder", tuple(sorted(found, key=lambda m: _natural(m.name))))


def _leads_out(entry: Path, folder: Path) -> bool:
    """Whether it is a link to a file outside the export: a stranger's archive may hold one to a file of the person's."""
    return entry.is_symlink() and not entry.resolve().is_relative_to(folder.resolve())


def _zip(path: Path) -> Source:
    try:
        archive = zipfile.ZipFile(path)
    except _DAMAGE as error:
        raise ImportFormatError(f"{path.name} is a damaged or incomplete ZIP; download the export again.") from error
    found = [
        _packed(archive, i) for i in archive.infolist() if i.filename and not i.is_dir() and not _is_litter(i.filename)
    ]
    return Source(path.name, "zip", tuple(sorted(found, key=lambda m: _natural(m.name))), archive, path.stat().st_size)


def _packed(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    def opener() -> BinaryIO:
        if info.flag_bits & 1:
            raise ImportFormatError(
                f"{info.filename} in the ZIP is protected by a password; unpack it and give the folder."
            )
        return cast(BinaryIO, archive.open(info))

    return Member(info.filename, info.file_size, opener, packed_size=max(1, info.compress_size))


def _refuse_bomb(name: str, size: int, packed: int | None, ratio: int | None = None) -> None:
    bomb = packed is not None and size > RATIO_FREE_BYTES and size > (ratio or MAX_RATIO) * packed
    if bomb or size > MAX_MEMBER_BYTES:
        raise ImportFormatError(
            f"{name} would unpack to over {size >> 20:,} MB, which no chat export does; it was not read."
        )


def _damaged(name: str, error: BaseException) -> ImportFormatError:
    return ImportFormatError(
        f"{name} cannot be read ({_reason(error)}); download the export again or unpack it yourself."
    )


def _reason(error: BaseException) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


class _Guarded(io.RawIOBase):
    """A read-only stream that counts what really comes out and turns damage into ImportFormatError."""

    def __init__(self, inner: BinaryIO, member: Member) -> None:
        super().__init__()
        self._inner, self._member, self._done = inner, member, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object, /) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        try:
            data = self._inner.read(len(view))
        except _DAMAGE as error:
            raise _damaged(self._member.name, error) from error
        self._done += len(data)
        _refuse_bomb(self._member.name, self._done, self._member.packed_size)
        view[: len(data)] = data
        if self._member.on_bytes is not None:
            self._member.on_bytes(len(data))
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._inner.close()
        super().close()
