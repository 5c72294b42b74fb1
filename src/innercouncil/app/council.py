"""Holding councils: sessions run beside whoever watches them, every finished piece is kept, and any can be taken up again."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import psutil

from innercouncil.app.backends import Backends
from innercouncil.app.personas import open_personas
from innercouncil.app.tune_adapters import check_bases, load_adapters
from innercouncil.council.deliberation import Deliberation, check
from innercouncil.model.card import SeatedPersona
from innercouncil.model.council import (
    Answered,
    Attachment,
    Council,
    CouncilOptions,
    Event,
    Exchange,
    Finished,
    PersonVote,
    SessionRecord,
    Started,
    Synthesised,
    Tallied,
    Voted,
    Worker,
)
from innercouncil.model.errors import InnerCouncilError, UsageError, WorkspaceError
from innercouncil.model.ports import ChatModel
from innercouncil.store.sessions import SessionStore
from innercouncil.store.workspace import Workspace

QUESTION_CHARS = 100_000
HISTORY = 8
"""Earlier questions of a conversation that go with a follow-up."""
AGAIN = 2.0
"""Seconds until the end of a session that could not be written down is tried again."""


class House:
    """A workspace with its personas, models and sessions, for one process and one event loop."""

    def __init__(self, workspace: Workspace) -> None:
        workspace.prepare()
        self.workspace, self.database, self.cards = open_personas(workspace)
        self.sessions = SessionStore(self.database)
        self.backends = Backends(self.database, workspace.root)
        self._live: dict[str, _Live] = {}
        self._opening: dict[str, bool] = {}
        """Sessions whose models are being opened, and whether they were stopped meanwhile."""
        self._ends: dict[str, _End] = {}
        self._recover()

    # --- asking ---

    async def ask(
        self, question: str, *, personas: Sequence[str] | None = None, options: CouncilOptions | None = None,
        parent: str | None = None, attachments: Sequence[Attachment] = (), history: Sequence[Exchange] = (),
    ) -> str:  # fmt: skip
        """Begin a session and return its id; watch it with `events`. Without `personas` all enabled ones are seated.

        `parent` is a session to follow up on; `history` says what was said before in a conversation kept elsewhere.

        Raises UsageError for what cannot be asked, BackendError where the models are not there.
        """
        if len(question) > QUESTION_CHARS:
            raise UsageError(
                f"The question has {len(question)} characters, {QUESTION_CHARS} is the most; attach long texts as files."
            )
        council = await self._council(
            question, self._chosen(personas), options, self._history(parent) or tuple(history), tuple(attachments)
        )
        return await self._begin(council, parent)

    async def replay(self, session: str, personas: Sequence[str]) -> str:
        """Ask an old question again with other personas; history and attachments are those of the old session."""
        old = self.sessions.get(session)
        council = await self._council(
            old.council.question,
            self._chosen(personas),
            old.council.options,
            old.council.history,
            old.council.attachments,
        )
        return await self._begin(council, old.parent)

    async def resume(self, session: str) -> None:
        """Go on with a session that was stopped, failed or cut off: only what is missing or failed is asked.

        A finished one stays as it is. Raises as `ask` does, UsageError where it runs, here or in another process.
        """
        record = self.sessions.get(session)
        if record.status != "done" or any(s.status not in ("ok", "cut") for s in record.syntheses):
            await self._again(session)

    async def retry(self, session: str, seat: int) -> None:
        """Let one worker answer again; votes and final answer are made anew, the person's judgements of them go.

        Raises as `resume` does.
        """
        if seat not in {w.seat for w in self.sessions.get(session).council.workers}:
            raise UsageError(f"Nobody sat in seat {seat}; the session shows who did.")
        await self._again(session, without_seat=seat)

    def stop(self, session: str) -> None:
        """Stop a session; what was said so far is kept."""
        live = self._live.get(session)
        if live is None and session in self._opening:
            self._opening[session] = True
            return
        if live is None:
            self.sessions.get(session)
            raise UsageError("The session is not running here.")
        live.deliberation.stop()

    def vote(self, session: str, tiers: Sequence[Sequence[int]], *, blind: bool) -> PersonVote:
        """Keep the person's vote. Raises UsageError where seats are named twice or not there."""
        record = self.sessions.get(session)
        standing = {a.seat for a in record.answers if a.part == "council" and a.stands}
        named = [seat for tier in tiers for seat in tier]
        if not named or len(set(named)) != len(named) or not standing.issuperset(named) or any(not t for t in tiers):
            raise UsageError("A vote names answers that stand, each once, best first; look at the session's answers.")
        return self.sessions.vote(session, tiers, blind=blind)

    # --- watching ---

    async def events(self, session: str) -> AsyncGenerator[Event, None]:
        """Everything from the beginning, then what happens, until `Finished`. Raises SessionNotFoundError."""
        live = self._live.get(session)
        if live is None:
            events = past_events(self.sessions.get(session))
            if session in self._ends:
                events[-1] = self._ends[session].event
            for event in events:
                yield event
            return
        at = 0
        while True:
            async with live.changed:
                await live.changed.wait_for(lambda: len(live.events) > at)  # noqa: B023 - at is meant as it is now
            news = live.events[at:]
            at += len(news)
            for event in news:
                yield event
                if isinstance(event, Finished):
                    return

    def running(self) -> list[str]:
        """Sessions that run in this process."""
        return [*self._opening, *self._live]

    async def wait(self, session: str) -> SessionRecord:
        """Wait until a session is finished and return it."""
        live = self._live.get(session)
        if live is not None and live.task is not None:
            await asyncio.shield(live.task)
        return self.sessions.get(session)

    async def close(self) -> None:
        """Stop all sessions, keep what they have, end the models."""
        for live in list(self._live.values()):
            live.deliberation.stop()
        tasks = [live.task for live in self._live.values() if live.task]
        if tasks:
            await asyncio.wait(tasks, timeout=10)
        for waiting in self._ends.values():  # the next start writes them down
            waiting.again.cancel()
        await asyncio.to_thread(self.backends.stop)
        self.database.close()

    # --- inside ---

    def _chosen(self, slugs: Sequence[str] | None) -> list[SeatedPersona]:
        seated = self.cards.named(slugs)
        if slugs is not None and len(seated) != len(slugs):
            raise UsageError("A persona was named twice; name each once.")
        return seated

    async def _council(
        self, question: str, seated: Sequence[SeatedPersona], options: CouncilOptions | None,
        history: tuple[Exchange, ...], attachments: tuple[Attachment, ...],
    ) -> Council:  # fmt: skip
        options = options or self.default_options()
        workers = tuple(
            Worker(
                seat=seat, slug=p.slug, name=p.card.name, description=p.card.description, system=p.card.system,
                temperature=options.temperature if p.card.temperature is None else p.card.temperature, version=p.version.id,
                adapter=p.card.adapter.name if p.card.adapter else None,
            )
            for seat, p in enumerate(seated)
        )  # fmt: skip
        draft = Council(
            question=question, workers=workers, worker_model="", synthesizer_model="", options=options, history=history,
            attachments=attachments,
        )  # fmt: skip
        check(draft)
        await check_bases(self, seated)
        seats = await self.backends.seats(lite=options.lite)
        return msgspec.structs.replace(draft, worker_model=seats.worker.name, synthesizer_model=seats.synthesizer.name)

    async def speaker(self, persona: str) -> tuple[ChatModel, str | None]:
        """The workers' model and the adapter a persona speaks with there. Raises as `ask` does."""
        seated = self.cards.get(persona)
        await check_bases(self, [seated])
        adapter = seated.card.adapter.name if seated.card.adapter else None
        await load_adapters(self, [adapter] if adapter else [])
        return (await self.backends.seats()).worker, adapter

    def default_options(self) -> CouncilOptions:
        """The options a session gets where nothing else is said."""
        return CouncilOptions(context_tokens=self.backends.settings.context_tokens)

    def _history(self, parent: str | None) -> tuple[Exchange, ...]:
        if parent is None:
            return ()
        before = self.sessions.get(parent)
        if not before.final:
            raise UsageError("The session to follow up on has no final answer yet; resume it first.")
        return (*before.council.history, Exchange(before.council.question, before.final))[-HISTORY:]

    async def _begin(self, council: Council, parent: str | None) -> str:
        session = self.sessions.begin(council, parent, owner=_owner())
        with self._held(session):
            await self._run(session, council, None)
        return session

    async def _again(self, session: str, without_seat: int | None = None) -> None:
        if session in self.running():
            raise UsageError("The session is still running; stop it first.")
        with self._held(session):
            await self.backends.seats(lite=self.sessions.get(session).council.options.lite)
            done = self.sessions.reopen(session, without_seat=without_seat, owner=_owner(), alive=_lives_elsewhere)
            if waiting := self._ends.pop(session, None):
                waiting.again.cancel()
            await self._run(session, done.council, done)

    @contextlib.contextmanager
    def _held(self, session: str) -> Iterator[None]:
        """Nobody else begins a session while its models are opened."""
        self._opening[session] = False
        try:
            yield
        finally:
            del self._opening[session]

    async def _run(self, session: str, council: Council, done: SessionRecord | None) -> None:
        try:
            await load_adapters(self, [w.adapter for w in council.workers if w.adapter])
            seats = await self.backends.seats(lite=council.options.lite)
            deliberation = Deliberation(session, council, seats.worker, seats.synthesizer, done=done)
        except InnerCouncilError as error:
            self._end(session, Finished("failed", str(error)))
            raise
        if self._opening[session]:
            deliberation.stop()
        live = _Live(deliberation)
        if done is not None:
            live.events.extend(past_events(done)[:-1])
        self._live[session] = live
        live.task = asyncio.create_task(self._drive(session, live))

    async def _drive(self, session: str, live: _Live) -> None:
        """Run a session to its end, whoever watches; each finished piece is written before it is shown."""
        try:
            async with contextlib.aclosing(live.deliberation.events()) as events:
                async for event in events:
                    if not (isinstance(event, Started) and live.events):  # resumed: it was told first
                        self.sessions.record(session, event)
                        await live.tell(event)
        except Exception as error:  # whatever it was, who watches must not wait for ever
            told = isinstance(error, InnerCouncilError)
            end = Finished(
                "failed", str(error) if told else f"It failed unexpectedly ({type(error).__name__}); resume it."
            )
            self._live.pop(session, None)
            self._end(session, end)
            await live.tell(end)
        finally:
            self._live.pop(session, None)

    def _end(self, session: str, end: Finished) -> None:
        """Write down how a session ended; while the disk is full or the file is away, again and again."""
        self._ends.pop(session, None)
        if session in self._live:  # resumed in between
            return
        try:
            self.sessions.record(session, end)
        except WorkspaceError:
            again = asyncio.get_running_loop().call_later(AGAIN, self._end, session, end)
            self._ends[session] = _End(end, again)
        except InnerCouncilError:
            return  # deleted, or in no copy that was restored

    def _recover(self) -> None:
        """Sessions whose process is gone were cut off: say so, so that they can be resumed."""
        for session, owner in self.sessions.running():
            if not _alive(owner):
                self.sessions.record(
                    session, Finished("stopped", "innercouncil ended in the middle of it; resume it to go on.")
                )


