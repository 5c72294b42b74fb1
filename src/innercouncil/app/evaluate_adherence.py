"""Do personas keep to what their prompts say, and still do late in a conversation? Asked, counted, judged and reported."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from innercouncil.app.adherence_answers import CONTROL, Answers, Plan, Said
from innercouncil.app.adherence_checklists import checklists
from innercouncil.app.adherence_judging import Judgement, Judgements
from innercouncil.app.evaluate_prompts import Heard, split_messages
from innercouncil.app.evaluate_twins import Persona, persona_of
from innercouncil.app.findings import load_discovery
from innercouncil.app.helper_model import council_settings
from innercouncil.app.labelling import load_scores
from innercouncil.app.personas import open_personas
from innercouncil.evaluation import adherence as statistics
from innercouncil.evaluation.adherence import Marks
from innercouncil.evaluation.adherence_style import Voice, counts_of, style_drift, style_measures
from innercouncil.evaluation.checklist import FEW_ITEMS, counted
from innercouncil.evaluation.voice import function_word_match, has_function_words, question_rate, sentence_length
from innercouncil.model.adherence import (
    AdherenceReport,
    Checklist,
    Drift,
    ItemAdherence,
    Judge,
    PersonaAdherence,
    TurnAdherence,
)
from innercouncil.model.errors import DeclinedError, NothingToDiscoverError, UsageError
from innercouncil.model.ports import ChosenModel, Estimate
from innercouncil.store.workspace import Workspace

QUESTIONS: Final = 12
SAMPLES: Final = 1
TURNS: Final = 8
CONVERSATIONS: Final = 3
MIN_HEARD: Final = 100
"""With fewer words in its held-out messages a mode has no voice to compare with."""
_QUOTED_RE: Final = re.compile(r"[“\"]([^“”\"\n]{12,})[”\"]")

Progress = Callable[[int, int], None]
Stage = Callable[[str], Progress]


class _Heldout(NamedTuple):
    """Voices by slug of the council, and what has to be said about them."""

    voices: Mapping[str, Voice]
    notes: list[str]


def evaluate_adherence(
    workspace: Workspace, *, model: ChosenModel, judge: ChosenModel | None, personas: Sequence[str] | None = None,
    questions: int = QUESTIONS, samples: int = SAMPLES, turns: int = TURNS, conversations: int = CONVERSATIONS, stage: Stage,
    shows: Callable[[Sequence[Checklist]], None] = lambda _checklists: None,
) -> AdherenceReport:  # fmt: skip
    """Let personas answer and converse, hold what they say against their checklists, and write adherence.json.

    `shows` is given the checklists before anything is asked. Answers and judgements are kept, so that a run cut off goes on.
    Without a judge only what can be counted is told. Raises UsageError, DeclinedError, BackendError.
    """
    workspace.prepare()
    with workspace.lock():
        chosen, sources = _council(workspace, personas)
        lists = checklists(workspace, chosen)
        shows(lists)
        plan = Plan(questions, samples, conversations, turns, council_settings(workspace).context_tokens)
        answers = Answers(workspace, model, chosen, plan)
        judgements = Judgements(workspace, judge) if judge is not None else None
        asyncio.run(_ask(model, judge, answers, judgements, lists, stage))
        heard = _voices(workspace, chosen, sources)
        progress = stage("Comparing")
        report = _Report(chosen, lists, answers.all(), plan, judgements, judge.label if judge else "", heard).made(
            model.label, same=judge is not None and judge.identity == model.identity
        )
        workspace.write_json(workspace.adherence, report)
        progress(1, 1)
        return report


def _council(workspace: Workspace, slugs: Sequence[str] | None) -> tuple[list[Persona], dict[str, str]]:
    """Who is looked at, and which discovered persona each follows."""
    _, database, cards = open_personas(workspace)
    try:
        seated = cards.named(slugs)
    finally:
        database.close()
    if not seated:
        raise UsageError("No persona is enabled; enable or name some.")
    return [persona_of(p) for p in seated], {p.slug: p.source for p in seated if p.source is not None}


async def _ask(
    model: ChosenModel, judge: ChosenModel | None, answers: Answers, judgements: Judgements | None,
    lists: Sequence[Checklist], stage: Stage,
) -> None:  # fmt: skip
    """One model after the other, so that never two are in memory; both are agreed to before either is asked."""
    if answers.missing:
        await _agreed(model, answers.estimate())
    if judge is not None and judgements is not None:
        planned = held(lists, answers.planned())
        if judgements.missing(planned):
            await _agreed(judge, judgements.estimate(planned))
    progress = stage("Asking the personas")
    if answers.missing:
        opened = await model.open()
        try:
            await answers.ask(opened, progress)
        finally:
            await model.close()
    progress(1, 1)
    if judge is None or judgements is None:
        return
    progress = stage("Judging")
    pairs = held(lists, [s for s in answers.all() if s.text.strip()])
    if judgements.missing(pairs):
        opened = await judge.open()
        try:
            await judgements.ask(pairs, opened, progress)
        finally:
            await judge.close()
    progress(1, 1)


async def _agreed(model: ChosenModel, estimate: Estimate) -> None:
    try:
        if not await asyncio.to_thread(model.agrees, estimate):
            raise DeclinedError("Nothing was asked. The checklists are kept; edit them if you like, and run it again.")
    finally:
        await model.close()


def held(lists: Sequence[Checklist], said: Sequence[Said]) -> list[tuple[Checklist, Said]]:
    """Every answer with the checklists it is held against: a persona's with its own, the control's with everyone's."""
    return [(x, s) for x in lists for s in said if s.persona in (x.persona, CONTROL.slug)]


