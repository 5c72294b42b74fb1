"""Are two of the council's personas one? Their answers to the same questions compared, generated or from kept sessions."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import count as numbers
from typing import Final, NamedTuple

import msgspec

from innercouncil.app.personas import open_personas
from innercouncil.council.counting import count
from innercouncil.discovery.redaction import Redactor
from innercouncil.evaluation.similarity import (
    ALL_PAIRS,
    BY_LOT,
    MIN_QUESTIONS,
    NEAREST,
    Answers,
    advise,
    alike_lines,
    attribution,
    by_lot,
    independent,
    lines_of,
    newest,
    of_pair,
    pairs_of,
    prepare,
    ratio,
    share,
    verdict,
)
from innercouncil.model.card import SeatedPersona
from innercouncil.model.council import Answer, SessionRecord
from innercouncil.model.errors import DeclinedError, NothingToDiscoverError, UsageError
from innercouncil.model.ports import ChatRequest, ChatTurn, ChosenModel, Estimate, ask_each, complete
from innercouncil.model.similarity import Behind, PairSimilarity, Removal, Sample, TwinReport
from innercouncil.model.tokens import estimate_tokens
from innercouncil.questions import varied
from innercouncil.store.sessions import SessionStore
from innercouncil.store.workspace import Workspace, disk_errors, fingerprint, whole_lines

QUESTIONS: Final = 12
SAMPLES: Final = 3
ANSWER_TOKENS: Final = 200
AT_ONCE: Final = 4
ENOUGH: Final = 300
"""Questions a persona answered in the newest sessions; of older sessions only those of others are compared. With so many an
interval reaches at most 6 points to each side: more of them take time and settle nothing."""
MIN_VOTERS: Final = 4
"""Without one of three answers nobody could compare two others: such a vote says nothing about leaving one out."""

Progress = Callable[[int, int], None]


class Persona(NamedTuple):
    """Who is compared."""

    slug: str
    name: str
    system: str
    temperature: float


class _Kept(msgspec.Struct, frozen=True):
    key: str
    text: str


class _Told(NamedTuple):
    """What of a kept session can be compared."""

    id: str
    question: str
    answers: tuple[tuple[str, str, str], ...]
    """(slug, text, random numbers it was drawn with)"""

    def slugs(self) -> tuple[str, ...]:
        """Who answered."""
        return tuple(dict.fromkeys(slug for slug, _, _ in self.answers))


class _Call(NamedTuple):
    key: str
    sample: Sample
    request: ChatRequest


def evaluate_twins(
    workspace: Workspace, *, model: ChosenModel, personas: Sequence[str] | None = None, questions: int = QUESTIONS,
    samples: int = SAMPLES, stage: Callable[[str], Progress],
) -> TwinReport:  # fmt: skip
    """Let every persona answer bundled questions several times, and compare; answers are kept, so that a run cut off goes on.

    Raises UsageError, DeclinedError, BackendError, NothingToDiscoverError where the model says nothing.
    """
    workspace.prepare()
    with workspace.lock():
        chosen, records = _council(workspace, personas)
        said = asyncio.run(_generate(workspace, model, chosen, questions, samples, stage("Asking the personas")))
        if len(heard := {s.persona for s in said}) < 2:
            raise NothingToDiscoverError(
                f"{model.label} said something in the name of {len(heard)} of {len(chosen)} personas; let another model speak."
            )
        return _reported(workspace, chosen, said, records, model.label, stage("Comparing"))


def evaluate_kept(
    workspace: Workspace, *, personas: Sequence[str] | None = None, stage: Callable[[str], Progress]
) -> TwinReport:
    """The same from the answers of kept sessions: those of the newest one's models and prompts.

    Raises NothingToDiscoverError where too few questions were answered.
    """
    workspace.prepare()
    with workspace.lock():
        chosen, records = _council(workspace, personas)
        compared, left = _enough(chosen, records)
        said = list(_said(compared))
        heard = [p for p in chosen if any(s.persona == p.slug for s in said)]
        if len(heard) < 2 or len({s.question for s in said}) < MIN_QUESTIONS:
            raise NothingToDiscoverError(
                f"The kept sessions hold answers of the present personas to too few questions ({MIN_QUESTIONS} are needed); "
                "`innercouncil run-questions --bundled` asks more."
            )
        return _reported(workspace, heard, said, records, "", stage("Comparing"), compared, left)


def _council(workspace: Workspace, slugs: Sequence[str] | None) -> tuple[list[Persona], list[SessionRecord]]:
    _, database, cards = open_personas(workspace)
    try:
        seated = cards.named(slugs)
        records = list(_finished(SessionStore(database)))
    finally:
        database.close()
    if len(seated) < 2:
        raise UsageError("Twins are looked for among two personas or more; enable or name some.")
    return [persona_of(p) for p in seated], records


def persona_of(seated: SeatedPersona) -> Persona:
    """A seated persona as it speaks."""
    card = seated.card
    return Persona(seated.slug, card.name, card.system, 0.7 if card.temperature is None else card.temperature)


def _finished(store: SessionStore) -> Iterator[SessionRecord]:
    """Newest first."""
    before: str | None = None
    while True:
        page = store.page(before=before, limit=200)
        yield from (store.get(s.id) for s in page.sessions if s.status == "done")
        if page.next is None:
            return
        before = page.next


async def _generate(
    workspace: Workspace,
    model: ChosenModel,
    chosen: Sequence[Persona],
    questions: int,
    samples: int,
    progress: Progress,
) -> list[Sample]:
    path = workspace.stamps / "twin_samples.jsonl"
    kept = {line.key: line.text for line in (msgspec.json.decode(raw, type=_Kept) for raw in whole_lines(path))}
    calls = _calls(model, chosen, questions, samples)
    missing = [c for c in calls if c.key not in kept]
    if missing:
        if not await asyncio.to_thread(model.agrees, _estimate(missing)):
            raise DeclinedError("Nothing was asked. --from-sessions compares the answers of sessions that are kept.")
        opened = await model.open()
        try:
            with disk_errors(path), path.open("ab") as file:

                async def one(call: _Call) -> int:
                    kept[call.key] = (await complete(opened, call.request)).text
                    file.write(msgspec.json.encode(_Kept(call.key, kept[call.key])) + b"\n")
                    file.flush()
                    return 1

                await ask_each(missing, one, at_once=AT_ONCE, total=len(missing), progress=progress)
        finally:
            await model.close()
    progress(1, 1)
    return [msgspec.structs.replace(c.sample, text=kept[c.key]) for c in calls if kept[c.key].strip()]


def _calls(model: ChosenModel, chosen: Sequence[Persona], questions: int, samples: int) -> list[_Call]:
    """One call a persona, question and sample, each with a seed of its own: the same words would make twins of any two."""
    hide: Callable[[str, str], str] = Redactor().redact if model.remote else lambda text, _id: text
    out = []
    for p in chosen:
        system = hide(p.system, p.slug)
        for n, q in enumerate(varied()[:questions]):
            for r in range(samples):
                key = fingerprint(
                    model=model.identity, persona=p.slug, system=system, temperature=p.temperature, question=q.question,
                    sample=r, tokens=ANSWER_TOKENS,
                )[:32]  # fmt: skip
                turns = (*((ChatTurn("system", system),) if system else ()), ChatTurn("user", q.question))
                request = ChatRequest(
                    turns=turns, temperature=p.temperature, max_tokens=ANSWER_TOKENS, seed=int(key[:7], 16)
                )
                out.append(_Call(key, Sample(persona=p.slug, question=n, text=""), request))
    return out


def _estimate(calls: Sequence[_Call]) -> Estimate:
    reading = sum(estimate_tokens(t.content) for c in calls for t in c.request.turns)
    questions = len({c.sample.question for c in calls})
    return Estimate(f"{questions} questions as every persona", len(calls), reading, len(calls) * ANSWER_TOKENS)


def _said(compared: Sequence[_Told]) -> Iterator[Sample]:
    """First answers of the present personas with their present prompts, by the newest session's model.

    A seat draws the same random numbers in every session of one seed: a question asked again with them is no second sample.
    """
    number: dict[str, int] = {}
    asked = numbers()
    seen: set[tuple[str, int, str]] = set()
    for session in compared:
        for slug, text, draw in session.answers:
            if session.question not in number:
                number[session.question] = next(asked)
            drawn = (slug, number[session.question], draw)
            if drawn not in seen:
                seen.add(drawn)
                yield Sample(persona=slug, question=number[session.question], text=text, draw=draw)


def _comparable(chosen: Sequence[Persona], record: SessionRecord, model: str) -> Iterator[tuple[str, str, str]]:
    """(slug, text, random numbers it was drawn with) of the answers of a session that can be compared with others'."""
    if record.council.history or record.council.worker_model != model:
        return
    systems = {p.slug: p.system for p in chosen}
    slugs = {w.seat: w.slug for w in record.council.workers if systems.get(w.slug) == w.system}
    for answer in record.answers:
        if answer.part == "council" and answer.round == 0 and answer.stands and answer.seat in slugs:
            yield slugs[answer.seat], answer.text, f"{record.council.options.seed} {answer.seat}"


