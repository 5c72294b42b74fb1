"""Was the council worth it? Blind judgements of final answers by the person and by a model, and what they come to."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec

from innercouncil.council.appeals import split_appeals
from innercouncil.discovery.redaction import Redactor
from innercouncil.evaluation.worth import contests, overall
from innercouncil.model.council import Part, SessionRecord
from innercouncil.model.errors import DeclinedError, UsageError
from innercouncil.model.ports import ChatModel, ChatRequest, ChatTurn, ChosenModel, Estimate, ask_each, ask_valid
from innercouncil.model.tokens import estimate_tokens
from innercouncil.model.worth import PERSON, Contest, Cost, Worth, WorthTrial, WorthVote
from innercouncil.prompts import fenced, template
from innercouncil.store.database import Database
from innercouncil.store.sessions import SessionStore
from innercouncil.store.worth import WorthStore

PARTS: Final[tuple[Part, ...]] = ("council", "alone", "samples")
BASELINES: Final[tuple[Part, ...]] = ("alone", "samples")
QUESTION_CHARS, ANSWER_CHARS = 1500, 4500
ANSWER_TOKENS: Final = 16
_SCHEMA: Final = {
    "type": "object", "properties": {"better": {"type": "string", "enum": ["A", "B", "alike"]}}, "required": ["better"],
    "additionalProperties": False,
}  # fmt: skip


class Judged(msgspec.Struct, frozen=True):
    """What became of a model's judgements."""

    judge: str
    sessions: int
    """Judged now."""
    unanswered: int
    """Pairs for which it gave no valid answer twice; they are not counted."""
    turned: int
    """Pairs it decided by their order; they count as alike."""


class _Finals(NamedTuple):
    record: SessionRecord
    texts: dict[Part, str]
    """Usable final answers, sentences that address judges taken out."""

    @property
    def shown(self) -> tuple[Part, ...]:
        """The parts in an order that depends on the session alone and tells nothing."""
        return tuple(
            sorted(self.texts, key=lambda part: hashlib.sha256(f"{self.record.id}\x00{part}".encode()).digest())
        )


def open_trials(database: Database) -> list[WorthTrial]:
    """The sessions the person has not judged yet, oldest first, blind."""
    store, sessions = WorthStore(database), SessionStore(database)
    judged = {v.session for v in store.votes() if v.judge == PERSON}
    return [_trial(_finals(sessions.get(i))) for i in store.sessions() if i not in judged]


def trial(database: Database, session: str) -> WorthTrial:
    """One session, blind. Raises SessionNotFoundError, UsageError where it has no baseline."""
    return _trial(_judgeable(database, session))


def vote(database: Database, session: str, tiers: Sequence[Sequence[int]]) -> WorthVote:
    """Keep the person's judgement: `tiers` are numbers of the trial's answers from 0, best tier first.

    Raises SessionNotFoundError, UsageError where not every answer is named once.
    """
    finals = _judgeable(database, session)
    shown = finals.shown
    if sorted(n for tier in tiers for n in tier) != list(range(len(shown))) or not all(tiers):
        raise UsageError(f"Name each of the {len(shown)} answers once, best first.")
    kept = WorthVote(session=session, judge=PERSON, shown=shown, tiers=tuple(tuple(shown[n] for n in t) for t in tiers))
    WorthStore(database).add([kept])
    return kept


def judge_sessions(database: Database, judge: ChosenModel, progress: Callable[[int, int], None]) -> Judged:
    """Let a model judge the sessions it has not judged yet, each pair in both orders; kept session by session.

    Raises DeclinedError, BackendError.
    """
    store, sessions = WorthStore(database), SessionStore(database)
    known = {v.session for v in store.votes() if v.judge == judge.label}
    waiting = [_finals(sessions.get(i)) for i in store.sessions() if i not in known]
    if not waiting:
        return Judged(judge.label, 0, 0, 0)
    pairs = [(f, b) for f in waiting for b in BASELINES if b in f.texts]
    hide = Redactor().redact if judge.remote else lambda text, _id: text
    reading = sum(estimate_tokens(_asked(f, b, hide, turned)) for f, b in pairs for turned in (False, True))
    if not judge.agrees(Estimate(f"{len(waiting)} sessions", 2 * len(pairs), reading, 2 * len(pairs) * ANSWER_TOKENS)):
        raise DeclinedError("Nothing was asked.")
    return asyncio.run(_judge_all(store, waiting, judge, hide, progress))


def meter(database: Database) -> Worth:
    """What all judgements come to, and what the council costs."""
    store = WorthStore(database)
    votes, with_baseline = store.votes(), store.sessions()
    found = contests(votes)
    verdict, words = overall(found)
    mine = {v.session for v in votes if v.judge == PERSON}
    waiting = len(set(with_baseline) - mine)
    if verdict == "not known yet":
        words = f"Not known yet: {_missing(len(with_baseline), votes, waiting)}."
    return Worth(
        verdict=verdict, words=words, contests=found, costs=_costs(store), sessions=len(with_baseline), waiting=waiting,
        notes=_notes(with_baseline, votes, found),
    )  # fmt: skip