def _voices(workspace: Workspace, chosen: Sequence[Persona], sources: Mapping[str, str]) -> _Heldout:
    """Held-out messages of the modes the personas follow, without what their prompts quote."""
    if not workspace.discovery.exists():
        return _Heldout({}, ["Nothing was discovered here, so there is no voice to compare style with."])
    try:
        discovery = load_discovery(workspace)
        split = split_messages(workspace, discovery, load_scores(workspace.label_scores), 0)
        heard = Heard.of(workspace, split, len(discovery.personas))
    except NothingToDiscoverError as error:
        return _Heldout({}, [f"Style is not compared with your own: {error}"])
    number = {p.slug: n for n, p in enumerate(discovery.personas)}
    voices = {}
    for p in chosen:
        if sources.get(p.slug) in number:
            texts = _unquoted(heard.voices[number[sources[p.slug]]], p.system)
            if sum(len(t.split()) for t in texts) >= MIN_HEARD:
                voices[p.slug] = Voice(texts, heard.delta)
    notes = [heard.why_not] if heard.why_not else []
    if silent := [p.name for p in chosen if p.slug not in voices]:
        notes.append(f"Too few held-out messages for a voice: {', '.join(silent)}.")
    if voices:
        notes.append(
            "The voice is that of held-out messages which the prompts do not quote; the prompts in force were written from all chats."
        )
    return _Heldout(voices, notes)


def _unquoted(texts: Sequence[str], prompt: str) -> list[str]:
    quoted = [" ".join(q.split()) for q in _QUOTED_RE.findall(prompt)]
    return [t for t in texts if not any(q in " ".join(t.split()) for q in quoted)]


