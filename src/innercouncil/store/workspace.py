"""The workspace folder: fixed paths, files that are whole or absent, and stages that know what they were made from.

A stage's outputs are written to temporary names in the same folder, flushed to disk and renamed; last of all its
fingerprint is written to `.innercouncil/<stage>.json` with the size and SHA-256 of every output. A stage is done when
that stamp exists, carries the same fingerprint, and every output still has its size. So a kill at any point leaves a
stage either done or to be redone, never half there.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import platform
import re
import secrets
import shutil
import sys
import tempfile
import time
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Final

import filelock
import msgspec
import psutil

from innercouncil.model.errors import NO_ROOM, DiskFullError, WorkspaceError

_CHUNK: Final = 1 << 20
_ABANDONED: Final = 3600
"""Seconds after which nobody writes to a temporary file any more."""
_HERE: Final = f"{zlib.crc32(platform.node().encode('utf-8', 'replace')):08x}"
"""Stands for this machine in temporary names: several may share a folder, and each knows only its own processes."""
_PART_RE: Final = re.compile(r"\.([0-9a-f]{8})-(\d{1,9})-[0-9a-f]{8}\.part")
_SWEPT: Final = set[Path]()
"""Folders in which this process looked for leftovers."""
FOLDER_SUFFIXES: Final = frozenset({".json", ".jsonl", ".ndjson", ".db", ".html", ".zip"})
"""Files of an export folder that are kept."""


class Stamp(msgspec.Struct, frozen=True):
    """What a finished stage was made from and what it made (path relative to the workspace -> [size, sha256])."""

    stage: str
    fingerprint: str
    outputs: dict[str, tuple[int, str]]


class Workspace:
    """A workspace rooted at `root` (the plan's `data` folder).

    Raises WorkspaceError where the folder cannot be made or written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.personas = root / "personas"
        self.raw_imports = self.personas / "raw_imports"
        self.all_messages = self.personas / "extracted" / "all_messages.jsonl"
        self.import_report = self.personas / "extracted" / "import_report.json"
        self.categorized_messages = self.personas / "extracted" / "categorized_messages.jsonl"
        self.label_scores = root / ".innercouncil" / "label_scores.npz"
        self.model_labels_report = self.personas / "extracted" / "model_labels_report.json"
        self.model_answers = root / ".innercouncil" / "model_answers.jsonl"
        self.embeddings = root / ".innercouncil" / "embeddings.npz"
        self.embedding_cache = root / ".innercouncil" / "embedding_cache.db"
        self.conversation_facets = self.personas / "extracted" / "conversation_facets.jsonl"
        self.facet_answers = root / ".innercouncil" / "facet_answers.jsonl"
        self.facet_modes = root / ".innercouncil" / "facet_modes.json"
        self.clusters = self.personas / "clusters"
        self.facet_hierarchy = self.clusters / "facet_hierarchy.json"
        self.mode_comparison = self.clusters / "mode_comparison.json"
        self.cluster_analysis = self.clusters / "cluster_analysis.json"
        self.personas_json = self.clusters / "personas.json"
        self.prompts = self.personas / "prompts"
        self.generated_prompts = self.prompts / "generated_prompts.json"
        self.system_prompts = self.prompts / "system_prompts.json"
        self.redactions = self.prompts / "redaction_report.json"
        self.model_prompts = self.prompts / "model_prompts.json"
        self.prompt_quality = self.prompts / "prompt_quality.json"
        self.adherence = self.prompts / "adherence.json"
        self.adherence_checklists = self.prompts / "adherence_checklists.json"
        self.lora_training = self.personas / "lora_training"
        self.report = root / "report.html"
        self.stamps = root / ".innercouncil"
        self.modes = self.stamps / "modes.npz"
        self.modes_info = self.stamps / "modes_info.json"
        self.discovery = self.stamps / "discovery.json"
        self.offline_personas = self.stamps / "offline_personas.json"
        self.adherence_answers = self.stamps / "adherence_answers.jsonl"
        self.adherence_judgements = self.stamps / "adherence_judgements.jsonl"
        self.answer_styles = self.stamps / "answer_styles.json"
        self.training_answers = self.stamps / "training_answers.jsonl"
        self.database = root / "council.db"
        self._holder_file = self.stamps / "lock.holder"
        # The plan's paths: data/ and loras/ lie side by side; a workspace of another name holds its adapters itself.
        self.loras = (root.parent if root.name == "data" else root) / "loras"

    def prepare(self) -> None:
        """Make the folders."""
        with disk_errors(self.root):
            private_folder(self.root)
            for folder in (self.raw_imports, self.all_messages.parent, self.clusters, self.prompts, self.stamps):
                folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.stamps).close()  # whether it may be written; a kill leaves nothing

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the workspace for one process.

        Raises WorkspaceError at once when another process holds it; a killed process's lock is released by the system.
        """
        self.prepare()
        lock = filelock.FileLock(self.stamps / "lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            msg = (
                f"The workspace {self.root} is in use by another innercouncil process{self._holder()}; "
                "wait for it to finish or stop it, or choose another folder with --workspace."
            )
            raise WorkspaceError(msg) from None
        try:
            self._name_holder()
            self._drop_leftovers()
            yield
        finally:
            with contextlib.suppress(OSError):
                self._holder_file.unlink()
            lock.release()

    def _name_holder(self) -> None:
        """Say who holds the lock; only whoever holds it writes here."""
        with disk_errors(self._holder_file):
            self._holder_file.write_text(f"{os.getpid()} {_command()}", "utf-8")

    def _holder(self) -> str:
        try:
            pid, _, command = self._holder_file.read_text("utf-8").partition(" ")
        except (OSError, ValueError):
            return ""
        return f" (process {pid}, `{command}`)" if pid.isdigit() else ""

    def _drop_leftovers(self) -> None:
        """Take out temporary files that a kill or a power cut left; a young one may be another process's, at work."""
        folders = (
            self.root, self.stamps, self.raw_imports, self.all_messages.parent, self.clusters, self.prompts, self.lora_training,
        )  # fmt: skip
        for folder in folders:
            _drop_dead(folder)
            for part in folder.glob(".*.part"):
                with contextlib.suppress(OSError):
                    if time.time() - part.stat().st_mtime > _ABANDONED:
                        part.unlink()

    def is_done(self, stage: str, fingerprint: str) -> bool:
        """Whether `stage` was finished from exactly these inputs and its outputs are still in place."""
        stamp = self.stamp(stage)
        if stamp is None or stamp.fingerprint != fingerprint:
            return False
        for name, (size, _) in stamp.outputs.items():
            path = self.root / name
            if not path.is_file() or path.stat().st_size != size:
                return False
        return True

    def stamp(self, stage: str) -> Stamp | None:
        """The stamp of a finished stage, None where there is none or it cannot be read."""
        try:
            return msgspec.json.decode((self.stamps / f"{stage}.json").read_bytes(), type=Stamp)
        except (OSError, msgspec.MsgspecError):
            return None

    def finish(self, stage: str, fingerprint: str, outputs: Iterable[Path]) -> Stamp:
        """Record that `stage` made `outputs` from `fingerprint`."""
        made: dict[str, tuple[int, str]] = {}
        for path in outputs:
            made[path.relative_to(self.root).as_posix()] = (path.stat().st_size, file_digest(path))
        stamp = Stamp(stage, fingerprint, made)
        self.write_json(self.stamps / f"{stage}.json", stamp)
        return stamp

    def forget(self, stages: Iterable[str]) -> None:
        """Drop stamps, so that these stages are redone."""
        with disk_errors(self.stamps):
            for stage in stages:
                (self.stamps / f"{stage}.json").unlink(missing_ok=True)

    def keep_import(self, source: Path) -> tuple[Path, str]:
        """Copy an export file into raw_imports (unless it is there) and return the kept path and its SHA-256.

        A file of the same name and other content is kept beside it under a name with its digest.
        """
        source = source.resolve()
        if source.is_dir() and self.raw_imports.resolve() not in source.parents:
            return self._keep_folder(source)
        if self.raw_imports.resolve() in source.parents:
            return source, file_digest(source)
        digest = file_digest(source)
        target = self.raw_imports / source.name
        if target.exists() and not (target.stat().st_size == source.stat().st_size and file_digest(target) == digest):
            target = self.raw_imports / f"{source.stem}-{digest[:8]}{source.suffix}"
        if not target.exists() or target.stat().st_size != source.stat().st_size:
            with writing(target) as out, source.open("rb") as f:
                shutil.copyfileobj(f, out, _CHUNK)
        return target, digest

    def _keep_folder(self, source: Path) -> tuple[Path, str]:
        digest = file_digest(source)
        target = self.raw_imports / f"{source.name}-{digest[:8]}"
        for file in export_files(source):
            kept = target / file.relative_to(source)
            if not kept.exists() or kept.stat().st_size != file.stat().st_size:
                with writing(kept) as out, file.open("rb") as f:
                    shutil.copyfileobj(f, out, _CHUNK)
        return target, digest

    def write_json(self, path: Path, value: Any) -> None:
        """Write `value` as indented JSON, whole or not at all."""
        with writing(path) as f:
            f.write(msgspec.json.format(msgspec.json.encode(value), indent=2))
            f.write(b"\n")


