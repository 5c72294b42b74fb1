"""A/B tests of two variants: from what the person names to pairs of answers, votes and a verdict."""

from __future__ import annotations

import contextlib
import importlib.resources
import random
import re
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from innercouncil.app.backends import Seats, shape_of
from innercouncil.app.council import House
from innercouncil.app.personas import SYSTEM_CHARS
from innercouncil.app.tune_adapters import check_gated, file_of, load_adapters, may_be_tested
from innercouncil.council import texts
from innercouncil.council.deliberation import MAX_WORKERS, Deliberation
from innercouncil.evaluation import ab_test as statistics
from innercouncil.llm.select import parse_model
from innercouncil.model.ab import (
    AbOptions,
    AbTest,
    Choice,
    Cost,
    Need,
    Outcome,
    SideAnswer,
    SideName,
    Trial,
    Variant,
    Verdict,
)
from innercouncil.model.card import PersonaVersion
from innercouncil.model.council import Answered, Council, CouncilOptions, Finished, Synthesised, Voted, Worker
from innercouncil.model.errors import BackendError, InnerCouncilError, UsageError
from innercouncil.model.plain_text import text_of
from innercouncil.model.ports import ChatRequest, ChatTurn, Usage, complete
from innercouncil.store.ab_tests import AbStore

QUESTION_CHARS: Final = 4000
WITH_ADAPTER: Final = "+adapter"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_BOUNDS: Final = {
    "alpha": (0.001, 0.2), "max_votes": (1, 3000), "equal": (0.01, 0.4), "seed": (0, 2**31 - 1), "temperature": (0, 2),
    "answer_tokens": (16, 16384), "context_tokens": (512, 131072),
}  # fmt: skip


class VariantSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A variant as a person names it: one of `persona`, `system` and `council`."""

    persona: str = ""
    """Slug, or slug@version: its prompt alone; with +adapter at the end, with its adapter too."""
    system: str = ""
    """The text of a prompt."""
    name: str = ""
    """What to call the text."""
    council: tuple[str, ...] = ()
    """Slugs of a line-up."""
    adapter: str = ""
    """Slug of a persona that speaks with its adapter; the same as slug+adapter."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Where a test stands."""

    test: AbTest
    model: str
    """Who answers, in words for a person: of a file its name only."""
    verdict: Verdict
    words: str
    """The verdict as a sentence."""
    power: list[Need]
    cost_a: Cost
    cost_b: Cost
    open_trial: int | None
    """Number of the question that waits for a vote."""
    asked: int
    orders: tuple[SideName, ...]
    """The side shown first, for each question that was voted on."""


def start_test(
    house: House, name: str, a: VariantSpec, b: VariantSpec, questions: Sequence[str], options: AbOptions,
) -> AbTest:  # fmt: skip
    """Begin a test; the questions are asked in a random order. Raises UsageError, PersonaNotFoundError."""
    if not _NAME.fullmatch(name):
        raise UsageError("A test's name has 1 to 40 letters, digits, hyphens and underlines; choose such a name.")
    for option, (low, high) in _BOUNDS.items():
        if not low <= getattr(options, option) <= high:
            raise UsageError(f"The option {option} is {low} to {high}; choose a value in between.")
    sides = variant_of(house, a, options), variant_of(house, b, options)
    if _what_acts(sides[0]) == _what_acts(sides[1]):
        raise UsageError("Both sides are the same; change one of them.")
    settings = house.backends.settings
    shuffled = list(checked_questions(questions))
    random.Random(options.seed).shuffle(shuffled)  # noqa: S311 - an order, not a secret
    test = AbTest(
        name=name, a=sides[0], b=sides[1], worker_model=settings.worker,
        synthesizer_model=settings.writer,
        options=msgspec.structs.replace(options, context_tokens=min(options.context_tokens, settings.context_tokens)),
        questions=tuple(shuffled),
    )  # fmt: skip
    return AbStore(house.database).add(test)