def _missing(with_baseline: int, votes: Sequence[WorthVote], waiting: int) -> str:
    """What there has to be before more can be said."""
    if not with_baseline:
        return "no session has a baseline to judge against"
    if not votes:
        return "no session has been judged"
    if not any(v.judge == PERSON for v in votes):
        return "only models have judged, and not clearly; judge some sessions yourself, blindly"
    return "judge more sessions blindly" if waiting else "ask more with baselines, and judge the answers blindly"


def _notes(with_baseline: Sequence[str], votes: Sequence[WorthVote], found: Sequence[Contest]) -> tuple[str, ...]:
    notes = []
    if not with_baseline:
        notes.append("Ask with `innercouncil ask --baseline …`, or in the app with baselines switched on.")
    firsts = [v.tiers[0][0] == v.shown[0] for v in votes if v.judge == PERSON and len(v.tiers[0]) == 1]
    if len(firsts) >= 20 and sum(firsts) > 0.8 * len(firsts):
        notes.append(
            "You nearly always put the answer first that was shown first; the order is drawn by lot, so look again."
        )
    if found and not any(v.judge == PERSON for v in votes):
        notes.append("Only models have judged so far; they may like their own kind of answer.")
    if any(c.judgements > c.sessions for c in found):
        notes.append(
            "A session that several models judged counts once: as most of them say, and as alike where they are split."
        )
    return tuple(notes)


def _finals(record: SessionRecord) -> _Finals:
    usable = {
        s.part: split_appeals(s.text)[0] for s in record.syntheses if s.status in ("ok", "cut") and s.text.strip()
    }
    return _Finals(record, {part: usable[part] for part in PARTS if part in usable})


def _judgeable(database: Database, session: str) -> _Finals:
    finals = _finals(SessionStore(database).get(session))
    if "council" not in finals.texts or len(finals.texts) < 2:
        raise UsageError("This session has no baseline to judge against; ask with `innercouncil ask --baseline …`.")
    return finals


def _trial(finals: _Finals) -> WorthTrial:
    answers = tuple(finals.texts[part] for part in finals.shown)
    return WorthTrial(session=finals.record.id, question=finals.record.council.question, answers=answers)


async def _judge_all(
    store: WorthStore, waiting: Sequence[_Finals], judge: ChosenModel, hide: Callable[[str, str], str],
    progress: Callable[[int, int], None],
) -> Judged:  # fmt: skip
    model = await judge.open()
    lost = turned = done = 0

    async def one(finals: _Finals) -> int:
        nonlocal lost, turned, done
        votes = []
        for baseline in (b for b in BASELINES if b in finals.texts):
            said = [await _pick(_asked(finals, baseline, hide, swap), model) for swap in (False, True)]
            if None in said:
                lost += 1
                continue
            ours = [{"A": not swap, "B": swap}.get(str(s)) for s, swap in zip(said, (False, True), strict=True)]
            turned += None not in ours and ours[0] != ours[1]
            pair: tuple[Part, Part] = ("council", baseline)
            votes.append(
                WorthVote(session=finals.record.id, judge=judge.label, shown=pair, tiers=_tiers(ours, baseline))
            )
        store.add(votes)
        done += bool(votes)
        return 1

    try:
        await ask_each(waiting, one, at_once=4, total=len(waiting), progress=progress)
    finally:
        await judge.close()
    return Judged(judge.label, done, lost, turned)


def _tiers(ours: Sequence[bool | None], baseline: Part) -> tuple[tuple[Part, ...], ...]:
    """The council first or last where both orders say so, else alike."""
    if ours[0] is None or ours[0] != ours[1]:
        return (("council", baseline),)
    return (("council",), (baseline,)) if ours[0] else ((baseline,), ("council",))


def _asked(finals: _Finals, baseline: Part, hide: Callable[[str, str], str], swap: bool) -> str:
    texts = [fenced(hide(finals.texts[p], finals.record.id)[:ANSWER_CHARS]) for p in ("council", baseline)]
    first, second = reversed(texts) if swap else texts
    question = fenced(hide(finals.record.council.question, finals.record.id)[:QUESTION_CHARS])
    return template("judge_pair").render(question=question, first=first, second=second)


async def _pick(text: str, model: ChatModel) -> str | None:
    def request(attempt: int) -> ChatRequest:
        return ChatRequest(turns=(ChatTurn("user", text),), schema=_SCHEMA, max_tokens=ANSWER_TOKENS, seed=attempt)

    def read(answer: bytes) -> str | None:
        better = msgspec.json.decode(answer, type=dict[str, str]).get("better")
        return better if better in ("A", "B", "alike") else None

    return await ask_valid(model, request, read)


def _costs(store: WorthStore) -> tuple[Cost, ...]:
    """Mean time and tokens of each part."""
    found = {part: (count, seconds, tokens) for part, count, seconds, tokens in store.costs()}
    return tuple(
        Cost(part=part, sessions=count, seconds=round(seconds, 2), tokens=round(tokens, 1))
        for part in PARTS if part in found for count, seconds, tokens in [found[part]]
    )  # fmt: skip
