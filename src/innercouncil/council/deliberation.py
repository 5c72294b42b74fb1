"""The deliberation: a question goes in, events come out; what was finished before is not done again."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Final

import msgspec

from innercouncil.council import texts
from innercouncil.council.appeals import is_refusal, split_appeals
from innercouncil.council.ballots import (
    LETTERS,
    read_ballot,
    read_choice,
    seating,
    shown_to,
    with_own,
)
from innercouncil.council.closed import choices_of
from innercouncil.council.counting import count
from innercouncil.council.provenance import CitationFilter, sources_of
from innercouncil.council.requests import Requests
from innercouncil.model.council import (
    Answer,
    AnswerDelta,
    Answered,
    Ballot,
    Council,
    Event,
    Finished,
    Part,
    Phase,
    SessionRecord,
    Source,
    Started,
    Status,
    Synthesis,
    SynthesisDelta,
    Synthesised,
    Tallied,
    Tally,
    Timing,
    Voted,
    Worker,
)
from innercouncil.model.errors import BackendRejectedError, InnerCouncilError, UsageError
from innercouncil.model.ports import ChatModel, ChatRequest, Finish, Usage

MAX_WORKERS: Final = 12
_MOST_STRETCH: Final = 5.0


class Deliberation:
    """One session: workers answer, rank each other's answers, and the synthesizer writes the final one.

    `events()` yields everything as it happens, the last being `Finished`. `done` is the record of an earlier attempt:
    what it holds is not asked again.

    Raises UsageError for a council that cannot be held (no workers, a question too long for the context).
    """

    def __init__(
        self, session: str, council: Council, worker_model: ChatModel, synthesizer: ChatModel, *,
        done: SessionRecord | None = None,
    ) -> None:  # fmt: skip
        check(council)
        self._session, self._council, self._options = session, council, council.options
        self._worker_model, self._synthesizer = worker_model, synthesizer
        self._answers = {(a.part, a.seat, a.round): a for a in done.answers if a.status != "stopped"} if done else {}
        self._ballots = {(b.part, b.voter): b for b in done.ballots} if done else {}
        self._tallies = {t.part: t for t in done.tallies} if done else {}
        self._syntheses = {s.part: s for s in done.syntheses} if done else {}
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._calls: set[asyncio.Task[None]] = set()
        self._stopped = False
        # Tokens the model counts for each one we estimate, as far as refusals have taught.
        self._stretch = 1.0
        self._requests = Requests(council, self._room)
        self._turn = asyncio.Semaphore(1 if council.options.in_turn else sys.maxsize)
        self._began = time.monotonic()

    async def events(self) -> AsyncGenerator[Event, None]:
        """Run; leaving the iterator early stops all model calls."""
        self._began = time.monotonic()
        main = asyncio.create_task(self._run())
        try:
            while (event := await self._events.get()) is not None:
                yield event
            await main
        finally:
            for task in (main, *self._calls):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await main

    def stop(self) -> None:
        """Stop the model calls under way; what they said so far is kept, and the session ends as stopped."""
        self._stopped = True
        for call in self._calls:
            call.cancel()

    async def _run(self) -> None:
        status: Status = "failed"
        problem = ""
        try:
            self._emit(Started(self._session, self._council))
            await self._part("council", self._council.workers)
            if self._options.baselines and not self._stopped:
                await self._alone()
                if not self._stopped:
                    await self._part("samples", plain_workers(self._council))
            status = "stopped" if self._stopped else "done"
        except InnerCouncilError as error:
            problem = str(error)
        finally:
            final = self._syntheses.get("council")
            if status == "done" and (final is None or final.status not in ("ok", "cut")):
                status, problem = "failed", final.problem if final else problem
            self._emit(Finished(status, problem))
            self._events.put_nowait(None)

    async def _part(self, part: Part, workers: Sequence[Worker]) -> None:
        """Answers, revision, ballots, tally and synthesis of the council or of the plain samples."""
        for round_ in range(self._options.rounds + 1):
            missing = [w for w in workers if (part, w.seat, round_) not in self._answers]
            if missing:
                self._emit(Phase(part, "revision" if round_ else "answers"))
                await self._all(self._answer(part, w, round_) for w in missing)
            if self._stopped:
                return
        standing = self._standing(part, workers)
        if not standing:
            first = next((a.problem for a in self._answers.values() if a.part == part and a.problem), "")
            raise NoAnswerError(f"No worker gave an answer. {first}".strip())
        await self._vote(part, workers, standing)
        if self._stopped:
            return
        if part not in self._tallies:
            self._emit(Phase(part, "tally"))
            ballots = [b for (p, _), b in sorted(self._ballots.items()) if p == part]
            self._tallies[part] = count(part, standing, ballots, self._options)
            self._emit(Tallied(self._tallies[part]))
        if part not in self._syntheses:
            self._emit(Phase(part, "synthesis"))
            await self._all([self._synthesise(part, standing, self._tallies[part])])

    def _standing(self, part: Part, workers: Sequence[Worker]) -> list[Answer]:
        """Each worker's last answer that stands."""
        out = []
        for worker in workers:
            given = [self._answers.get((part, worker.seat, r)) for r in range(self._options.rounds, -1, -1)]
            last = next((a for a in given if a is not None and a.stands), None)
            if last is not None:
                out.append(last)
        return out

    # --- answers ---

    async def _answer(self, part: Part, worker: Worker, round_: int) -> None:
        call = _Call(self._now())
        status, problem = "ok", ""
        try:
            before = self._before(part, worker, round_) if round_ else []
            if round_ and not before:
                return
            await self._stream(
                self._worker_model, lambda: self._requests.answer(part, worker, round_, before), call,
                lambda text: self._emit(AnswerDelta(part, worker.seat, round_, text)),
            )  # fmt: skip
            status, problem = _status_of(call)
        except asyncio.CancelledError:
            if not self._stopped:
                raise
            status, problem = "stopped", "You stopped it."
        except InnerCouncilError as error:
            status, problem = "failed", str(error)
        if not call.text and status == "stopped":
            return
        answer = Answer(
            part=part, seat=worker.seat, round=round_, text=call.text.strip(), status=status, problem=problem,  # type: ignore[arg-type]
            timing=call.timing(self._now()), usage=call.usage, appeals=split_appeals(call.text)[1],
        )  # fmt: skip
        if status != "stopped":
            self._answers[part, worker.seat, round_] = answer
        self._emit(Answered(answer))

    def _before(self, part: Part, worker: Worker, round_: int) -> list[Answer]:
        """The worker's own answer of the round before and then the others', for a revision; none where either is missing."""
        before = {seat: a for (p, seat, r), a in self._answers.items() if p == part and r == round_ - 1 and a.stands}
        own = before.pop(worker.seat, None)
        if own is None or not before:
            return []
        circle = seating([*before, worker.seat], self._options.seed)
        return [own, *(before[s] for s in shown_to(circle, worker.seat))]

    # --- ballots ---

    async def _vote(self, part: Part, workers: Sequence[Worker], standing: Sequence[Answer]) -> None:
        options = self._options
        choices = options.choices if options.choices is not None else choices_of(self._council.question)
        if len(standing) < 3 and not choices:
            return
        circle = seating([a.seat for a in standing], options.seed)
        given = {a.seat: a for a in standing}
        voters = [w for w in workers if w.seat in given and (part, w.seat) not in self._ballots]
        if voters:
            self._emit(Phase(part, "ballots"))
            await self._all(self._ballot(part, w, self._shown(circle, w.seat), given, choices) for w in voters)

    def _shown(self, circle: Sequence[int], voter: int) -> tuple[int, ...]:
        others = shown_to(circle, voter)
        if not self._options.own_answers or len(others) < 2:
            return others
        return with_own(others, voter, f"{self._options.seed}:{self._council.question}")

    async def _ballot(
        self, part: Part, worker: Worker, shown: tuple[int, ...], given: dict[int, Answer], choices: tuple[str, ...]
    ) -> None:
        call = _Call(self._now())
        ranking: tuple[int, ...] = ()
        reason, abstained, choice = "", "", None
        try:
            if choices:
                choice = await self._choice(part, worker, given[worker.seat], choices)
            if len(shown) >= 2:
                await self._stream(self._worker_model, lambda: self._requests.ballot(part, worker, shown, given), call)
                if call.finish == "refusal":
                    abstained = "It refused to judge."
                elif not call.text.strip():
                    abstained = "It said nothing."
                else:
                    ranking, reason, abstained = read_ballot(call.text, shown)
            else:
                abstained = "There were not two others to compare."
        except asyncio.CancelledError:
            if not self._stopped:
                raise
            return
        except InnerCouncilError as error:
            abstained = str(error)
        ballot = Ballot(
            part=part, voter=worker.seat, shown=shown, ranking=ranking, choice=choice, reason=reason,
            abstained=abstained, timing=call.timing(self._now()), usage=call.usage,
        )  # fmt: skip
        self._ballots[part, worker.seat] = ballot
        self._emit(Voted(ballot))

    async def _choice(self, part: Part, worker: Worker, own: Answer, choices: tuple[str, ...]) -> str | None:
        call = _Call(self._now())
        await self._stream(self._worker_model, lambda: self._requests.choice(part, worker, own, choices), call)
        return read_choice(call.text, choices)

    # --- synthesis ---

    async def _synthesise(self, part: Part, standing: Sequence[Answer], tally: Tally) -> None:
        seats = [
            *tally.best,
            *([tally.dissent] if tally.dissent is not None and tally.dissent not in tally.best else []),
        ]
        given = {a.seat: a.text for a in standing}
        order = [s for s in seating(list(given), self._options.seed + 1) if s in seats]
        letters = {LETTERS[i]: seat for i, seat in enumerate(order)}
        stream = CitationFilter()

        def show(text: str) -> None:
            if shown := stream.feed(text):
                self._emit(SynthesisDelta(part, shown))

        call, status, problem = await self._write(lambda: self._requests.synthesis(part, letters, given, tally), show)
        if rest := stream.end():
            self._emit(SynthesisDelta(part, rest))
        if status == "stopped":
            return
        if status in ("ok", "cut"):
            text, sources = sources_of(call.text.strip(), letters, given)
        else:
            winner = tally.winners[0] if tally.winners else standing[0].seat
            text, sources = given[winner], (Source(text=given[winner], seats=(winner,), cited=False, overlap=1.0),)
            problem = (
                f"The synthesizer gave no answer ({problem.rstrip('.')}); this is the winning answer as it was given."
            )
        self._finish_synthesis(part, call, text, status, problem, letters, sources)

    async def _alone(self) -> None:
        """The first baseline: the synthesizer answers by itself."""
        if "alone" in self._syntheses:
            return
        self._emit(Phase("alone", "synthesis"))

        async def work() -> None:
            call, status, problem = await self._write(
                self._requests.alone, lambda text: self._emit(SynthesisDelta("alone", text))
            )
            if status != "stopped":
                self._finish_synthesis("alone", call, call.text.strip(), status, problem, {}, ())

        await self._all([work()])

    async def _write(self, request: Callable[[], ChatRequest], show: Callable[[str], None]) -> tuple[_Call, str, str]:
        """Let the synthesizer write; returns the call, its status and the problem."""
        call = _Call(self._now())
        try:
            await self._stream(self._synthesizer, request, call, show)
        except asyncio.CancelledError:
            if not self._stopped:
                raise
            return call, "stopped", "You stopped it."
        except InnerCouncilError as error:
            return call, "failed", str(error)
        return call, *_status_of(call)

    def _finish_synthesis(
        self, part: Part, call: _Call, text: str, status: str, problem: str, letters: dict[str, int],
        sources: tuple[Source, ...],
    ) -> None:  # fmt: skip
        synthesis = Synthesis(
            part=part, text=text, status=status, problem=problem, letters=letters, sources=sources,  # type: ignore[arg-type]
            timing=call.timing(self._now()), usage=call.usage,
        )  # fmt: skip
        self._syntheses[part] = synthesis
        self._emit(Synthesised(synthesis))

    # --- the machinery ---

    def _emit(self, event: Event) -> None:
        self._events.put_nowait(event)

    def _now(self) -> int:
        return round(1000 * (time.monotonic() - self._began))

    async def _all(self, work: Any) -> None:
        """Run calls side by side, none once it is stopped; each looks after its own failures."""
        if self._stopped:
            for call in work:
                call.close()
            return
        tasks = [asyncio.create_task(w) for w in work]
        self._calls.update(tasks)
        try:
            results = await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            self._calls.difference_update(tasks)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _stream(
        self, model: ChatModel, request: Callable[[], ChatRequest], call: _Call,
        show: Callable[[str], None] = lambda _text: None,
    ) -> None:  # fmt: skip
        """Run a call; what has arrived is in `call` also when it breaks. One that does not fit is made shorter."""
        call.started = self._now()
        while True:
            stretch = self._stretch
            asked = msgspec.structs.replace(request(), fresh=self._options.in_turn)
            try:
                async with self._turn, contextlib.aclosing(model.stream(asked)) as chunks:
                    async for chunk in chunks:
                        if chunk.text:
                            if call.first_token is None:
                                call.first_token = self._now()
                            call.pieces.append(chunk.text)
                            show(chunk.text)
                        call.finish = chunk.finish or call.finish
                        call.usage = chunk.usage or call.usage
            except BackendRejectedError as error:
                if not error.too_long or call.pieces or stretch > _MOST_STRETCH:
                    raise
                self._stretch = max(self._stretch, 1.5 * stretch)
            else:
                return

    def _room(self, answer: int) -> int:
        """Tokens, as we estimate them, that a prompt may have beside an answer of `answer` tokens."""
        return int((self._options.context_tokens - answer) / self._stretch)