def variant_of(house: House, spec: VariantSpec, options: AbOptions) -> Variant:
    """The variant a person named, frozen as it is now. Raises UsageError, PersonaNotFoundError."""
    persona = spec.persona if not spec.adapter else spec.adapter.removesuffix(WITH_ADAPTER) + WITH_ADAPTER
    if sum(map(bool, (spec.persona, spec.adapter, spec.system.strip(), spec.council))) != 1:
        raise UsageError("Each side is one thing: a persona, the text of a prompt, or a line-up; name exactly one.")
    if spec.council:
        workers = tuple(
            _worker(house, slug, seat, options) for seat, slug in enumerate(spec.council[: MAX_WORKERS + 1])
        )
        if len({w.slug for w in workers}) != len(workers) or len(workers) > MAX_WORKERS:
            raise UsageError(f"A line-up names each persona once, {MAX_WORKERS} at most.")
        return Variant(kind="council", name=" + ".join(spec.council), workers=workers)
    if persona:
        return Variant(kind="persona", name=persona, workers=(_worker(house, persona, 0, options),))
    if len(spec.system) > SYSTEM_CHARS:
        raise UsageError(f"The prompt has {len(spec.system)} characters, {SYSTEM_CHARS} is the most; shorten it.")
    name = spec.name.strip()[:80] or "edited prompt"
    worker = Worker(seat=0, slug="", name=name, system=spec.system.strip(), temperature=options.temperature)
    return Variant(kind="prompt", name=name, workers=(worker,))


def _what_acts(variant: Variant) -> tuple[bool, tuple[tuple[str, str, str | None], ...]]:
    """All of a variant that reaches the model."""
    council = variant.kind == "council"
    return council, tuple((w.system, w.name if council else "", w.adapter) for w in variant.workers)


def _worker(house: House, named: str, seat: int, options: AbOptions) -> Worker:
    name, _, wanted = named.removesuffix(WITH_ADAPTER).partition("@")
    slug = house.cards.get(name).slug
    version = _version(house, slug, wanted)
    adapter = may_be_tested(house, slug).name if named.endswith(WITH_ADAPTER) else None
    return Worker(
        seat=seat, slug=slug, name=version.card.name, description=version.card.description, system=version.card.system,
        temperature=options.temperature, version=version.id, adapter=adapter,
    )  # fmt: skip


def _version(house: House, slug: str, wanted: str) -> PersonaVersion:
    versions = house.cards.versions(slug)
    if not wanted:
        return versions[0]
    found = next((v for v in versions if str(v.number) == wanted), None)
    if found is None:
        raise UsageError(f"{slug} has no version {wanted[:20]!r}; it has 1 to {versions[0].number}.")
    return found


# --- questions ---


def bundled_questions() -> list[str]:
    """The questions that come with innercouncil; none where they were left out of the installation."""
    file = importlib.resources.files("innercouncil") / "questions" / "varied.jsonl"
    return read_questions(file.read_text("utf-8")) if file.is_file() else []


def questions_file(path: Path) -> list[str]:
    """The questions in a file. Raises UsageError."""
    try:
        return read_questions(text_of(path.read_bytes()))
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text; save it as such.") from None


def read_questions(text: str) -> list[str]:
    """Questions, one a line; or JSONL with a field `question`. Raises UsageError naming the line."""
    out = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith("{"):
            try:
                out.append(msgspec.json.decode(line, type=_Question).question)
            except msgspec.MsgspecError:
                raise UsageError(f"Line {number} of the questions is not JSON with a text `question`.") from None
        elif line.strip():
            out.append(line)
    return out


class _Question(msgspec.Struct):
    question: str


def checked_questions(questions: Sequence[str]) -> list[str]:
    """Questions without blanks around them, each once. Raises UsageError for one that is too long."""
    out = list(dict.fromkeys(q.strip() for q in questions if q.strip()))
    if any(len(q) > QUESTION_CHARS for q in out):
        raise UsageError(f"A question of a test has {QUESTION_CHARS} characters at most; shorten the longest.")
    return out


def add_questions(house: House, name: str, questions: Sequence[str], *, next_one: bool = False) -> None:
    """Add questions that the test does not have yet, or ask them next. Raises AbTestNotFoundError, UsageError."""
    AbStore(house.database).ask(name, checked_questions(questions), next_one=next_one)


# --- pairs and votes ---


def open_trial(house: House, name: str) -> Trial | None:
    """The pair that waits for a vote, None where there is none. Raises AbTestNotFoundError."""
    return next((t for t in AbStore(house.database).trials(name) if t.choice is None), None)


def check_next(test: AbTest, trials: Sequence[Trial]) -> None:
    """Raises UsageError where there is no pair to show and none can be made."""
    if all(t.choice is not None for t in trials):
        check_open(test, trials)


