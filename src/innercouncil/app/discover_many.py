"""`discover` over many exports: one task each, on Dask's workers here or on a cluster that is there already."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import uuid4

import filelock
import msgspec

from innercouncil import __version__
from innercouncil.app.many_task import (
    TRIES,
    Finding,
    Job,
    Record,
    clear_scratch,
    discover_one,
    is_done,
    read_record,
    recipe_of,
)
from innercouncil.app.settings import Settings
from innercouncil.model.errors import InnerCouncilError, UsageError, WorkspaceError
from innercouncil.model.extras import to_install
from innercouncil.store.places import LEDGER, Entry, Place
from innercouncil.store.workspace import disk_errors

if TYPE_CHECKING:
    from distributed import Client, Future

PATIENCE_S: Final = 60
"""Longest wait for a scheduler, and for its first worker."""
LOST: Final = "The scheduler went away; run the same command again: what was finished is kept."
OWN_CLUSTER: Final[dict[str, Any]] = {
    "distributed.scheduler.allowed-failures": TRIES - 1,
    "distributed.scheduler.work-stealing": False,
    # A worker holds no data of Dask's that could be spilled, and a paused one would never go on: over its bound it ends.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
}


class Engine(NamedTuple):
    """Who does the work."""

    workers: int = 1
    """Processes on this machine, where no scheduler is named."""
    memory: str = "auto"
    """Most memory of each, e.g. "4GB"; auto: this machine's, divided."""
    scheduler: str = ""
    """Address of a Dask scheduler, e.g. `tls://head:8786`; its workers then do the work."""


def discover_many(
    source: str, out: str, settings: Settings, engine: Engine, watch: Callable[[Finding, int], None]
) -> tuple[list[Finding], int]:
    """Make a workspace in `out` for every export in `source`; what was done before is kept.

    `watch` hears of each as it ends, with the number of exports. Returns the findings by name, and how many other files were
    left out. One that fails never stops the others. Raises UsageError for places or an engine that cannot be used,
    InnerCouncilError where the cluster goes away.
    """
    needs_dask()
    origin, target = Place(source), Place(out)
    if origin.holds(target) or target.holds(origin):
        raise UsageError(
            f"{out} and {source} lie within each other; choose an --out beside the exports: those are never written to."
        )
    entries, left_out = origin.entries()
    if not entries:
        raise UsageError(
            f"There are no exports in {source}; it holds the ZIPs, files or folders as people downloaded them."
        )
    settings = msgspec.structs.replace(settings, processes=1)
    with _held(target):
        kept, todo = ([], entries) if settings.refresh else _sort_out(target, entries, recipe_of(settings))
        findings = []
        for finding in kept:
            findings.append(finding)
            watch(finding, len(entries))
        begin, end = (str(p.folder.absolute()) if p.folder else p.where for p in (origin, target))
        jobs = [Job(number, begin, end, entry.name, entry.mark, settings) for number, entry in enumerate(todo)]
        if jobs:
            needed = engine._replace(workers=min(engine.workers, len(jobs)))
            with contextlib.closing(_run(jobs, needed)) as found:
                for finding in found:
                    findings.append(finding)
                    watch(finding, len(entries))
    return sorted(findings, key=lambda f: f.record.name), left_out


def needs_dask() -> None:
    """Raises UsageError that says what to install, where Dask is missing."""
    try:
        import distributed  # noqa: F401
        import fsspec  # noqa: F401
    except ImportError:
        raise UsageError(f"discover-many needs Dask, which is not installed; {to_install('many')}.") from None


@contextlib.contextmanager
def _held(out: Place) -> Iterator[None]:
    """Hold a folder of this machine for one run; an object store has no locks."""
    if out.folder is None:
        yield
        return
    with disk_errors(out.folder):
        (out.folder / LEDGER).mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(out.folder / LEDGER / "lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise WorkspaceError(
            f"Another discover-many works in {out.where}; wait for it, or choose another --out."
        ) from None
    try:
        yield
    finally:
        lock.release()


def _sort_out(out: Place, entries: Sequence[Entry], recipe: str) -> tuple[list[Finding], list[Entry]]:
    """What is done, and what is to do."""
    records, there = out.read_records(), out.names()
    kept: list[Finding] = []
    todo: list[Entry] = []
    for entry in entries:
        record = read_record(records.get(entry.name))
        if record and is_done(record, recipe) and record.mark == entry.mark and entry.name in there:
            kept.append(Finding(record, "kept"))
        else:
            todo.append(entry)
    return kept, todo


