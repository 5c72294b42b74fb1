"""A workspace as it looks after weeks of use: personas, sessions with ballots and votes, judged baselines, A/B tests."""

from __future__ import annotations

import random
from pathlib import Path

from innercouncil.app.evaluate_twins import evaluate_kept
from innercouncil.app.personas import create_persona, open_personas
from innercouncil.council.counting import count
from innercouncil.model.ab import AbTest, SideAnswer, Trial, Variant
from innercouncil.model.adherence import (
    AdherenceReport,
    Drift,
    ItemAdherence,
    Judge,
    PersonaAdherence,
    StyleMeasure,
    TurnAdherence,
)
from innercouncil.model.card import PersonaCard
from innercouncil.model.council import (
    Answer,
    Answered,
    Ballot,
    Council,
    CouncilOptions,
    Finished,
    Part,
    Synthesis,
    Synthesised,
    Tallied,
    Timing,
    Voted,
    Worker,
)
from innercouncil.model.ports import Usage
from innercouncil.model.similarity import Estimated
from innercouncil.model.worth import PERSON, WorthVote
from innercouncil.store.ab_tests import AbStore
from innercouncil.store.database import Database
from innercouncil.store.sessions import SessionStore
from innercouncil.store.workspace import Workspace
from innercouncil.store.worth import WorthStore

PEOPLE = ("Planner", "=Doubter of everything that was ever written down", "Maker", "Story <b>Writer</b>")
STRENGTHS = {"person": (0.2, -0.6, 1.6, 0.0), "models": (1.0, 0.4, 0.0, -0.4)}
QUESTIONS = (
    "Why does my Python function raise a KeyError?", "Write a poem about the sea for my grandmother.",
    "How do I plan the marketing of a small shop?", "Fix the SQL query that is slow on ten million rows.",
)  # fmt: skip
WORDS = (
    "plan step order list proof",
    "plan step order list proof",
    "wood nail saw build plan",
    "sea moon tale song plan",
)
NOW = Timing(started=0, first_token=1, finished=2)


def filled(root: Path, sessions: int = 60) -> Workspace:
    """Everything the dashboard can show."""
    workspace = Workspace(root)
    workspace.prepare()
    _, database, cards = open_personas(workspace)
    for name, words in zip(PEOPLE, WORDS, strict=True):
        create_persona(cards, PersonaCard(name=name, system=f"You like to {words}."))
    seated = [(p.slug, p.card) for p in cards.all()]
    draw = random.Random(7)
    store = SessionStore(database)
    held = [hold(store, draw, n, seated) for n in range(sessions)]
    _judge(WorthStore(database), draw, [session for session, baselines in held if baselines])
    _test(AbStore(database), draw)
    database.close()
    evaluate_kept(workspace, stage=lambda _title: lambda _done, _total: None)
    workspace.write_json(workspace.adherence, adherence([slug for slug, _ in seated]))
    return workspace


def adherence(slugs: list[str]) -> AdherenceReport:
    """A report in which the first two personas keep to their prompts and the last has nothing that can be checked."""
    people = []
    for n, (slug, name) in enumerate(zip(slugs, PEOPLE, strict=True)):
        kept, control = Estimated(0.9 - 0.2 * n, 0.8 - 0.2 * n, 0.97 - 0.2 * n), Estimated(0.4, 0.3, 0.5)
        apart = Estimated(round(kept.value - 0.4, 2), kept.value - 0.6, kept.value - 0.2)
        item = ItemAdherence(
            question="Does it name an order?", line="Name the order of things.", number=3, by="judge", questions=12,
            persona=kept, control=control, difference=apart, not_applicable=1, verdict="tells apart" if n < 2 else "not sure",
        )  # fmt: skip
        turns = tuple(
            TurnAdherence(turn=t, answers=3, kept=0.9 - 0.05 * t, sentence_length=12.5, question_rate=0.1, function_words=None)
            for t in range(5)
        )  # fmt: skip
        drift = Drift(
            conversations=3, turns=4, by_turn=turns, early=0.85, late=0.7, change=Estimated(-0.15, -0.32, 0.02),
            verdict="not sure", words="It may fade.",
        )  # fmt: skip
        style = StyleMeasure(
            name="sentence length",
            persona=11.0,
            control=16.0,
            voice=9.5,
            gain=Estimated(5.0, 3.0, 7.0),
            verdict="nearer",
        )
        last = n == len(slugs) - 1
        people.append(
            PersonaAdherence(
                persona=slug, name=name, answers=12, unjudged=0, items=() if last else (item,), kept=None if last else kept,
                control=None if last else control, difference=None if last else apart,
                verdict="not judged" if last else "keeps" if n < 2 else "not sure", words=f"{name} has been looked at.",
                style=(style,), drift=None if last else drift,
            )
        )  # fmt: skip
    sure = Estimated(0.95, 0.9, 0.99)
    judge = Judge(
        model="judge",
        usable=True,
        judged=96,
        unjudged=0,
        says_yes=0.6,
        found=sure,
        denied=sure,
        words="It can be relied on.",
    )
    return AdherenceReport(
        personas=tuple(people),
        questions=12,
        samples=1,
        turns=4,
        conversations=3,
        model="m",
        judge=judge,
        notes=("A note.",),
    )


