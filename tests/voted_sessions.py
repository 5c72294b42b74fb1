"""A workspace as it looks after weeks of use: personas, sessions with ballots and votes, judged baselines, A/B tests."""

from __future__ import annotations

import random
from pathlib import Path

from innercouncil.app.evaluate_twins import evaluate_kept
from innercouncil.app.personas import create_persona, open_personas
from innercouncil.council.counting import count
from innercouncil.model.ab import AbTest, SideAnswer, Trial, Variant
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
    """Everything the dashboard can show but adherence."""
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
    return workspace


def hold(store: SessionStore, draw: random.Random, n: int, seated: list[tuple[str, PersonaCard]]) -> tuple[str, bool]:
    """A finished session; (id, whether it has baselines)."""
    seats = sorted(draw.sample(range(len(seated)), 3)) if n % 6 == 5 else list(range(len(seated)))
    workers = tuple(
        Worker(seat=at, slug=seated[who][0], name=seated[who][1].name, system=seated[who][1].system, temperature=0.7)
        for at, who in enumerate(seats)
    )
    question = f"{QUESTIONS[n % len(QUESTIONS)]} ({n})"
    session = store.begin(Council(question=question, workers=workers, worker_model="m", synthesizer_model="s"))
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
    for name, votes, taste in (("shorter", 30, 0.85), ("=warmer", 12, 0.5), ("waiting", 2, 0.5)):
        sides = [
            Variant(kind="prompt", name=f"{name} {side}", workers=(Worker(seat=0, slug="", name=side, system=side, temperature=0.7),))
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