def _run(jobs: Sequence[Job], engine: Engine) -> Generator[Finding]:
    """Findings as they come. Only as many tasks as there are workers are with the scheduler at a time: a worker that dies
    takes no other export's good name with it, and a hundred thousand tasks need no memory there.
    """
    from distributed import as_completed

    out = jobs[0].out
    with _client(engine) as client:
        _prepare(client, out)
        waiting, running = iter(jobs), dict[str, Job]()
        done, run = as_completed(), uuid4().hex[:8]  # a scheduler may have other runs, which begin at 0 too

        def fill() -> None:
            room = max(1, sum(client.nthreads().values())) - len(running)
            for job in islice(waiting, max(0, room)):
                future = client.submit(discover_one, job, key=f"export-{run}-{job.number}", pure=False)
                running[future.key] = job
                done.add(future)

        try:
            fill()
            for future in done:
                yield _finding(future, running.pop(future.key))
                fill()
        except (OSError, TimeoutError, CancelledError) as error:
            raise InnerCouncilError(LOST) from error
        with contextlib.suppress(Exception):  # only leftovers: the next run takes them away too
            client.run(clear_scratch, out)


def _finding(future: Future, job: Job) -> Finding:
    from distributed import KilledWorker

    if future.status == "finished":
        found: Finding = future.result()
        return found
    if future.status != "error":
        raise InnerCouncilError(LOST)
    error = future.exception()
    problem = (
        f"{error.allowed_failures + 1} workers died over it, so it was given up: too little memory for it (--worker-memory), or a fault; "
        "`innercouncil discover` on it alone shows which."
        if isinstance(error, KilledWorker)
        else f"The worker could not begin ({type(error).__name__}); is innercouncil {__version__} installed there?"
    )
    record = Record(name=job.name, state="failed", mark=job.mark, recipe=recipe_of(job.settings), problem=problem)
    Place(job.out).write_record(job.name, msgspec.json.encode(record))
    return Finding(record, "failed")


def _prepare(client: Client, out: str) -> None:
    """Wait for a worker, and clear what killed ones left. Raises InnerCouncilError."""
    try:
        client.wait_for_workers(1, timeout=PATIENCE_S)
    except TimeoutError:
        raise InnerCouncilError(
            f"No worker came to the scheduler in {PATIENCE_S} seconds; start some: dask worker ADDRESS."
        ) from None
    try:
        client.run(clear_scratch, out)
    except Exception as error:
        raise InnerCouncilError(
            f"The workers cannot run innercouncil ({type(error).__name__}): install innercouncil {__version__} with its extra many there, and give them 500 MB or more."
        ) from None


@contextlib.contextmanager
def _client(engine: Engine) -> Iterator[Client]:
    """Dask's scheduler and workers, of this machine and for this run alone, or those at an address. Raises InnerCouncilError."""
    import dask
    from distributed import Client, LocalCluster, Security

    _hush()
    with warnings.catch_warnings(), dask.config.set(OWN_CLUSTER), contextlib.ExitStack() as stack:
        warnings.simplefilter("ignore")
        if engine.scheduler:
            try:
                client = Client(engine.scheduler, timeout=PATIENCE_S)
            except (ValueError, TypeError):
                raise UsageError(f"{engine.scheduler} is no address of a scheduler; e.g. tls://head:8786.") from None
            except (OSError, TimeoutError) as error:
                raise InnerCouncilError(
                    f"No Dask scheduler answers at {engine.scheduler} ({type(error).__name__}); start one, or check the address."
                ) from None
        else:
            # Whoever reaches a scheduler can run code as this account: keys of this run alone, and this machine alone.
            cluster = stack.enter_context(
                LocalCluster(
                    n_workers=engine.workers, threads_per_worker=1, memory_limit=_memory(engine.memory), host="127.0.0.1",
                    security=Security.temporary(), dashboard_address=None, silence_logs=logging.CRITICAL,
                )
            )  # fmt: skip
            client = Client(cluster)
        yield stack.enter_context(client)


def _hush() -> None:
    """Nothing of Dask's own reaches the terminal: what went wrong is told in our words."""
    for name in logging.root.manager.loggerDict:
        if name.partition(".")[0] in ("distributed", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL)


def _memory(text: str) -> Any:
    from dask.utils import parse_bytes

    if text == "auto":
        return text
    try:
        size = parse_bytes(text)
    except ValueError:
        raise UsageError(f"{text!r} is no size of memory; write e.g. 4GB or 1500MB.") from None
    return size
