"""How long every figure of a workspace with many votes takes to refresh, the database read anew each time.

    uv run python benchmarks/refresh_votes.py [--votes 100000] [--json]

Sessions of five workers: five ballots, a vote of the person and one judgement of the final answers each. Baseline: the plain
`SELECT` of the same rows by Python's sqlite3, nothing decoded.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from innercouncil.app.standings import VERSION, SessionStyle, Styles, standings
from innercouncil.app.worth import meter
from innercouncil.model.council import Answer, Ballot, Council, Part, Synthesis, Timing, Worker
from innercouncil.model.ports import Usage
from innercouncil.store.database import Database
from innercouncil.store.workspace import Workspace

SEATS = 5
STRENGTHS = np.array([0.6, 0.2, 0.0, -0.3, -0.5])
TOPICS = ("software", "creative", "data", "writing", "life", "business", "science", "health", "education")
NOW, DONE = Timing(started=0, first_token=1, finished=900), "2026-01-01T00:00:10Z"
TEXT = "word " * 150
PARTS: tuple[Part, ...] = ("council", "alone", "samples")
PLAIN = (
    "SELECT session, body FROM ballot",
    "SELECT session, tiers FROM person_vote",
    "SELECT session, tiers FROM worth_vote",
)


def fill(workspace: Workspace, votes: int) -> int:
    """So many votes in a council.db; returns how many there are."""
    rng = np.random.default_rng(0)
    workers = tuple(Worker(seat=i, slug=f"p{i}", name=f"P{i}", system="x", temperature=0.5) for i in range(SEATS))
    council = Council(question="Q?", workers=workers, worker_model="m", synthesizer_model="s")
    texts = [
        text(Answer(part="council", seat=i, round=0, text=TEXT, status="ok", timing=NOW, usage=Usage(90, 150)))
        for i in range(SEATS)
    ]
    finals = [
        (part, text(Synthesis(part=part, text=TEXT, status="ok", timing=NOW, usage=Usage(900, 300)))) for part in PARTS
    ]
    count = -(-votes // (SEATS + 2))
    styles = {}
    database = Database(workspace.database)
    with database.transaction() as db:
        for n in range(1, count + 1):
            db.execute(
                "INSERT INTO session (number, id, created_at, finished_at, status, question, worker_model, synthesizer_model, "
                "council) VALUES (?, ?, ?, ?, 'done', 'Q?', 'm', 's', ?)",
                (n, f"s{n:06d}", DONE, DONE, text(council)),
            )
            db.executemany(
                "INSERT INTO worker (session, seat, slug) VALUES (?, ?, ?)", [(n, i, f"p{i}") for i in range(SEATS)]
            )
            db.executemany(
                "INSERT INTO answer VALUES (?, 'council', ?, 0, 'ok', ?)", [(n, i, t) for i, t in enumerate(texts)]
            )
            db.executemany("INSERT INTO synthesis VALUES (?, ?, ?)", [(n, part, body) for part, body in finals])
            db.executemany(
                "INSERT INTO ballot VALUES (?, 'council', ?, ?)", [(n, v, text(ballot(v, rng))) for v in range(SEATS)]
            )
            order = [[int(i)] for i in ranked(range(SEATS), rng)]
            tiers = order if n % 7 else [order[0] + order[1], *order[2:]]
            db.execute(
                "INSERT INTO person_vote (session, made_at, blind, tiers) VALUES (?, ?, 1, ?)",
                (n, DONE, json.dumps(tiers)),
            )
            best = [[part] for part in rng.permutation(np.array(PARTS)).tolist()]
            db.execute(
                "INSERT INTO worth_vote (session, made_at, judge, shown, tiers) VALUES (?, ?, '', ?, ?)",
                (n, DONE, json.dumps(PARTS), json.dumps(best)),
            )
            length = dict(
                zip([w.slug for w in workers], (2.0 ** rng.normal(10, 0.8, SEATS)).round(1).tolist(), strict=True)
            )
            marks = dict(zip(length, rng.uniform(0, 1, SEATS).round(4).tolist(), strict=True))
            styles[f"s{n:06d}"] = SessionStyle(DONE, TOPICS[n % len(TOPICS)], length, marks)
    database.close()
    workspace.write_json(
        workspace.answer_styles, Styles(VERSION, styles)
    )  # topics are told once a session, when it is new
    return count * (SEATS + 2)


def text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def ranked(seats: Any, rng: np.random.Generator) -> list[int]:
    drawn = {int(s): STRENGTHS[s] + rng.gumbel() for s in seats}
    return sorted(drawn, key=lambda s: -drawn[s])


def ballot(voter: int, rng: np.random.Generator) -> Ballot:
    shown = tuple((voter + 1 + i) % SEATS for i in range(SEATS - 1))
    return Ballot(part="council", voter=voter, shown=shown, ranking=tuple(ranked(shown, rng)), timing=NOW)


def simulate(votes: int = 100_000, rounds: int = 5) -> dict[str, Any]:
    """Median seconds of each figure's refresh after one more vote."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        workspace.prepare()
        if sys.stderr.isatty():
            print(f"writing {votes:,} votes …", file=sys.stderr)
        there = fill(workspace, votes)

        def worth() -> None:
            database = Database(workspace.database)
            meter(database)
            database.close()

        def plain() -> None:
            with sqlite3.connect(workspace.database) as db:
                for query in PLAIN:
                    db.execute(query).fetchall()

        parts: dict[str, Callable[[], Any]] = {
            "standings": lambda: standings(workspace),
            "worth": worth,
            "plain_select": plain,
        }
        cold = {name: timed(work) for name, work in parts.items()}
        warm: dict[str, list[float]] = {name: [] for name in parts}
        for n in range(rounds):
            database = Database(workspace.database)
            with database.transaction() as db:
                db.execute(
                    "INSERT INTO person_vote (session, made_at, blind, tiers) VALUES (?, ?, 1, '[[4],[0],[1]]')",
                    (n + 1, DONE),
                )
            database.close()
            for name, work in parts.items():
                warm[name].append(timed(work))
    seconds = {name: round(statistics.median(found), 3) for name, found in warm.items()}
    every = seconds["standings"] + seconds["worth"]
    return {
        "votes": there, "rounds": rounds, "seconds": seconds, "first_seconds": {n: round(s, 3) for n, s in cold.items()},
        "every_figure_s": round(every, 3), "ratio_to_plain_select": round(every / seconds["plain_select"], 1),
    }  # fmt: skip


def timed(work: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def report(found: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [
        "| figure | first in a process | again after each of {rounds} more votes |".format(**found),
        "|---|---|---|",
    ]
    for name, seconds in found["seconds"].items():
        lines.append(f"| {name.replace('_', ' ')} | {found['first_seconds'][name]:.2f} s | {seconds:.2f} s |")
    return "\n".join(
        [
            *lines, "",
            f"{found['votes']:,} votes: every figure in {found['every_figure_s']:.2f} s, {found['ratio_to_plain_select']} times the plain SELECT.",
        ]
    )  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--votes", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = simulate(args.votes)
    print(json.dumps(found, indent=2) if args.json else report(found))