def _command() -> str:
    """The verb this process was started with, without its arguments: those may hold a person's text."""
    verb = next((a for a in sys.argv[1:2] if re.fullmatch(r"[a-z-]{2,20}", a)), "")
    return f"innercouncil {verb}".strip()


def whole_lines(path: Path) -> list[bytes]:
    """The lines of a file that grows line by line; a last one that a kill cut short is taken out of it."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    if data and not data.endswith(b"\n"):
        data = data[: data.rfind(b"\n") + 1]
        with writing(path) as out:
            out.write(data)
    return data.splitlines()


@contextlib.contextmanager
def writing(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file beside `path` for writing; on success it replaces `path`, on failure it is removed.

    Each writer has a temporary file of its own, so of several at once the last one done stands, whole.

    Raises WorkspaceError on a full disk, missing rights or any other trouble of the file system.
    """
    temporary = path.with_name(f".{_HERE}-{os.getpid()}-{secrets.token_hex(4)}.part")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.parent not in _SWEPT:
            _SWEPT.add(path.parent)
            _drop_dead(path.parent)
        try:
            with temporary.open("wb") as f:
                yield f
                f.flush()
                os.fsync(f.fileno())
            temporary.replace(path)
            sync_folder(path.parent)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise


def is_temporary(name: str) -> bool:
    """Whether a file of this name is one that is being written, or that a kill left."""
    return _PART_RE.fullmatch(name) is not None


