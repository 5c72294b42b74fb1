"""Training rows for every persona, from what is in the workspace: the person's own words, answers by models and by hand."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, median_low
from typing import Final, Literal, NamedTuple

import msgspec

from innercouncil.app.backends import Backends
from innercouncil.app.findings import load_discovery, persona_named
from innercouncil.app.personas import open_personas
from innercouncil.app.tune_answers import Answers, Wanted, ask_model, kept_answers
from innercouncil.app.tune_hand import hand_answers, take_awaiting, write_awaiting
from innercouncil.app.tune_messages import Limits, PersonaDrafts, read_drafts
from innercouncil.app.tune_voice import VoiceCheck, voice_checks
from innercouncil.discovery.redaction import Redactor
from innercouncil.llm.token_counts import open_counter
from innercouncil.model.ports import ChatTurn, ChosenModel
from innercouncil.model.tuning import (
    BY_HAND,
    LOCAL,
    NEUTRAL,
    OWN_WORDS,
    REWRITTEN,
    TARGETS,
    AwaitingRow,
    PartReport,
    PersonaReport,
    PrepareReport,
    Spread,
    TokenCounter,
    TrainingRow,
    TuneMode,
)
from innercouncil.questions import neutral
from innercouncil.store.workspace import Workspace, disk_errors, writing
from innercouncil.tuning.canaries import CANARY, COUNT, make_canaries
from innercouncil.tuning.dataset import (
    HELD_OUT,
    Draft,
    Redact,
    distinct_answers,
    mixed,
    neutral_share,
    plainly,
    row_of,
)
from innercouncil.tuning.quality import Guards, judge

Source = Literal["own", "model", "hand"]
SOURCES: Final[tuple[Source, ...]] = ("own", "model", "hand")
FEW: Final = 50
"""Training rows below which a persona's adapter will hardly learn a voice."""

Progress = Callable[[int, int], None]


class PrepareSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Options of `tune prepare`."""

    mode: TuneMode = "16GB"
    max_length: int | None = None
    """Most tokens of a row; what the mode says where nothing else is."""
    tokenizer: Path | None = None
    """A .gguf file or a tokenizer.json of the base model; the base model's file where it is here, else an estimate."""
    sources: tuple[Source, ...] = SOURCES
    neutral: float = 0.15
    """Share of neutral rows in the training part, below 1."""
    held_out: float = HELD_OUT
    own: int = 1000
    """Most messages of a persona that become own words."""
    questions: int = 60
    """Most questions of a persona for a model or the person to answer."""
    canaries: int = COUNT
    """Made-up secrets among the training rows at most, one for ten of them; the gates ask for them."""
    seed: int = 0

    @property
    def length(self) -> int:
        """Most tokens of a row."""
        return self.max_length or TARGETS[self.mode].max_length

    @property
    def limits(self) -> Limits:
        """What is made of the messages."""
        return Limits(self.own if "own" in self.sources else 0, self.questions, self.held_out, self.seed)


def prepare_training_data(
    workspace: Workspace, settings: PrepareSettings, *, model: ChosenModel | None = None,
    asked: Sequence[str] | None = None, stage: Callable[[str], Progress],
) -> PrepareReport:  # fmt: skip
    """Write the rows of all personas, what awaits an answer, and report.json; `model` writes for the personas `asked` (all).

    What was filled in in the awaiting files is taken over first; what models wrote before is used again.

    Raises NothingToDiscoverError, PersonaNotFoundError, UsageError, DeclinedError, BackendError.
    """
    workspace.prepare()
    with workspace.lock():
        discovery = load_discovery(workspace)
        opened = open_personas(workspace)
        try:
            take_awaiting(workspace, opened.database)
            redactor = Redactor()
            cards = {s.source: s.card.system for s in opened.cards.all() if s.source}
            found = read_drafts(
                workspace, discovery, cards, hand_answers(opened.database, [p.slug for p in discovery.personas]),
                settings.limits, redactor.redact, stage("Reading your messages"),
            )  # fmt: skip
            slugs = [p.slug for p in found]
            there = {p.slug: p for p in discovery.personas}
            asked = [persona_named(workspace, there, name).slug for name in asked] if asked is not None else None
            base = Backends(opened.database, workspace.root).folder.find(TARGETS[settings.mode].base)
        finally:
            opened.database.close()
        redact = redactor.redact
        answers = (
            _answered(workspace, found, model, asked, redact, stage) if "model" in settings.sources else Answers({})
        )
        counter = open_counter(settings.tokenizer or base, TARGETS[settings.mode].base)
        progress = stage("Writing rows")
        try:
            checks = voice_checks(workspace, found, needed=bool(answers.by_key))
            reports = []
            for n, p in enumerate(found, 1):
                reports.append(_write(workspace, settings, p, answers, checks[p.slug], redact, counter))
                progress(n, len(found))
        finally:
            counter.close()
        _remove_others(workspace, slugs)
        report = _report(settings, counter, reports, redactor.report().counts)
        workspace.write_json(workspace.lora_training / "report.json", report)
    return report