async def next_trial(
    house: House, name: str, progress: Callable[[int, int], None] = lambda _done, _total: None
) -> Trial:
    """The pair to vote on: the open one, or a new one, kept before it is returned.

    Pairs in which both sides say the same are ties and passed over.
    Raises UsageError where the test is over or has no more questions, BackendError.
    """
    store = AbStore(house.database)
    while True:
        if (waiting := open_trial(house, name)) is not None:
            return waiting
        test, trials = store.get(name), store.trials(name)
        check_open(test, trials)
        trial = store.put(name, await _pair(house, test, len(trials), progress))
        if trial.choice is None:
            return trial


def check_open(test: AbTest, trials: Sequence[Trial]) -> None:
    """Raises UsageError where a test takes no more votes, or has no more questions."""
    if test.stopped_at is not None:
        raise UsageError(f"The test {test.name!r} was stopped; start another one.")
    if statistics.judge(_outcomes(trials), test.options).state != "open":
        raise UsageError(f"The test {test.name!r} has its verdict: `innercouncil ab status {test.name}` tells it.")
    if len(trials) >= len(test.questions):
        raise UsageError(
            f"The test {test.name!r} has no more questions: type one with --question, or add a file with --questions."
        )


async def _pair(house: House, test: AbTest, before: int, progress: Callable[[int, int], None]) -> Trial:
    """Let both sides answer the next question, with the same model, seed and sampling, in the order they are shown."""
    seats = await _seats(house, test)
    number, question = before + 1, test.questions[before]
    first = statistics.order(number, test.options.seed)
    order: tuple[SideName, SideName] = ("a", "b") if first == "a" else ("b", "a")
    progress(0, 2)
    # A model that has to be loaded first would be charged to whoever answers first.
    await complete(seats.worker, ChatRequest(turns=(ChatTurn("user", "."),), max_tokens=1))
    said: dict[SideName, SideAnswer] = {}
    for done, side in enumerate(order):
        progress(done, 2)
        variant = test.a if side == "a" else test.b
        said[side] = await _answer(house, seats, test, variant, question, test.options.seed + number)
    progress(2, 2)
    same = said["a"].text == said["b"].text
    return Trial(number=number, question=question, first=first, a=said["a"], b=said["b"], same=same)


async def _seats(house: House, test: AbTest) -> Seats:
    settings = house.backends.settings
    councils = "council" in (test.a.kind, test.b.kind)
    if settings.worker != test.worker_model or (councils and settings.writer != test.synthesizer_model):
        raise UsageError(
            f"The test {test.name!r} began with {test.worker_model}, the council uses {settings.worker} now: go back with "
            "`innercouncil models use`, or start another test."
        )
    adapters = [w.adapter for variant in (test.a, test.b) for w in variant.workers if w.adapter]
    await load_adapters(house, adapters)
    if adapters:
        await check_gated(house, adapters)
    return await house.backends.seats(lite=not councils)


async def _answer(
    house: House, seats: Seats, test: AbTest, variant: Variant, question: str, seed: int
) -> SideAnswer:  # fmt: skip
    began = time.monotonic()
    if variant.kind == "council":
        text, usage = await _deliberate(seats, test, variant, question, seed)
    else:
        text, usage = await _single(seats, test, variant.workers[0], question, seed)
    return SideAnswer(
        text=text.strip(), milliseconds=round(1000 * (time.monotonic() - began)),
        prompt_tokens=usage.prompt_tokens if usage else None, answer_tokens=usage.completion_tokens if usage else None,
        memory_estimate=await _estimate(house, variant), resident=house.backends.resident(),
    )  # fmt: skip


def _council(test: AbTest, workers: tuple[Worker, ...], question: str, seed: int) -> Council:
    o = test.options
    options = CouncilOptions(
        answer_tokens=o.answer_tokens, synthesis_tokens=o.answer_tokens, temperature=o.temperature, seed=seed,
        context_tokens=o.context_tokens,
    )  # fmt: skip
    return Council(
        question=question, workers=workers, worker_model=test.worker_model, synthesizer_model=test.synthesizer_model,
        options=options,
    )  # fmt: skip


async def _single(seats: Seats, test: AbTest, worker: Worker, question: str, seed: int) -> tuple[str, Usage | None]:
    """One worker's answer, asked as in a council."""
    o = test.options
    turns = texts.conversation(
        _council(test, (worker,), question, seed), worker.system, o.context_tokens - o.answer_tokens
    )
    reply = await complete(
        seats.worker,
        ChatRequest(turns=turns, temperature=o.temperature, max_tokens=o.answer_tokens, seed=seed, fresh=True,
            adapter=worker.adapter,
        ),
    )  # fmt: skip
    return reply.text, reply.usage


