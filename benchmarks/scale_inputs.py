"""Workspaces and exports of any size for `scale.py`; nothing here is timed."""

from __future__ import annotations

import gzip
import json
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from innercouncil.app.personas import create_persona
from innercouncil.model.card import PersonaCard
from innercouncil.model.council import (
    Answer,
    Answered,
    Ballot,
    Council,
    CouncilOptions,
    Event,
    Finished,
    Synthesis,
    Synthesised,
    Timing,
    Voted,
    Worker,
)
from innercouncil.store.cards import CardStore
from innercouncil.store.database import Database
from innercouncil.store.sessions import SessionStore
from innercouncil.store.workspace import Workspace
from public_data import DATA, build

NOW = Timing(started=0, first_token=1, finished=900)
SEATS = 5
LETTERS = "bcdfghklmnprstvw"


def export(path: Path, scale: float) -> int:
    """The reference export times `scale` (1: 111 MB); returns its bytes."""
    build("mix", path, "--scale", scale)
    return path.stat().st_size


def messages(path: Path, count: int) -> int:
    """Plain JSONL of conversations with so many messages of the person and short answers; returns `count`.

    Each message is one to six sentences of two real ones, so that hardly two are the same: copies would be read once only.
    """
    rng = random.Random(0)
    pool = [s for s in _sentences() if len(s) > 1]
    written = talk = 0
    with path.open("w", encoding="utf-8") as file:
        while written < count:
            talk += 1
            for _ in range(min(count - written, 1 + int(rng.expovariate(1 / 8.2)))):
                parts = [
                    s for source in rng.sample(pool, 2) for s in rng.sample(source, min(len(source), rng.randint(1, 3)))
                ]
                line = {
                    "conversation": f"c{talk}",
                    "role": "user",
                    "text": " ".join(parts),
                    "time": 1_700_000_000 + talk * 600,
                }
                file.write(json.dumps(line) + "\n")
                file.write(json.dumps({"conversation": f"c{talk}", "role": "assistant", "text": "Noted."}) + "\n")
                written += 1
    return count


def _sentences() -> Iterator[list[str]]:
    with gzip.open(DATA / "sharegpt_dev.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            for turn in json.loads(line)["turns"]:
                if turn["role"] == "user":
                    yield [s for s in re.split(r"(?<=[.!?])\s+|\n+", turn["text"]) if s.strip()]


def sessions(folder: Path, count: int, personas: int = SEATS, words: int = 150) -> int:
    """A workspace of `count` finished sessions of five seats each, drawn from so many personas; returns `count`.

    Every persona has words of its own among those that all use. Answers, ballots and the final answer are written by the
    store, the person votes on every session.
    """
    rng = random.Random(0)
    common = [_word(rng) for _ in range(3000)]
    own = [[_word(rng) for _ in range(40)] for _ in range(personas)]
    workspace = Workspace(folder)
    workspace.prepare()
    database = Database(workspace.database)
    cards, store = CardStore(database), SessionStore(database)
    seated = [
        create_persona(cards, PersonaCard(name=f"Persona {_spoken(n)}", system=_text(rng, common, own[n], 400)))
        for n in range(personas)
    ]
    for number in range(count):
        drawn = rng.sample(range(personas), SEATS)
        workers = tuple(
            Worker(
                seat=i,
                slug=seated[n].slug,
                name=seated[n].card.name,
                system=seated[n].card.system,
                temperature=0.7,
                version=1,
            )
            for i, n in enumerate(drawn)
        )
        question = f"{_text(rng, common, common, 12)} {number}?"
        council = Council(
            question=question,
            workers=workers,
            worker_model="w",
            synthesizer_model="s",
            options=CouncilOptions(seed=number),
        )
        session = store.begin(council)
        for event in _events(rng, common, [own[n] for n in drawn], words):
            store.record(session, event)
        store.vote(session, [[i] for i in rng.sample(range(SEATS), SEATS)], blind=True)
        if sys.stderr.isatty() and number % 200 == 0:
            print(f"\r{number} of {count} sessions written", end="", file=sys.stderr)
    database.close()
    return count


def _events(rng: random.Random, common: list[str], own: list[list[str]], words: int) -> Iterator[Event]:
    for seat, theirs in enumerate(own):
        text = _text(rng, common, theirs, words)
        yield Answered(Answer(part="council", seat=seat, round=0, text=text, status="ok", timing=NOW))
    for voter in range(SEATS):
        shown = tuple(s for s in range(SEATS) if s != voter)
        ranking = tuple(rng.sample(shown, len(shown)))
        yield Voted(Ballot(part="council", voter=voter, shown=shown, ranking=ranking, timing=NOW))
    text = _text(rng, common, common, words)
    yield Synthesised(Synthesis(part="council", text=text, status="ok", timing=NOW))
    yield Finished("done", "")


def _spoken(number: int) -> str:
    return LETTERS[number // len(LETTERS)] + "a" + LETTERS[number % len(LETTERS)] + "o"


def _word(rng: random.Random) -> str:
    return "".join(rng.choice(LETTERS) + rng.choice("aeiou") for _ in range(rng.randint(1, 4)))


def _text(rng: random.Random, common: list[str], own: list[str], words: int) -> str:
    drawn = [rng.choice(own) if rng.random() < 0.1 else rng.choice(common) for _ in range(words)]
    for at in range(9, words, 10):
        drawn[at] += "."
    return " ".join(drawn)