def _enough(chosen: Sequence[Persona], records: Sequence[SessionRecord]) -> tuple[list[_Told], int]:
    """The newest sessions whose answers are compared: those with a persona that has answered fewer than ENOUGH until then.

    And how many older ones could be compared, but settle nothing.
    """
    asked = {p.slug: set[str]() for p in chosen}
    out, left = [], 0
    for record in records:
        told = _Told(
            record.id, record.council.question, tuple(_comparable(chosen, record, records[0].council.worker_model))
        )
        if any(len(asked[slug]) < ENOUGH for slug in told.slugs()):
            out.append(told)
            for slug in told.slugs():
                asked[slug].add(told.question)
        else:
            left += bool(told.answers)
    return out, left


def _behind(chosen: Sequence[Persona], records: Sequence[SessionRecord], compared: Sequence[_Told]) -> Iterator[Behind]:
    """The sessions a report rests on; `compared` are those whose answers it compares."""
    told = {session.id: session.slugs() for session in compared}
    for record in records:
        counted = tuple(p.slug for p in chosen if _without(p.slug, record))
        slugs = told.get(record.id, ())
        if slugs or counted:
            yield Behind(session=record.id, compared=slugs, counted=counted)


def _reported(
    workspace: Workspace, chosen: Sequence[Persona], said: Sequence[Sample], records: Sequence[SessionRecord], label: str,
    progress: Progress, compared: Sequence[_Told] = (), left: int = 0,
) -> TwinReport:  # fmt: skip
    report = compare(chosen, said, records, label, progress)
    notes = report.notes
    if left:
        notes += (
            f"{left} older sessions are not compared: the newer ones hold {ENOUGH} questions of each persona in them.",
        )
    report = msgspec.structs.replace(report, sessions=tuple(_behind(chosen, records, compared)), notes=notes)
    workspace.write_json(workspace.prompts / "twins.json", report)
    return report