class _Live:
    """A session under way."""

    def __init__(self, deliberation: Deliberation) -> None:
        self.deliberation = deliberation
        self.events: list[Event] = []
        self.changed = asyncio.Condition()
        self.task: asyncio.Task[None] | None = None

    async def tell(self, event: Event) -> None:
        async with self.changed:
            self.events.append(event)
            self.changed.notify_all()


class _End(NamedTuple):
    """How a session ended that could not be written down yet, and what will try again."""

    event: Finished
    again: asyncio.TimerHandle


def past_events(record: SessionRecord) -> list[Event]:
    """A finished session as the events it was."""
    events: list[Event] = [Started(record.id, record.council)]
    events += [Answered(a) for a in record.answers]
    events += [Voted(b) for b in record.ballots]
    events += [Tallied(t) for t in record.tallies]
    events += [Synthesised(s) for s in record.syntheses]
    return [*events, Finished(record.status, record.problem)]


def options_from(given: Mapping[str, Any], default: CouncilOptions) -> CouncilOptions:
    """Options with some of them changed. Raises UsageError naming the one that is wrong."""
    try:
        options = msgspec.convert({**msgspec.to_builtins(default), **given}, CouncilOptions, strict=True)
    except msgspec.ValidationError as error:
        raise UsageError(f"An option is wrong: {error}.") from None
    unknown = set(given) - set(CouncilOptions.__struct_fields__)
    if unknown:
        raise UsageError(
            f"There is no option {sorted(unknown)[0]!r}; there are: {', '.join(CouncilOptions.__struct_fields__)}."
        )
    bounds = {
        "rounds": (0, 1), "tie_band": (0, 1), "temperature": (0, 2), "synthesis_temperature": (0, 2), "answer_tokens": (16, 16384),
        "ballot_tokens": (64, 4096), "synthesis_tokens": (16, 16384), "context_tokens": (512, 131072), "best": (1, 12),
        "seed": (0, 2**31 - 1),
    }  # fmt: skip
    for name, (low, high) in bounds.items():
        if not low <= getattr(options, name) <= high:
            raise UsageError(f"The option {name} is {low} to {high}; choose a value in between.")
    return options


def _owner() -> str:
    return f"{os.getpid()}:{_born(psutil.Process())}"


def _born(process: psutil.Process) -> int:
    """When a process began, in seconds that stay the same when the clock is set.

    Linux knows it since the boot; psutil adds the boot's time of day, which moves with the clock.
    """
    return round(process.create_time() - (psutil.boot_time() if psutil.LINUX else 0))


def _lives_elsewhere(owner: str) -> bool:
    """Whether another process holds a session; which sessions run in this one, the house knows by itself."""
    return owner != _owner() and _alive(owner)


def _alive(owner: str) -> bool:
    pid, _, began = owner.partition(":")
    with contextlib.suppress(psutil.Error, ValueError):
        return _born(psutil.Process(int(pid))) == int(began)
    return False
