"""Where many exports lie and many workspaces go: a folder of this machine, or an object store by its URL, through fsspec."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Final

import msgspec

from innercouncil.model.errors import UsageError, WorkspaceError
from innercouncil.model.extras import to_install
from innercouncil.store.workspace import FOLDER_SUFFIXES, export_files, writing

LEDGER: Final = ".many"
"""Folder of the records; no export's folder begins with a dot."""
_TELLS_VERSIONS_APART: Final = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "created", "size")


class Entry(msgspec.Struct, frozen=True):
    """One export: a file or a folder right below the place."""

    name: str
    mark: str
    """Changes with its content as far as sizes, times and the store's own marks tell; read without opening it."""


class Place:
    """A folder, or a URL such as `s3://bucket/exports`. Raises UsageError where the URL is of no kind that is installed."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.folder: Path | None = None
        if "://" not in where:
            self.folder = Path(where)
            return
        try:
            from fsspec.core import url_to_fs

            self._fs, root = url_to_fs(where)
        except ImportError as error:
            raise UsageError(
                f"{where} needs a package that is not installed ({error.name or error}); "
                f"{to_install('many')}; for s3:// add s3fs (--with s3fs), for gs:// gcsfs, for abfs:// adlfs."
            ) from None
        except ValueError:
            raise UsageError(f"{where} is no address that fsspec knows; e.g. s3://bucket/exports.") from None
        self._root = root.rstrip("/")

    def holds(self, other: Place) -> bool:
        """Whether the other place is this one, or lies within it."""
        if self.folder and other.folder:
            return other.folder.resolve().is_relative_to(self.folder.resolve())
        if self.folder or other.folder:
            return False
        return self._fs == other._fs and f"{other._root}/".startswith(f"{self._root}/")

    # --- exports ---

    def entries(self) -> tuple[list[Entry], int]:
        """The exports here, by name, and how many other files were left out. Raises UsageError where nothing is there."""
        try:
            found = self._local_entries(self.folder) if self.folder else self._remote_entries()
        except OSError as error:
            raise UsageError(
                f"{self.where} cannot be listed ({error.strerror or type(error).__name__}); give the folder, or the URL, that holds the exports."
            ) from error
        entries = [entry for entry in found if entry is not None]
        return sorted(entries, key=lambda e: e.name), len(found) - len(entries)

    def _local_entries(self, folder: Path) -> list[Entry | None]:
        found: list[Entry | None] = []
        for path in folder.iterdir():
            if path.name.startswith("."):
                continue
            if path.is_dir():
                marks = [(p.relative_to(path).as_posix(), *_stat_mark(p)) for p in export_files(path)]
                found.append(Entry(path.name, _digest(marks)))
            else:
                wanted = path.is_file() and path.suffix.lower() in FOLDER_SUFFIXES
                found.append(Entry(path.name, _digest([_stat_mark(path)])) if wanted else None)
        return found

    def _remote_entries(self) -> list[Entry | None]:
        found: list[Entry | None] = []
        for info in self._fs.ls(self._root, detail=True):
            name = PurePosixPath(info["name"]).name
            if name.startswith(".") or info["name"].rstrip("/") == self._root:
                continue
            if Path(name).name != name or "\\" in name:
                found.append(None)  # a name that would lead elsewhere as a file's
            elif info["type"] == "directory":
                inside = self._fs.find(info["name"], detail=True)
                found.append(Entry(name, _digest([[path, *_info_mark(inside[path])] for path in sorted(inside)])))
            else:
                wanted = PurePosixPath(name).suffix.lower() in FOLDER_SUFFIXES
                found.append(Entry(name, _digest([_info_mark(info)])) if wanted else None)
        return found

    # --- files ---

    def names(self) -> set[str]:
        """What lies right below, by name; nothing where there is no such place yet."""
        with contextlib.suppress(FileNotFoundError):
            if self.folder:
                return {path.name for path in self.folder.iterdir()}
            return {PurePosixPath(path).name for path in self._fs.ls(self._root, detail=False)}
        return set()

    def has(self, name: str) -> bool:
        """Whether there is a folder or file of that name."""
        return (self.folder / name).exists() if self.folder else bool(self._fs.exists(f"{self._root}/{name}"))

    def fetch(self, name: str, into: Path) -> Path:
        """Copy a file or a folder of an object store to `into/name`; nothing is copied where it does not exist.

        Raises WorkspaceError.
        """
        with self._trouble():
            source, target = f"{self._root}/{name}", into / name
            for path in self._fs.find(source):
                inner = PurePosixPath(path[len(source) :].lstrip("/"))
                if ".." in inner.parts or "\\" in str(inner):
                    continue  # a key may hold anything; none of it leads out of `into`
                file = target.joinpath(*inner.parts)
                file.parent.mkdir(parents=True, exist_ok=True)
                self._fs.get_file(path, str(file))
        return into / name

    def put(self, folder: Path, name: str) -> None:
        """Make `name` in an object store hold what `folder` holds, and nothing else. Raises WorkspaceError."""
        with self._trouble():
            target = f"{self._root}/{name}"
            files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file() and p.name != "lock"}
            before = set(self._fs.find(target)) if self._fs.exists(target) else set()
            for inner, path in files.items():
                self._fs.makedirs(f"{target}/{inner}".rpartition("/")[0], exist_ok=True)
                self._fs.put_file(str(path), f"{target}/{inner}")
            for path in before - {f"{target}/{inner}" for inner in files}:
                self._fs.rm_file(path)

    # --- records ---

    def read_records(self) -> dict[str, bytes]:
        """Every record by name. Raises WorkspaceError."""
        with contextlib.suppress(FileNotFoundError), self._trouble():
            if self.folder:
                return {p.stem: p.read_bytes() for p in (self.folder / LEDGER).glob("*.json")}
            paths = [p for p in self._fs.ls(f"{self._root}/{LEDGER}", detail=False) if p.endswith(".json")]
            found = self._fs.cat(paths, on_error="omit") if paths else {}
            return {PurePosixPath(path).name.removesuffix(".json"): data for path, data in found.items()}
        return {}

    def read_record(self, name: str) -> bytes | None:
        """The record of an export, None where there is none."""
        with contextlib.suppress(FileNotFoundError), self._trouble():
            if self.folder:
                return (self.folder / LEDGER / f"{name}.json").read_bytes()
            data: bytes = self._fs.cat_file(f"{self._root}/{LEDGER}/{name}.json")
            return data
        return None

    def write_record(self, name: str, data: bytes) -> None:
        """Keep the record of an export, whole or not at all. Raises WorkspaceError."""
        if self.folder:
            with writing(self.folder / LEDGER / f"{name}.json") as out:
                out.write(data)
            return
        with self._trouble():
            self._fs.makedirs(f"{self._root}/{LEDGER}", exist_ok=True)
            self._fs.pipe_file(f"{self._root}/{LEDGER}/{name}.json", data)  # an object is there whole or not at all

    @contextlib.contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise WorkspaceError(
                f"{self.where} did not take or give a file ({error.strerror or type(error).__name__}); run the same command again."
            ) from error


def _stat_mark(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _info_mark(info: dict[str, Any]) -> list[str]:
    return [str(info.get(key, "")) for key in _TELLS_VERSIONS_APART]


def _digest(marks: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(marks)).hexdigest()[:32]