def compare(
    chosen: Sequence[Persona], said: Sequence[Sample], records: Sequence[SessionRecord] = (), label: str = "",
    progress: Progress = lambda _done, _total: None,
) -> TwinReport:  # fmt: skip
    """Personas by what they said, their prompts and the votes of kept sessions."""
    answers = prepare(_nameless(said, chosen), [p.slug for p in chosen])
    lines = lines_of([p.system for p in chosen], [p.name for p in chosen])
    both = pairs_of(answers, len(chosen))
    pairs = []
    for n, (i, j) in enumerate(both, 1):
        if pair := _pair(chosen, answers, lines, i, j):
            pairs.append(pair)
        progress(n, len(both))
    notes = []
    if len(chosen) > ALL_PAIRS:
        notes.append(
            f"Of so many personas each is compared with the {NEAREST} that answer most like it; the others are further apart."
        )
    if unheard := len(both) - len(pairs):
        notes.append(f"{unheard} pairs answered fewer than 2 questions in common and are left out.")
    if pairs and all(p.ratio is None for p in pairs):
        notes.append(
            "No question was answered twice by a persona, so there is no ratio: a pair is distinct only where lots would "
            f"hardly ever ({BY_LOT:.0%}) give such a difference."
        )
    if any(p.independent < min(p.questions, MIN_QUESTIONS) for p in pairs):
        notes.append(
            "The sessions were held with too few seeds. A seat draws the same random numbers in all sessions of one seed, and "
            "may be told by them; `innercouncil ask --option seed=7` draws others, `evaluate twins` without --from-sessions "
            "always does."
        )
    return TwinReport(
        personas=tuple(p.slug for p in chosen), questions=len({s.question for s in said}), samples=len(said), model=label,
        attribution=attribution(newest(answers)),
        chance=round(1 / len(chosen), 4), pairs=tuple(sorted(pairs, key=lambda p: p.attribution.value)),
        removals=tuple(removal(p.slug, records) for p in chosen), notes=tuple(notes),
    )  # fmt: skip