class NoAnswerError(InnerCouncilError):
    """Not one worker gave an answer."""


class _Call:
    """What is known of a model call so far."""

    def __init__(self, started: int) -> None:
        self.started = started
        self.first_token: int | None = None
        self.pieces: list[str] = []
        self.finish: Finish = "stop"
        self.usage: Usage | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def timing(self, now: int) -> Timing:
        return Timing(started=self.started, first_token=self.first_token, finished=now)


def check(council: Council) -> None:
    """Raise UsageError where a council cannot be held."""
    if not council.question.strip():
        raise UsageError("The question is empty; write what you want to know.")
    if not council.workers:
        raise UsageError("No persona is seated; enable at least one in the Persona Manager, or name them.")
    if len(council.workers) > MAX_WORKERS:
        raise UsageError(f"{len(council.workers)} personas are seated, {MAX_WORKERS} is the most; leave some out.")
    if council.options.rounds not in (0, 1):
        raise UsageError("A council revises at most once; set rounds to 0 or 1.")
    options = council.options
    for worker in council.workers:
        texts.conversation(council, worker.system, options.context_tokens - options.answer_tokens)
    texts.conversation(
        council, texts.render("council_synthesis_system"), (options.context_tokens - options.synthesis_tokens) * 3 // 4
    )


def plain_workers(council: Council) -> tuple[Worker, ...]:
    """As many workers without a persona: the second baseline."""
    return tuple(
        msgspec.structs.replace(
            w, slug="", name=f"Sample {w.seat + 1}", description="", system="", version=None, adapter=None
        )
        for w in council.workers
    )


def _status_of(call: _Call) -> tuple[str, str]:
    if call.finish == "refusal":
        return "refused", "The model refused to answer."
    if not call.text.strip():
        return "empty", "The model answered with nothing."
    if is_refusal(call.text):
        return "refused", "The model declined to answer."
    if call.finish == "length":
        return "cut", "It ran into the token limit."
    return "ok", ""
