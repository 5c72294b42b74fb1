"""Work that takes longer than a request: reading an export, writing personas again."""

from __future__ import annotations

import asyncio
import inspect
import secrets
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Literal

import msgspec

from innercouncil.app.findings import TITLES
from innercouncil.model.errors import InnerCouncilError, UsageError
from innercouncil.web.http import LOG

KEPT = 20
_STOPPED = "You stopped it; started again, it goes on where it was."

Kind = Literal["import", "personas", "model", "writing", "ab", "tuning"]


class Job(msgspec.Struct):
    """How far a job is."""

    id: str
    kind: Kind
    state: Literal["running", "done", "failed"] = "running"
    stage: str = ""
    title: str = ""
    done: int = 0
    total: int = 1
    problem: str = ""
    question: str = ""
    """What the person has to say yes or no to before it goes on."""
    note: str = ""
    """What it took so far."""
    stoppable: bool = True
    """Whether a person may stop it: what follows from a change of theirs is done to its end."""


class Jobs:
    """The jobs of this process; one at a time, in a thread."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._watchers: dict[str, JobWatcher] = {}

    def get(self, id_: str) -> Job:
        """The job. Raises UsageError."""
        if id_ not in self._jobs:
            raise UsageError("There is no such job; start it again.")
        return self._jobs[id_]

    def running(self) -> list[Job]:
        """The jobs that run now."""
        return [j for j in self._jobs.values() if j.state == "running"]

    def check_free(self) -> None:
        """Raises UsageError while a job runs."""
        if self.running():
            raise UsageError("Something is being read already; wait until it is done.")

    def start(self, kind: Kind, work: Callable[[JobWatcher], Awaitable[None] | None]) -> Job:
        """Run `work`, in a thread unless it is a coroutine function. Raises UsageError while another job runs."""
        self.check_free()
        job = Job(id=secrets.token_hex(8), kind=kind, stoppable=kind != "personas")
        self._jobs = dict([*self._jobs.items(), (job.id, job)][-KEPT:])
        watcher = JobWatcher(job, in_thread=not inspect.iscoroutinefunction(work))
        self._watchers[job.id] = watcher

        async def run() -> None:
            try:
                if inspect.iscoroutinefunction(work):
                    await work(watcher)
                else:
                    await asyncio.to_thread(work, watcher)
                job.state = "done"
            except asyncio.CancelledError:
                job.problem, job.state = _STOPPED, "failed"
            except InnerCouncilError as error:
                job.problem, job.state = str(error), "failed"
            except Exception as error:
                LOG.error("job failed: %s", type(error).__name__)
                job.problem, job.state = (
                    f"It failed unexpectedly ({type(error).__name__}); what was finished is kept, try again.",
                    "failed",
                )

        task = asyncio.create_task(run())
        self._tasks[job.id] = task
        task.add_done_callback(lambda _: (self._tasks.pop(job.id, None), self._watchers.pop(job.id, None)))
        return job

    def answer(self, id_: str, yes: bool) -> None:
        """The person's answer to a job's question. Raises UsageError where none is asked."""
        if not self.get(id_).question:
            raise UsageError("This job asks nothing now.")
        self._watchers[id_].answer(yes)

    def cancel(self, id_: str) -> None:
        """Stop a job: in a thread at its next step. Raises UsageError for one that goes to its end."""
        if not self.get(id_).stoppable:
            raise UsageError("This cannot be stopped half-way; it ends by itself.")
        self._stop(id_)

    async def close(self) -> None:
        """Stop every job and wait until it has let go."""
        tasks = list(self._tasks.values())
        for id_ in list(self._tasks):
            self._stop(id_)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _stop(self, id_: str) -> None:
        if id_ in self._tasks:
            self._watchers[id_].stop()
            if not self._watchers[id_].in_thread:
                self._tasks[id_].cancel()

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


class StoppedError(InnerCouncilError):
    """The job was stopped, by the person or with the app."""


class JobWatcher:
    """Takes a stage's progress into a job; once the job was stopped, whatever it is told raises StoppedError."""

    def __init__(self, job: Job, *, in_thread: bool) -> None:
        self._job, self.in_thread = job, in_thread
        self._answered, self._yes = threading.Event(), False
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End the job at its next step; a question that is open is answered with no."""
        self._stopped.set()
        self.answer(False)

    def ask(self, question: str) -> bool:
        """Wait, in the job's thread, for the person's yes or no."""
        self._go_on()
        self._job.question = question
        self._answered.wait()
        self._answered.clear()
        self._job.question = ""
        return self._yes

    def answer(self, yes: bool) -> None:
        """The person said yes or no."""
        self._yes = yes
        self._answered.set()

    def note(self, text: str) -> None:
        """Say something beside the bar."""
        self._go_on()
        self._job.note = text

    def stage(self, title: str, *, done: bool) -> Callable[[int, int], None]:
        """A stage begins."""
        self._go_on()
        job = self._job
        job.stage = next((name for name, t in TITLES.items() if t == title), "")
        job.title, job.done, job.total = title, int(done), 1

        def update(at: int, total: int) -> None:
            self._go_on()
            job.done, job.total = at, max(total, 1)

        return update

    def at(self, title: str, done: int, total: int) -> None:
        """Say how far it is, in one go."""
        self._go_on()
        self._job.title, self._job.done, self._job.total = title, done, max(total, 1)

    def _go_on(self) -> None:
        if self._stopped.is_set():
            raise StoppedError(_STOPPED)