async def _deliberate(
    seats: Seats, test: AbTest, variant: Variant, question: str, seed: int
) -> tuple[str, Usage | None]:  # fmt: skip
    """A whole council's final answer, and the tokens of all its calls. Raises InnerCouncilError."""
    council = _council(test, variant.workers, question, seed)
    deliberation = Deliberation(secrets.token_hex(16), council, seats.worker, seats.synthesizer)
    text, used = "", list[Usage | None]()
    async with contextlib.aclosing(deliberation.events()) as events:
        async for event in events:
            match event:
                case Answered(answer):
                    used.append(answer.usage)
                case Voted(ballot):
                    used.append(ballot.usage)
                case Synthesised(synthesis):
                    text = synthesis.text
                    used.append(synthesis.usage)
                case Finished(status, problem) if status != "done":
                    raise BackendError(problem or "The council gave no answer; ask again.")
    known = [u for u in used if u is not None]
    if not known:
        return text, None
    return text, Usage(sum(u.prompt_tokens for u in known), sum(u.completion_tokens for u in known))


async def _estimate(house: House, variant: Variant) -> int | None:
    """Bytes a variant needs by the arithmetic of `llm/memory.py`: one slot for a persona, one a seat for a council."""
    settings = house.backends.settings
    try:
        worker = shape_of(await house.backends.resolve(settings.worker))
        if worker is None:
            return None
        need = worker.need(min(len(variant.workers), settings.slots), settings.context_tokens) + _adapters_size(
            house, variant
        )
        if variant.kind != "council" or settings.lite or settings.worker == settings.synthesizer:
            return need
        other = shape_of(await house.backends.resolve(settings.synthesizer))
        return None if other is None else need + other.need(1, 2 * settings.context_tokens)
    except InnerCouncilError:
        return None


def _adapters_size(house: House, variant: Variant) -> int:
    """Bytes of the adapters a variant speaks with; they are held beside the base."""
    names = {w.adapter for w in variant.workers if w.adapter}
    return sum(file_of(house.workspace, house.database, name).stat().st_size for name in names)


def vote(house: House, name: str, number: int, choice: Choice) -> None:
    """Keep the person's vote. Raises AbTestNotFoundError, UsageError where the trial is not open."""
    AbStore(house.database).vote(name, number, choice)


# --- verdict ---


def report(house: House, name: str) -> Report:
    """Where a test stands. Raises AbTestNotFoundError."""
    store = AbStore(house.database)
    test, trials = store.get(name), store.trials(name)
    verdict = statistics.judge(_outcomes(trials), test.options)
    cost_a, cost_b = statistics.costs(trials)
    model, problem = _model_of(test)
    return Report(
        test=test, model=model, verdict=verdict, words=words_of(test, verdict) + problem, power=statistics.power_table(test.options),
        cost_a=cost_a, cost_b=cost_b, open_trial=next((t.number for t in trials if t.choice is None), None),
        asked=len(trials), orders=tuple(t.first for t in trials if t.choice is not None),
    )  # fmt: skip


def _model_of(test: AbTest) -> tuple[str, str]:
    """Who answers, in words for a person, and what is wrong with the name that was kept."""
    try:
        return parse_model(test.worker_model).label, ""
    except UsageError:
        return (
            "unknown",
            " The kept name of its model cannot be read, so no more pairs can be written: start another test.",
        )


def words_of(test: AbTest, verdict: Verdict) -> str:
    """The verdict as a sentence."""
    votes = verdict.a_wins + verdict.b_wins
    match verdict.state:
        case "a" | "b":
            side = test.a if verdict.state == "a" else test.b
            peak = max(verdict.path)
            return f"{verdict.state.upper()} ({side.name}) wins: the e-value reached {peak:.0f} within {votes} votes, safe to stop."
        case "equal":
            return f"Stop: practically equal, each side wins between {verdict.low:.0%} and {verdict.high:.0%}."
        case "given_up":
            return f"Stop: no difference shown after {votes} votes, the most this test takes."
    if test.stopped_at is not None:
        return f"Stopped after {votes} votes: no difference shown."
    more = f"about {verdict.more}" if verdict.more is not None else "more than 1000"
    return f"No difference shown yet: {more} more votes for a 65% preference."


def _outcomes(trials: Sequence[Trial]) -> list[Outcome]:
    return [t.outcome for t in trials if t.outcome is not None]
