"""The person's votes on a persona's answers as rows to continue its adapter from: council sessions and A/B tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from innercouncil.app.tune_adapters import training_slug
from innercouncil.discovery.redaction import Redactor
from innercouncil.model.ab import AbTest, Trial, Variant
from innercouncil.model.council import SessionRecord
from innercouncil.model.errors import UsageError
from innercouncil.model.ports import ChatTurn
from innercouncil.model.preferences import DpoRow, KtoRow, PreferenceKind, PreferenceReport
from innercouncil.model.tokens import disarm
from innercouncil.store.ab_tests import AbStore
from innercouncil.store.judgements import JudgementStore
from innercouncil.store.sessions import SessionStore
from innercouncil.store.workspace import writing
from innercouncil.tuning.preference_rows import HELD_OUT, Vote, Voted, is_held_out, labels_of, pair_of

if TYPE_CHECKING:
    from innercouncil.app.council import House

FEW: Final = 100
"""Pairs under which a training will hardly learn a preference; a guess."""


class _Made(NamedTuple):
    """A row, its question, and the words of what was preferred (or liked) and of what was not."""

    row: DpoRow | KtoRow
    question: str
    liked: int | None
    disliked: int | None


def export_preferences(
    house: House, persona: str, kind: PreferenceKind, *, output: Path | None = None, held_out: float = HELD_OUT, seed: int = 0,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> PreferenceReport:  # fmt: skip
    """Write the rows of a persona of the council, redacted; those of held-out questions into a file beside.

    Raises PersonaNotFoundError, UsageError where no vote gives a row, WorkspaceError.
    """
    seated = house.cards.get(persona)
    slug, system = training_slug(house, persona), seated.card.system
    redactor, left_out = Redactor(), Counter[str]()
    made: list[_Made] = []
    votes = [*_session_votes(house, seated.slug, left_out), *_ab_votes(house, seated.slug)]
    for number, (id_, vote) in enumerate(votes, 1):
        made += _rows_of(kind, id_, vote, system, redactor, left_out)
        progress(number, len(votes))
    if not made:
        why = ", ".join(f"{n}: {reason}" for reason, n in left_out.most_common()) or "there is none on its answers"
        raise UsageError(
            f"No vote of yours gives a row for {seated.slug} ({why}); vote on answers in the council or in an A/B test."
        )
    path = output or house.workspace.lora_training / f"preferences_{slug}_{kind}.jsonl"
    beside = path.with_name(f"{path.stem}_eval.jsonl")
    kept = [m for m in made if not is_held_out(m.question, held_out, seed)]
    held = [m for m in made if is_held_out(m.question, held_out, seed)]
    for file, rows in ((path, kept), (beside, held)):
        with writing(file) as out:
            out.write(b"".join(msgspec.json.encode(m.row) + b"\n" for m in rows))
    return _reported(seated.slug, kind, path, beside, made, kept, held, left_out, redactor)


def _reported(
    persona: str, kind: PreferenceKind, path: Path, beside: Path, made: list[_Made], kept: list[_Made], held: list[_Made],
    left_out: Counter[str], redactor: Redactor,
) -> PreferenceReport:  # fmt: skip
    liked, disliked = _words(made)
    notes = []
    if len(kept) < FEW:
        notes.append(f"{len(kept)} rows are few; {FEW} and more are wanted before a preference is learnt.")
    if liked and disliked and not 0.67 < median(liked) / max(median(disliked), 1) < 1.5:
        notes.append("Preferred and rejected answers differ much in length; what is learnt may be the length.")
    if kind == "dpo" and not any(isinstance(m.row, DpoRow) and m.row.own for m in made):
        notes.append("Every rejected answer is another persona's: part of what is learnt is how those speak. A/B tests of two of its own prompts, or of adapter and prompt, give better pairs.")  # fmt: skip
    if not held:
        notes.append("No question is held out.")
    return PreferenceReport(
        persona=persona, kind=kind, file=str(path), eval_file=str(beside) if held else "", rows=len(kept), held_out=len(held),
        questions=len({m.question for m in made}), sources=dict(Counter(m.row.source for m in made)),
        own=sum(isinstance(m.row, DpoRow) and m.row.own for m in made),
        liked=sum(isinstance(m.row, KtoRow) and m.row.label for m in made),
        chosen_words=median(liked or [0]), rejected_words=median(disliked or [0]), left_out=dict(sorted(left_out.items())),
        redacted=redactor.report().counts, notes=tuple(notes),
    )  # fmt: skip


def _words(made: list[_Made]) -> tuple[list[int], list[int]]:
    return [m.liked for m in made if m.liked is not None], [m.disliked for m in made if m.disliked is not None]


def _rows_of(
    kind: PreferenceKind, id_: str, vote: Vote, system: str, redactor: Redactor, left_out: Counter[str]
) -> Iterator[_Made]:
    found = pair_of(vote) if kind == "dpo" else labels_of(vote)
    if isinstance(found, str):
        left_out[found] += 1
        return

    def turn(text: str) -> tuple[ChatTurn]:
        return (ChatTurn("assistant", disarm(redactor.redact(text, id_)).strip()),)

    asked = disarm(redactor.redact(vote.question, id_)).strip()
    prompt = (*((ChatTurn("system", disarm(system)),) if system.strip() else ()), ChatTurn("user", asked))
    if isinstance(found, tuple):
        best, rejected = found
        row = DpoRow(prompt=prompt, chosen=turn(best.text), rejected=turn(rejected.text), source=vote.source, own=rejected.mine)  # fmt: skip
        yield _Made(row, vote.question, len(best.text.split()), len(rejected.text.split()))
        return
    for answer, label in found:
        words = len(answer.text.split())
        yield _Made(
            KtoRow(prompt=prompt, completion=turn(answer.text), label=label, source=vote.source), vote.question,
            words if label else None, None if label else words,
        )  # fmt: skip


def _session_votes(house: House, slug: str, left_out: Counter[str]) -> Iterator[tuple[str, Vote]]:
    """The person's last vote on each session in which the persona sat."""
    store, sessions = JudgementStore(house.database), SessionStore(house.database)
    voted = store.sessions()
    for number, tiers in store.votes():
        found = voted.get(number)
        if found is None or slug not in found.seats.values():
            continue
        record = sessions.get(found.id)
        if record.council.history or record.council.attachments:
            left_out["the question does not stand by itself"] += 1
            continue
        yield record.id, Vote(record.council.question, tuple(_answers(record, tiers, slug)), "session")