def hold(store: SessionStore, draw: random.Random, n: int, seated: list[tuple[str, PersonaCard]]) -> tuple[str, bool]:
    """A finished session; (id, whether it has baselines)."""
    seats = sorted(draw.sample(range(len(seated)), 3)) if n % 6 == 5 else list(range(len(seated)))
    workers = tuple(
        Worker(seat=at, slug=seated[who][0], name=seated[who][1].name, system=seated[who][1].system, temperature=0.7)
        for at, who in enumerate(seats)
    )
    question = f"{QUESTIONS[n % len(QUESTIONS)]} ({n})"
    options = CouncilOptions(seed=n)
    session = store.begin(
        Council(question=question, workers=workers, worker_model="m", synthesizer_model="s", options=options)
    )
    answers = []
    for at, who in enumerate(seats):
        said = " ".join(draw.choices(WORDS[who].split(), k=draw.randint(20, 120)))
        text = f"- {said}\n- {said[:40]}" if draw.random() < 0.4 else said
        answers.append(
            Answer(part="council", seat=at, round=0, text=text, status="ok", timing=NOW, usage=Usage(90, 60))
        )
        store.record(session, Answered(answers[-1]))
    ballots = []
    for at in range(len(seats)):
        others = [s for s in range(len(seats)) if s != at]
        draw.shuffle(others)
        ranking = _ranked(draw, "models", seats, others)
        ballots.append(
            Ballot(part="council", voter=at, shown=tuple(others), ranking=ranking if n % 11 else (), timing=NOW)
        )
        store.record(session, Voted(ballots[-1]))
    store.record(session, Tallied(count("council", answers, ballots, CouncilOptions())))
    baselines = n % 2 == 0
    parts: tuple[Part, ...] = ("council", "alone", "samples") if baselines else ("council",)
    for at, part in enumerate(parts):
        timing = Timing(started=9000 * at, first_token=None, finished=9000 * at + (8000, 2000, 5000)[at])
        synthesis = Synthesis(
            part=part, text=f"{part} on {question}", status="ok", timing=timing, usage=Usage(200, 100)
        )
        store.record(session, Synthesised(synthesis))
    store.record(session, Finished("done"))
    if n % 3:
        order = _ranked(draw, "person", seats, list(range(len(seats))))
        store.vote(session, [order[:2], *[[s] for s in order[2:]]] if n % 7 == 0 else [[s] for s in order], blind=True)
    return session, baselines


def _ranked(draw: random.Random, board: str, seats: list[int], shown: list[int]) -> tuple[int, ...]:
    """Seats, best first: strengths with Gumbel noise are what Bradley-Terry supposes."""
    noisy = {s: STRENGTHS[board][seats[s]] - 1.5 * draw.expovariate(1.0) for s in shown}
    return tuple(sorted(noisy, key=lambda s: -noisy[s]))


def _judge(store: WorthStore, draw: random.Random, sessions: list[str]) -> None:
    parts: tuple[Part, ...] = ("council", "alone", "samples")
    for n, session in enumerate(sessions):
        order = tuple(draw.sample(parts, 3))
        if n % 5:
            tiers = tuple((p,) for p in sorted(parts, key=lambda p: draw.random() + 0.4 * (p != "council")))
            store.add([WorthVote(session=session, judge=PERSON, shown=order, tiers=tiers)])
        for judge in ("judge-one", "judge-two"):
            tiers = (("alone",), ("council",)) if draw.random() < 0.4 else (("council",), ("alone",))
            store.add([WorthVote(session=session, judge=judge, shown=("council", "alone"), tiers=tiers)])


def _test(store: AbStore, draw: random.Random) -> None:
    for name, votes, taste in (("shorter", 30, 0.85), ("warmer", 12, 0.5), ("waiting", 2, 0.5)):
        sides = [
            Variant(kind="prompt", name=f"={name} {side}", workers=(Worker(seat=0, slug="", name=side, system=side, temperature=0.7),))
            for side in ("old", "new")
        ]  # fmt: skip
        store.add(
            AbTest(name=name, a=sides[0], b=sides[1], worker_model="m", synthesizer_model="m", questions=QUESTIONS)
        )
        for number in range(1, votes + 1):
            first = draw.choice(("a", "b"))
            said = [SideAnswer(text=f"{side} says {number}", milliseconds=900) for side in "ab"]
            store.put(name, Trial(number=number, question=f"Question {number}?", first=first, a=said[0], b=said[1]))
            if name != "waiting" or number < votes:
                wins = "b" if draw.random() < taste else "a"
                store.vote(name, number, "tie" if number % 9 == 0 else "first" if wins == first else "second")


def empty(root: Path) -> Workspace:
    """A workspace without anything."""
    workspace = Workspace(root)
    workspace.prepare()
    Database(workspace.database).close()
    return workspace