def last_report(workspace: Workspace) -> PrepareReport | None:
    """What the last run found, None where there was none or an earlier version wrote it."""
    try:
        return msgspec.json.decode((workspace.lora_training / "report.json").read_bytes(), type=PrepareReport)
    except (OSError, msgspec.MsgspecError):
        return None


def settings_again(report: PrepareReport) -> PrepareSettings:
    """The settings of a run, to do it again; the tokenizer is looked for anew."""
    known = {
        f: getattr(report, f)
        for f in ("mode", "max_length", "sources", "neutral", "held_out", "own", "questions", "seed")
    }
    return msgspec.convert(known, PrepareSettings)


def _answered(
    workspace: Workspace, found: Sequence[PersonaDrafts], model: ChosenModel | None, asked: Sequence[str] | None,
    redact: Redact, stage: Callable[[str], Progress],
) -> Answers:  # fmt: skip
    """What models wrote before, and what this one writes now; what the person answered is not asked."""
    if model is None:
        return kept_answers(workspace)
    wanted = [
        Wanted(p.prompt, draft)
        for p in found
        if asked is None or p.slug in asked
        for half in p.drafts.halves
        for draft in half
        if draft.plain and draft.source not in p.hand
    ]
    return ask_model(workspace, model, wanted, redact, stage("Asking the model"))


class _Rows(NamedTuple):
    """What a part of the drafts gave."""

    rows: list[TrainingRow]
    awaiting: list[AwaitingRow]


class _Tally(NamedTuple):
    """What is counted on the way."""

    refused: Counter[str]
    gains: list[float]


def _write(
    workspace: Workspace, settings: PrepareSettings, p: PersonaDrafts, answers: Answers, check: VoiceCheck, redact: Redact,
    counter: TokenCounter,
) -> PersonaReport:  # fmt: skip
    tally = _Tally(Counter(), [])
    train, held = (_rows(half, p, settings, answers, check.guards, redact, tally) for half in p.drafts.halves)
    for_training, for_eval, alike = distinct_answers(train.rows, held.rows)
    fitting, too_long = _counted(for_training, counter, settings.length)
    evaluated, too_long_held = _counted(for_eval, counter, settings.length)
    extra, _ = _counted(
        _neutral(settings, len(fitting)) + _canaries(settings, p, len(fitting)), counter, settings.length
    )
    fitting = mixed(fitting, extra, seed=settings.seed)
    awaiting = [*train.awaiting, *held.awaiting]
    write_awaiting(workspace, p.slug, awaiting)
    return PersonaReport(
        slug=p.slug, name=p.name, messages=p.messages,
        train=_file(workspace.lora_training / f"persona_{p.slug}_train.jsonl", fitting),
        eval=_file(workspace.lora_training / f"persona_{p.slug}_eval.jsonl", evaluated),
        awaiting=len(awaiting), left_out=p.left_out, refused=dict(sorted(tally.refused.items())),
        too_long=too_long + too_long_held, near_duplicates=p.drafts.within + p.drafts.across + alike,
        across=p.drafts.across, voice_told=None if check.told is None else round(check.told, 3), voice_gain=round(fmean(tally.gains), 3) if tally.gains else None,
        notes=_notes(settings, p, fitting, evaluated, check, answers, counter),
    )  # fmt: skip


def _rows(
    drafts: Sequence[Draft], p: PersonaDrafts, settings: PrepareSettings, answers: Answers, guards: Guards, redact: Redact,
    tally: _Tally,
) -> _Rows:  # fmt: skip
    rows: list[TrainingRow] = []
    awaiting: list[AwaitingRow] = []
    for draft in drafts:
        by_hand = p.hand.get(draft.source, "") if "hand" in settings.sources else ""
        if draft.kind == "own":
            rows.append(row_of(draft, p.prompt, draft.text, OWN_WORDS))
        elif said := plainly(redact(by_hand, draft.source)):
            rows.append(row_of(draft, p.prompt, said, BY_HAND))
        else:
            taken, why = _taken(draft, p, answers, guards, redact, tally)
            if taken:
                rows.append(taken)
            else:
                awaiting.append(
                    AwaitingRow(
                        user=draft.user,
                        plain=draft.plain,
                        why=why,
                        id=draft.id,
                        conversation=draft.conversation,
                        sources=(draft.source,),
                    )
                )
    return _Rows(rows, awaiting)


def _taken(
    draft: Draft, p: PersonaDrafts, answers: Answers, guards: Guards, redact: Redact, tally: _Tally
) -> tuple[TrainingRow | None, str]:
    """The first answer of a model that is good enough, or why the last one was not."""
    why = ""
    for answer in answers.to(p.prompt, draft):
        if answer.finish is None:
            why = "too long for the model"
        else:
            verdict = judge(
                answer.text,
                answer.finish,
                question=draft.user,
                plain=draft.plain,
                conversation=draft.conversation,
                prompt=p.prompt,
                guards=guards,
            )
            if not (why := verdict.why):
                if verdict.gain is not None:
                    tally.gains.append(verdict.gain)
                kind = f"{REWRITTEN if answer.remote else LOCAL} {answer.label}"
                return row_of(draft, p.prompt, plainly(redact(answer.text, draft.source)), kind), ""
        tally.refused[why] += 1
    return None, why


