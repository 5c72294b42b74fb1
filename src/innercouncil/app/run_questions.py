"""A set of questions played through the council unattended, each once, however often the run is cut off.

A batch belongs to a council (its personas' versions, models and options), not to a file: the same question put to the same
council is asked once. What became of each question is in council.db; the batch's own file only says which session is whose,
a line appended and flushed before a session begins and one after.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import filelock
import msgspec

from innercouncil.app.council import House
from innercouncil.model.council import CouncilOptions, SessionRecord
from innercouncil.model.errors import SessionNotFoundError, WorkspaceError
from innercouncil.model.ports import Usage
from innercouncil.store.workspace import disk_errors, fingerprint, whole_lines

TRIES: Final = 2
FAILURES_IN_A_ROW: Final = 3
"""Questions that may fail one after another before the run ends: the model is gone, more would fail like them."""

State = Literal["new", "cut off", "failed", "given up", "done"]


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a batch's file."""

    question: str
    """Digest of the question; its text is in council.db alone."""
    at: str
    """UTC, ISO 8601."""
    after: str | None = None
    """The newest session when this try was about to begin, empty where there was none: its session comes after it,
    whatever the clock said. None in lines of earlier versions."""
    session: str = ""
    """Empty: about to begin."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A question is through."""

    number: int
    """How many are, of `total`, with those of earlier runs."""
    total: int
    state: State
    seconds: float
    left: float
    """Seconds the rest takes at the pace of this run."""


class BatchSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did."""

    batch: str
    questions: int
    done: int
    """Of them, those that are answered now, in this run or before."""
    done_before: int
    failed: int
    unasked: int
    """Not come to, because too many failed in a row."""
    seconds: float
    """Of this run."""
    prompt_tokens: int
    completion_tokens: int
    """Of this run's sessions, as the backend counted."""
    sessions: tuple[str, ...]
    """Of the questions that are answered, in the order of the questions."""
    failed_sessions: tuple[str, ...]
    problem: str = ""