def _answers(record: SessionRecord, tiers: tuple[tuple[int, ...], ...], slug: str) -> Iterator[Voted]:
    slugs = {w.seat: w.slug for w in record.council.workers}
    last = {a.seat: a for a in record.answers if a.part == "council" and a.stands}
    for tier, seats in enumerate(tiers):
        for seat in seats:
            if seat in last:
                answer = last[seat]
                whole = answer.status == "ok" and not answer.appeals and bool(answer.text.strip())
                yield Voted(tier, slugs[seat] == slug, answer.text, whole)


def _ab_votes(house: House, slug: str) -> Iterator[tuple[str, Vote]]:
    """The votes of A/B tests in which a side was the persona, with whatever prompt or adapter."""
    store = AbStore(house.database)
    for test in store.all():
        if slug in (_who(test.a), _who(test.b)):
            for trial in store.trials(test.name):
                if trial.choice is not None and not trial.same:
                    yield f"{test.name}:{trial.number}", _ab_vote(test, trial, slug)


def _who(variant: Variant) -> str:
    return variant.workers[0].slug if variant.kind == "persona" else ""


def _ab_vote(test: AbTest, trial: Trial, slug: str) -> Vote:
    most = test.options.answer_tokens
    answers = tuple(
        Voted(
            int(trial.outcome not in ("tie", side)), _who(variant) == slug, answer.text,
            bool(answer.text.strip()) and (answer.answer_tokens is None or answer.answer_tokens < most),
        )
        for side, variant, answer in (("a", test.a, trial.a), ("b", test.b, trial.b))
    )  # fmt: skip
    return Vote(trial.question, answers, "ab")