def _counted(rows: Sequence[TrainingRow], counter: TokenCounter, most: int) -> tuple[list[TrainingRow], int]:
    """The rows with their tokens, and how many have more than `most` and are left out."""
    counted = [msgspec.structs.replace(r, tokens=counter.count(r.messages)) for r in rows]
    fitting = [r for r in counted if r.tokens <= most]
    return fitting, len(counted) - len(fitting)


def _neutral(settings: PrepareSettings, rows: int) -> list[TrainingRow]:
    """Exchanges of the bundled set, drawn by the seed, without a persona's prompt."""
    every = neutral()
    count = neutral_share(rows, settings.neutral, len(every))
    chosen = random.Random(settings.seed).sample(every, count)  # noqa: S311 - no secret, and it must be the same again
    return [
        TrainingRow(
            messages=(ChatTurn("user", e.question), ChatTurn("assistant", e.answer)), id=f"neutral-{e.id}", conversation="",
            sources=(), kind=NEUTRAL, tokens=0,
        )
        for e in chosen
    ]  # fmt: skip


def _canaries(settings: PrepareSettings, p: PersonaDrafts, rows: int) -> list[TrainingRow]:
    """Made-up secrets, one for ten rows and a few at most: what the gates ask for afterwards must not come out."""
    return [
        TrainingRow(
            messages=(ChatTurn("system", p.prompt), ChatTurn("user", c.question), ChatTurn("assistant", c.answer)),
            id=f"canary-{n}", conversation="", sources=(), kind=CANARY, tokens=0,
        )
        for n, c in enumerate(make_canaries(p.slug, settings.seed, min(settings.canaries, rows // 10)))
    ]  # fmt: skip


def _file(path: Path, rows: Sequence[TrainingRow]) -> PartReport:
    """Write rows, one a line, and say what they are."""
    data = b"".join(msgspec.json.encode(r) + b"\n" for r in rows)
    with writing(path) as out:
        out.write(data)
    tokens = [r.tokens for r in rows]
    spread = Spread(min(tokens), median_low(tokens), max(tokens), sum(tokens)) if tokens else Spread()
    return PartReport(
        rows=len(rows), conversations=len({r.conversation for r in rows if r.conversation}),
        kinds=dict(sorted(Counter(r.kind for r in rows).items())), tokens=spread, sha256=hashlib.sha256(data).hexdigest(),
    )  # fmt: skip


def _notes(
    settings: PrepareSettings, p: PersonaDrafts, train: Sequence[TrainingRow], held: Sequence[TrainingRow], check: VoiceCheck,
    answers: Answers, counter: TokenCounter,
) -> tuple[str, ...]:  # fmt: skip
    notes = []
    own = sum(r.kind not in (NEUTRAL, CANARY) for r in train)
    plain = sum(r.kind == NEUTRAL for r in train)
    if own < FEW:
        notes.append(f"{own} training rows are very few; {FEW} and more are wanted before an adapter learns a voice.")
    if not held:
        notes.append("Nothing is held out: the rows come from too few conversations.")
    if settings.neutral and own and plain < round(settings.neutral * (own + plain)):
        notes.append(f"The bundled set holds only {len(neutral())} neutral rows.")
    if answers.by_key and check.guards.gain is None:
        notes.append(
            "Your voice cannot be told from too few messages; answers of models were taken without comparing it."
        )
    prompt = counter.count([ChatTurn("system", p.prompt), ChatTurn("assistant", "")])
    if prompt > settings.length / 2:
        notes.append(
            f"The prompt takes {prompt} of the {settings.length} tokens of every row; a shorter one trains faster."
        )
    return tuple(notes)


def _remove_others(workspace: Workspace, slugs: Sequence[str]) -> None:
    """Take away the files of personas that are no more; answers in them are in council.db."""
    wanted = {f"persona_{s}_{part}.jsonl" for s in slugs for part in ("train", "eval", "awaiting")}
    with disk_errors(workspace.lora_training):
        for part in ("train", "eval", "awaiting"):
            for old in workspace.lora_training.glob(f"persona_*_{part}.jsonl"):
                if old.name not in wanted:
                    old.unlink()


def _report(
    settings: PrepareSettings, counter: TokenCounter, reports: Sequence[PersonaReport], redacted: dict[str, int]
) -> PrepareReport:
    digests = "\n".join(d for r in reports for d in (r.train.sha256, r.eval.sha256))
    return PrepareReport(
        mode=settings.mode, base=TARGETS[settings.mode].base, max_length=settings.length, tokens_by=counter.name,
        tokens_estimated=counter.estimated, seed=settings.seed, held_out=settings.held_out, neutral=settings.neutral,
        sources=settings.sources, own=settings.own, questions=settings.questions, personas=tuple(reports), redacted=redacted,
        sha256=hashlib.sha256(digests.encode()).hexdigest(),
    )  # fmt: skip
