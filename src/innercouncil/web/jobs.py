"""Work that takes longer than a request: reading an export, writing personas again."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable
from typing import Literal

import msgspec

from innercouncil.app.findings import TITLES
from innercouncil.model.errors import InnerCouncilError, UsageError
from innercouncil.web.http import LOG

KEPT = 20


class Job(msgspec.Struct):
    """How far a job is."""

    id: str
    kind: Literal["import", "personas"]
    state: Literal["running", "done", "failed"] = "running"
    stage: str = ""
    title: str = ""
    done: int = 0
    total: int = 1
    problem: str = ""


class Jobs:
    """The jobs of this process; one at a time, in a thread."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def get(self, id_: str) -> Job:
        """The job. Raises UsageError."""
        if id_ not in self._jobs:
            raise UsageError("There is no such job; start it again.")
        return self._jobs[id_]

    def check_free(self) -> None:
        """Raises UsageError while a job runs."""
        if any(j.state == "running" for j in self._jobs.values()):
            raise UsageError("Something is being read already; wait until it is done.")

    def start(self, kind: Literal["import", "personas"], work: Callable[[JobWatcher], None]) -> Job:
        """Run `work` in a thread. Raises UsageError while another job runs."""
        self.check_free()
        job = Job(id=secrets.token_hex(8), kind=kind)
        self._jobs = dict([*self._jobs.items(), (job.id, job)][-KEPT:])

        async def run() -> None:
            try:
                await asyncio.to_thread(work, JobWatcher(job))
                job.state = "done"
            except InnerCouncilError as error:
                job.problem, job.state = str(error), "failed"
            except Exception as error:
                LOG.error("job failed: %s", type(error).__name__)
                job.problem, job.state = (
                    f"It failed unexpectedly ({type(error).__name__}); what was finished is kept, try again.",
                    "failed",
                )

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job

    async def events(self, id_: str) -> AsyncGenerator[tuple[str, Job], None]:
        """The job whenever it changed, until it ends."""
        last = b""
        while True:
            job = self.get(id_)
            now = msgspec.json.encode(job)
            if now != last:
                last = now
                yield "progress", job
            if job.state != "running":
                return
            await asyncio.sleep(0.1)


class JobWatcher:
    """Takes a stage's progress into a job."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def stage(self, title: str, *, done: bool) -> Callable[[int, int], None]:
        """A stage begins."""
        job = self._job
        job.stage = next((name for name, t in TITLES.items() if t == title), "")
        job.title, job.done, job.total = title, int(done), 1

        def update(at: int, total: int) -> None:
            job.done, job.total = at, max(total, 1)

        return update