class _Report:
    """What all answers and judgements come to."""

    def __init__(
        self, chosen: Sequence[Persona], lists: Sequence[Checklist], said: Sequence[Said], plan: Plan,
        judgements: Judgements | None, judge: str, heard: _Heldout,
    ) -> None:  # fmt: skip
        self.chosen, self.lists, self.plan, self.judgements, self.heard = chosen, lists, plan, judgements, heard
        self.said = [s for s in said if s.text.strip()]
        self.empty = len(said) - len(self.said)
        self.judge = self._judge(judge) if judgements is not None else None

    def made(self, model: str, *, same: bool) -> AdherenceReport:
        """The report; `same`: the judge is the model that spoke."""
        notes = list(self.heard.notes)
        if self.empty:
            notes.append(f"{self.empty} answers were empty and are left out.")
        if same:
            notes.append(
                "The judge is the model that wrote the answers; it may like its own kind. Name another with --judge."
            )
        if few := [p.name for p, x in zip(self.chosen, self.lists, strict=True) if len(x.items) < FEW_ITEMS]:
            notes.append(f"Fewer than {FEW_ITEMS} lines can be checked in the prompts of {', '.join(few)}.")
        return AdherenceReport(
            personas=tuple(self._persona(p, x) for p, x in zip(self.chosen, self.lists, strict=True)),
            questions=self.plan.questions, samples=self.plan.samples, turns=self.plan.turns,
            conversations=self.plan.conversations, model=model, judge=self.judge, notes=tuple(notes),
        )  # fmt: skip

    def _judgement(self, checklist: Checklist, said: Said) -> Judgement | None:
        return self.judgements.of(checklist, said) if self.judgements is not None else None

    def _believed(self, checklist: Checklist) -> bool:
        """Whether its marks can be used: nothing was judged, or by a judge that reads."""
        return self.judge is None or self.judge.usable or all(counted(i) for i in checklist.items)

    def _judge(self, label: str) -> Judge | None:
        """The judge by all its judgements; None where there was nothing to judge."""
        every = [j for x, s in held(self.lists, self.said) if (j := self._judgement(x, s)) is not None]
        if not every:
            return None
        told = [v for j in every for v in j.said or ()]
        judged = sum(j.catch is not None for j in every)
        catches = {j.call: j.catch for j in every if j.catch is not None}  # a call that stands for two answers is one
        return statistics.judge_of(
            label, told.count("yes"), told.count("no"), list(catches.values()), judged, len(every) - judged
        )

    def _marks(self, checklist: Checklist, said: Sequence[Said]) -> Marks:
        rows = np.full((len(said), len(checklist.items)), np.nan)
        for row, one in zip(rows, said, strict=True):
            judgement = self._judgement(checklist, one)
            verdicts = iter(judgement.said or () if judgement else ())
            for n, item in enumerate(checklist.items):
                if count := counted(item):
                    row[n] = float(count(one.text))
                else:
                    row[n] = {"yes": 1.0, "no": 0.0}.get(next(verdicts, ""), np.nan)
        return Marks(rows, np.array([s.unit for s in said], dtype=int), np.array([s.turn for s in said], dtype=int))

    def _persona(self, p: Persona, checklist: Checklist) -> PersonaAdherence:
        mine = [s for s in self.said if s.persona == p.slug and s.single]
        theirs = [s for s in self.said if s.persona == CONTROL.slug and s.single]
        marks, control = self._marks(checklist, mine), self._marks(checklist, theirs)
        kept, without, difference = statistics.compare(marks, control, self.plan.questions)
        judged = [self._judgement(checklist, s) for s in (*mine, *theirs)]
        verdict, words = statistics.verdict(p.name, kept, without, difference, self.plan.questions)
        if not self._believed(checklist):
            verdict, words = (
                "not judged",
                f"Whether {p.name} keeps to its prompt is not told, for the judge cannot be used.",
            )
        voice = self.heard.voices.get(p.slug)
        return PersonaAdherence(
            persona=p.slug, name=p.name, answers=len(mine), unjudged=sum(j is not None and j.said is None for j in judged),
            items=tuple(self._items(checklist, marks, control, sum(j is not None and j.said is None for j in judged[: len(mine)]))), kept=kept, control=without, difference=difference,
            verdict=verdict, words=words, style=style_measures(self._texts(mine), self._texts(theirs), voice),
            drift=self._drift(p, checklist, voice) if self.plan.turns and self.plan.conversations else None,
        )  # fmt: skip

    def _texts(self, said: Sequence[Said]) -> list[list[str]]:
        return [[s.text for s in said if s.unit == q] for q in range(self.plan.questions)]

    def _items(self, checklist: Checklist, marks: Marks, control: Marks, unjudged: int) -> list[ItemAdherence]:
        """`unjudged`: rows of `marks` without a judgement."""
        out = []
        usable = self.judge is not None and self.judge.usable
        every = statistics.compare_items(marks, control, self.plan.questions)
        for n, (item, one) in enumerate(zip(checklist.items, every, strict=True)):
            by_count = counted(item) is not None
            out.append(
                ItemAdherence(
                    question=item.question, line=item.line, number=item.number, by="count" if by_count else "judge",
                    questions=one.questions, persona=one.persona, control=one.control, difference=one.difference,
                    not_applicable=int(np.isnan(marks.marks[:, n]).sum()) - unjudged if self.judge and not by_count else 0,
                    verdict=one.verdict if by_count or usable else "not judged",
                )
            )  # fmt: skip
        return out

    def _drift(self, p: Persona, checklist: Checklist, voice: Voice | None) -> Drift:
        said = [s for s in self.said if s.persona == p.slug and not s.single]
        marks = self._marks(checklist, said)
        found = statistics.drift(p.name, marks, self.plan.conversations, self.plan.turns)
        if not self._believed(checklist):
            words = f"Whether {p.name} fades is not told, for the judge cannot be used."
            found = found._replace(verdict="not judged", words=words)
        texts = {(s.unit, s.turn): s.text for s in said}
        talks = [[texts.get((c, t), "") for t in range(self.plan.turns + 1)] for c in range(self.plan.conversations)]
        return Drift(
            conversations=self.plan.conversations, turns=self.plan.turns, early=found.early, late=found.late,
            change=found.change, verdict=found.verdict, words=found.words,
            by_turn=tuple(self._turn(t, [s.text for s in said if s.turn == t], marks, voice) for t in range(self.plan.turns + 1)),
            style=style_drift(talks, self.plan.turns, voice),
        )  # fmt: skip

    def _turn(self, turn: int, texts: Sequence[str], marks: Marks, voice: Voice | None) -> TurnAdherence:
        rows = marks.marks[marks.turns == turn]
        known = rows[~np.isnan(rows)]
        counts = counts_of(texts)
        matched = voice is not None and has_function_words(voice.counts) and bool(texts)
        return TurnAdherence(
            turn=turn, answers=len(texts), kept=round(float(known.mean()), 4) if len(known) else None,
            sentence_length=round(float(sentence_length(counts)), 4), question_rate=round(float(question_rate(counts)), 4),
            function_words=round(float(function_word_match(counts, voice.counts)), 4) if voice and matched else None,
        )  # fmt: skip
