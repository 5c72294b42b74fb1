"""One export of many, as a worker does it: the same stages and files as `discover`, and a record written last."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec
import platformdirs
import psutil

from innercouncil import __version__
from innercouncil.app.discover import discover_personas
from innercouncil.app.settings import Settings
from innercouncil.model.errors import InnerCouncilError
from innercouncil.store.places import Place
from innercouncil.store.workspace import Workspace, file_digest, fingerprint

TRIES: Final = 3
"""Workers that may die over one export."""


class Job(msgspec.Struct, frozen=True):
    """What a worker is told."""

    number: int
    source: str
    out: str
    name: str
    mark: str
    settings: Settings
    version: str = __version__

    def __repr__(self) -> str:
        """The number alone: Dask shows and logs what tasks are called with, and names of exports may name people."""
        return f"Job({self.number})"


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an export; kept in the ledger of the place the workspaces go to."""

    name: str
    state: Literal["done", "failed"]
    mark: str
    recipe: str
    """Of the settings and the version it was made with."""
    digest: str = ""
    """SHA-256 of the export."""
    problem: str = ""
    personas: int = 0
    messages: int = 0
    export_bytes: int = 0
    """As it lies there, packed where it is packed."""
    kept_bytes: int = 0
    """All files of the workspace."""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    """Most memory its worker had held by then."""
    resumed: bool = False
    """An earlier try did part of it, which these figures do not hold."""


class Finding(NamedTuple):
    """What a run found of an export."""

    record: Record
    how: Literal["done", "kept", "failed"]
    """`kept`: done by an earlier run, from the same content with the same settings and version."""


class Silent:
    """A watcher of the stages that says nothing: a worker has no terminal, and logs tell nothing of people."""

    def stage(self, title: str, *, done: bool) -> Callable[[int, int], None]:
        """Nothing is shown."""
        return lambda _done, _total: None


def recipe_of(settings: Settings) -> str:
    """What two runs share only if they make the same files of the same export."""
    plain = msgspec.structs.replace(settings, refresh=False, processes=None)
    return fingerprint(settings=plain, version=__version__)


def read_record(data: bytes | None) -> Record | None:
    """A record as it was written, None for what is none."""
    try:
        return msgspec.json.decode(data or b"", type=Record)
    except msgspec.MsgspecError:
        return None


def discover_one(job: Job) -> Finding:
    """Make the workspace of one export and record it. Never raises for what is wrong with the export: the record says it."""
    out = Place(job.out)
    blank = Record(name=job.name, state="failed", mark=job.mark, recipe=recipe_of(job.settings))
    try:
        found = _discover(job, out, blank)
        out.write_record(job.name, msgspec.json.encode(found.record))
    except Exception as error:
        record = msgspec.structs.replace(blank, problem=_problem(error))
        with suppress(Exception):  # the one who asked hears of it all the same
            out.write_record(job.name, msgspec.json.encode(record))
        return Finding(record, "failed")
    return found


def _discover(job: Job, out: Place, blank: Record) -> Finding:
    if job.version != __version__:
        problem = f"The worker has innercouncil {__version__}, not {job.version}; install the same on all machines."
        return Finding(msgspec.structs.replace(blank, problem=problem), "failed")
    source, began, spent = Place(job.source), time.perf_counter(), time.process_time()
    with _scratch(job) as scratch:
        export = source.folder / job.name if source.folder else source.fetch(job.name, scratch / "export")
        digest, before = file_digest(export), read_record(out.read_record(job.name))
        done = before is not None and is_done(before, blank.recipe) and before.digest == digest
        if before is not None and done and not job.settings.refresh and out.has(job.name):
            return Finding(msgspec.structs.replace(before, mark=job.mark), "kept")
        root = out.folder / job.name if out.folder else out.fetch(job.name, scratch / "workspace")
        outcome = discover_personas(export, Workspace(root), job.settings, Silent())
        if out.folder is None:
            out.put(root, job.name)
        made = msgspec.structs.replace(
            blank, state="done", digest=digest, personas=len(outcome.discovery.personas), messages=outcome.report.user_messages,
            export_bytes=_size(export), kept_bytes=_size(root), seconds=round(time.perf_counter() - began, 2),
            cpu_seconds=round(time.process_time() - spent, 2), peak_bytes=_peak(),
            resumed=bool(outcome.resumed),
        )  # fmt: skip
        return Finding(made, "done")


def is_done(record: Record, recipe: str) -> bool:
    """Whether an export was done with these settings and this version."""
    return record.state == "done" and record.recipe == recipe


def _problem(error: Exception) -> str:
    """One sentence without anything an export says: of an unexpected error only its type."""
    if isinstance(error, InnerCouncilError):
        return str(error)
    if isinstance(error, MemoryError):
        return "There is not enough memory for it; use fewer workers, or --mode 8GB."
    return f"It failed inside innercouncil ({type(error).__name__}); `innercouncil discover` on it alone shows where."


# --- what is copied here from an object store and goes again ---


@contextmanager
def _scratch(job: Job) -> Iterator[Path]:
    """A folder of this task's own, in this account's cache; one that a killed worker left under this name is emptied first."""
    folder = scratch_root(job.out) / sha256(job.name.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def scratch_root(out: str) -> Path:
    """Where the runs into `out` copy to."""
    return (
        platformdirs.user_cache_path("innercouncil", appauthor=False) / "many" / sha256(out.encode()).hexdigest()[:16]
    )


def clear_scratch(out: str) -> None:
    """Take away what killed workers left on this machine."""
    shutil.rmtree(scratch_root(out), ignore_errors=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else sum(p.stat().st_size for p in path.rglob("*") if p.is_file())


def _peak() -> int:
    """Most bytes this process ever held."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(most) if sys.platform == "darwin" else int(most) << 10