def _drop_dead(folder: Path) -> None:
    """Take out temporary files of this machine's processes that are no more."""
    with contextlib.suppress(OSError):
        for part in folder.glob(".*.part"):
            match = _PART_RE.fullmatch(part.name)
            if match and match[1] == _HERE and not psutil.pid_exists(int(match[2])):
                with contextlib.suppress(OSError):
                    part.unlink()


def private_folder(folder: Path) -> None:
    """Make a folder that other accounts of the machine cannot look into (on Windows as far as Python does so, from 3.12.4).

    One that is there already keeps the rights it has. Raises OSError.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def sync_folder(folder: Path) -> None:
    """Bring a folder's new names to disk, so that a power cut keeps a rename; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an OSError into a WorkspaceError that names the path and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            why, todo = "the disk is full", "free some space and run the same command again: finished stages are kept"
        elif error.errno == errno.EFBIG:
            why, todo = (
                "files may not grow that large here",
                "raise the limit (`ulimit -f`) and run the same command again",
            )
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            why, todo = "it may not be written", "choose a folder of yours with --workspace"
        else:
            why, todo = error.strerror or type(error).__name__, "check the folder and run the same command again"
        raise (DiskFullError if error.errno in NO_ROOM else WorkspaceError)(
            f"Cannot write {path}: {why}; {todo}."
        ) from error


def file_digest(path: Path) -> str:
    """SHA-256 of a file in hexadecimal, read in chunks; for a folder, of its sorted JSON files' names and contents."""
    digest = hashlib.sha256()
    for file in export_files(path) if path.is_dir() else [path]:
        if path.is_dir():
            digest.update(file.relative_to(path).as_posix().encode("utf-8", "surrogateescape") + b"\0")
        with file.open("rb") as f:
            while chunk := f.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def export_files(folder: Path) -> list[Path]:
    """The files of an export folder that count, sorted; links to files outside it do not."""
    root = folder.resolve()
    found = (p for p in folder.rglob("*") if p.is_file() and p.suffix.lower() in FOLDER_SUFFIXES)
    return sorted(p for p in found if not p.is_symlink() or p.resolve().is_relative_to(root))


def fingerprint(**parts: Any) -> str:
    """SHA-256 over named parts (anything msgspec encodes), independent of their order."""
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()