class Batch:
    """The questions one council was asked."""

    def __init__(self, folder: Path, key: str) -> None:
        self.key, self._path = key, folder / f"{key}.jsonl"
        self._tries: dict[str, list[Begun]] = {}

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the batch for one process and read its file. Raises WorkspaceError where another holds it."""
        with disk_errors(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self._path.with_suffix(".lock"))
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise WorkspaceError(
                "These questions are being asked by another innercouncil process; wait for it."
            ) from None
        try:
            self._read()
            yield
        finally:
            lock.release()

    def _read(self) -> None:
        self._tries = {}
        for number, line in enumerate(whole_lines(self._path), 1):
            try:
                self._keep(msgspec.json.decode(line, type=Begun))
            except msgspec.MsgspecError:
                raise WorkspaceError(f"{self._path}, line {number}, is damaged; delete the line or the file.") from None

    def _keep(self, begun: Begun) -> None:
        tries = self._tries.setdefault(begun.question, [])
        if tries and not tries[-1].session:
            tries.pop()
        tries.append(begun)

    def tries(self, question: str) -> list[Begun]:
        """Every try at a question, oldest first; only the last may lack its session."""
        return self._tries.get(question, [])

    def write(self, begun: Begun) -> None:
        """Append a line, on disk before it is acted upon."""
        with disk_errors(self._path), self._path.open("ab") as file:
            file.write(msgspec.json.encode(begun) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._keep(begun)


class Run:
    """One run over a batch in an open house."""

    def __init__(
        self, house: House, questions: Sequence[str], *, personas: Sequence[str] | None, options: CouncilOptions,
        again: bool = False, step: Callable[[Step], None] = lambda _step: None,
    ) -> None:  # fmt: skip
        """`again`: questions that were given up get another try."""
        self._house, self._personas, self._options, self._step = house, personas, options, step
        self._questions = list(dict.fromkeys(questions))
        self._again = again
        self._read = self._written = 0
        self._batch = Batch(house.workspace.root / "batches", self._key())

    def _key(self) -> str:
        house, settings = self._house, self._house.backends.settings
        versions = [p.version.id for p in house.cards.named(self._personas)]
        models = [settings.worker, settings.worker if self._options.lite else settings.writer]
        return fingerprint(personas=versions, models=models, options=self._options)[:16]

    async def play(self) -> BatchSummary:
        """Ask what was not answered yet, one question after another.

        Raises WorkspaceError where the same batch runs elsewhere, UsageError and BackendError where no council can be held.
        """
        with self._batch.held():
            return await self._play()

    async def _play(self) -> BatchSummary:
        began = time.monotonic()
        states = {q: self._state(q) for q in self._questions}
        before = sum(s == "done" for s in states.values())
        waiting = [
            q
            for q in self._questions
            if states[q] not in ("done", "given up") or (self._again and states[q] == "given up")
        ]
        through, in_a_row, problem = len(states) - len(waiting), 0, ""
        for n, question in enumerate(waiting, 1):
            start = time.monotonic()
            record = await self._one(question)
            states[question] = self._state(question)
            in_a_row = in_a_row + 1 if record.status == "failed" else 0
            problem = record.problem if record.status == "failed" else problem
            pace = (time.monotonic() - began) / n
            self._step(Step(number=through + n, total=len(states), state=states[question],
                            seconds=round(time.monotonic() - start, 1), left=round(pace * (len(waiting) - n), 1)))  # fmt: skip
            if in_a_row == FAILURES_IN_A_ROW:
                break
        last = {q: self._batch.tries(_digest(q)) for q in self._questions}
        asked = {q: t[-1].session for q, t in last.items() if t}
        failed = [asked[q] for q in self._questions if states[q] in ("failed", "given up")]
        return BatchSummary(
            batch=self._batch.key, questions=len(states), done=sum(s == "done" for s in states.values()), done_before=before,
            failed=len(failed), unasked=sum(s in ("new", "cut off") for s in states.values()),
            seconds=round(time.monotonic() - began, 1), prompt_tokens=self._read, completion_tokens=self._written,
            sessions=tuple(asked[q] for q in self._questions if states[q] == "done"), failed_sessions=tuple(failed),
            problem=problem,
        )  # fmt: skip

    def _state(self, question: str) -> State:
        self._adopt(question)
        tries = self._batch.tries(_digest(question))
        record = self._record(tries[-1].session) if tries else None
        if record is None:
            return "new"  # never begun, or the person deleted the session
        if record.status == "failed":
            return "given up" if len(tries) >= TRIES else "failed"
        return "done" if record.status == "done" else "cut off"

    def _of(self, question: str) -> CouncilOptions:
        """The options with a seed of the question's own: random numbers shared by all would make their answers depend on
        each other, and whoever compares personas would take a seat's luck for a voice.
        """
        seed = (self._options.seed + int(_digest(question)[:7], 16)) % 2**31
        return msgspec.structs.replace(self._options, seed=seed)

    def _adopt(self, question: str) -> None:
        """A kill between a session's begin and the line that names it: find the session by what it asks."""
        tries = self._batch.tries(_digest(question))
        if not tries or tries[-1].session:
            return
        before: str | None = None
        while True:
            page = self._house.sessions.page(before=before)
            for summary in page.sessions:
                if summary.id == tries[-1].after or (tries[-1].after is None and summary.created_at < tries[-1].at):
                    return
                record = self._house.sessions.get(summary.id)
                if record.council.question == question and record.council.options == self._of(question):
                    self._batch.write(msgspec.structs.replace(tries[-1], session=record.id))
                    return
            if page.next is None:
                return
            before = page.next

    def _record(self, session: str) -> SessionRecord | None:
        try:
            return self._house.sessions.get(session)
        except SessionNotFoundError:
            return None

    async def _one(self, question: str) -> SessionRecord:
        """Begin, go on with, or try once more; returns the session as it ended."""
        tries = self._batch.tries(_digest(question))
        old = self._record(tries[-1].session) if tries else None
        if old is not None and old.status == "failed":
            return await self._retry(question, old)
        record = await (self._begin(question) if old is None else self._go_on(old))
        if record.status == "failed" and len(self._batch.tries(_digest(question))) < TRIES:
            return await self._retry(question, record)
        return record

    async def _begin(self, question: str) -> SessionRecord:
        mark, at = _digest(question), _now()
        newest = self._house.sessions.page(limit=1).sessions
        self._batch.write(Begun(question=mark, at=at, after=newest[0].id if newest else ""))
        session = await self._house.ask(question, personas=self._personas, options=self._of(question))
        self._batch.write(Begun(question=mark, at=at, session=session))
        return await self._ended(session, set())

    async def _retry(self, question: str, failed: SessionRecord) -> SessionRecord:
        """Where answers stand only the rest is asked again; where none does, the question is asked anew."""
        if not any(a.stands for a in failed.answers if a.part == "council"):
            return await self._begin(question)
        self._batch.write(Begun(question=_digest(question), at=_now(), session=failed.id))
        return await self._go_on(failed)

    async def _go_on(self, old: SessionRecord) -> SessionRecord:
        await self._house.resume(old.id)
        kept = self._house.sessions.get(old.id)
        return await self._ended(old.id, {name for name, _ in _usages(kept)})

    async def _ended(self, session: str, known: set[str]) -> SessionRecord:
        record = await self._house.wait(session)
        for key, usage in _usages(record):
            if key not in known:
                self._read += usage.prompt_tokens
                self._written += usage.completion_tokens
        return record


def _usages(record: SessionRecord) -> list[tuple[str, Usage]]:
    """What each finished piece of a session took, under a name of its own."""
    pieces: list[tuple[str, Usage | None]] = [(f"a{a.part}{a.seat}{a.round}", a.usage) for a in record.answers]
    pieces += [(f"b{b.part}{b.voter}", b.usage) for b in record.ballots]
    pieces += [(f"s{s.part}{s.timing.started}", s.usage) for s in record.syntheses]
    return [(name, usage) for name, usage in pieces if usage is not None]


def _digest(question: str) -> str:
    return hashlib.sha256(question.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