def _nameless(said: Sequence[Sample], chosen: Sequence[Persona]) -> list[Sample]:
    """What they said without their names: "As the Poet, I …" is no voice."""
    names = re.compile("|".join(re.escape(p.name) for p in chosen), re.IGNORECASE)
    return [msgspec.structs.replace(s, text=names.sub("…", s.text)) for s in said]


def _pair(
    chosen: Sequence[Persona], answers: Answers, lines: Sequence[Sequence[str]], i: int, j: int
) -> PairSimilarity | None:
    shared = of_pair(answers, i, j)
    questions = len(set(shared.questions.tolist()))
    if questions < 2:
        return None
    apart, named = ratio(shared), attribution(shared)
    groups = len(set(independent(shared).tolist()))
    lots = by_lot(shared) if apart is None else None
    found = verdict(groups, apart, named, lots)
    overlap, same = alike_lines(lines[i], lines[j])
    remedy, advice = advise(chosen[i].name, chosen[j].name, found, overlap, same)
    return PairSimilarity(
        one=chosen[i].slug, other=chosen[j].slug, questions=questions, independent=groups,
        samples=len(shared.personas), ratio=apart, attribution=named, swapped=lots, verdict=found, prompt_overlap=overlap, same_lines=same, remedy=remedy, advice=advice,
    )  # fmt: skip


class _Vote(NamedTuple):
    """A vote that a persona can be left out of."""

    seat: int
    last: dict[int, Answer]
    """Seat -> the answer that was voted on."""
    winners: set[int]


def _without(slug: str, record: SessionRecord) -> _Vote | None:
    """The vote of a session, None where it says nothing about leaving this persona out."""
    seat = next((w.seat for w in record.council.workers if w.slug == slug), None)
    last = {a.seat: a for a in record.answers if a.part == "council" and a.stands}
    tally = next((t for t in record.tallies if t.part == "council"), None)
    voted = any(b.ranking for b in record.ballots if b.part == "council")
    if seat is None or seat not in last or tally is None or len(last) < MIN_VOTERS or not voted:
        return None
    return _Vote(seat, last, set(tally.winners))


def removal(slug: str, records: Sequence[SessionRecord]) -> Removal:
    """What becomes of the votes of kept sessions when a persona's answer and ballot are taken out."""
    won, other, alone = [], [], []
    for record in records:
        if (vote := _without(slug, record)) is None:
            continue
        seat, last, winners = vote
        won.append(seat in winners and len(winners) < len(last))
        alone.append(winners == {seat})
        other.append(set(_winners_without(seat, record, list(last.values()))) != winners - {seat})
    swings = [o and not a for o, a in zip(other, alone, strict=True)]
    return Removal(persona=slug, sessions=len(won), wins=share(won), changes=share(other), swings=share(swings))


def _winners_without(seat: int, record: SessionRecord, answers: Sequence[Answer]) -> tuple[int, ...]:
    ballots = [
        msgspec.structs.replace(
            b, shown=tuple(s for s in b.shown if s != seat), ranking=tuple(s for s in b.ranking if s != seat)
        )
        for b in record.ballots
        if b.part == "council" and b.voter != seat
    ]
    left = [a for a in answers if a.seat != seat]
    return count("council", left, ballots, record.council.options).winners
