"""What the statistics of the evaluation are worth, on simulated voters, speakers and judges whose truth is known.

    uv run python benchmarks/evaluation.py [--json] [--simulations 1000] [--only ratings,ab,worth,twins,adherence,refresh]

ratings: how often the 95% intervals of strengths and biases hold the truth, over so many simulated boards a world.
ab: how often a winner is named between equal sides when one looks after every vote, and votes until the end.
worth: what the meter says of councils that are better, worse and no different, looked at after every judgement.
twins: how often planted twins are called twins, and speakers that are some distance apart are not.
adherence: how often a persona that keeps to its prompt is said to, and one that fades; which judges are found unusable.
refresh: how long every figure takes after one more vote where there are 100,000.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np

import refresh_votes
import simulations_ab
import simulations_adherence
import simulations_twins
import simulations_worth
from innercouncil.evaluation.gauges import chance
from innercouncil.evaluation.ratings import boards
from simulations_ratings import World, vote

FIRST_SEED = 53_000_000
"""Other seeds than any that the method was tried on."""
WORLDS: dict[str, World] = {
    "4 personas, models, 10 questions": World((0.6, 0.1, -0.2, -0.5), 10),
    "4 personas, models, 30 questions": World((0.6, 0.1, -0.2, -0.5), 30),
    "4 personas, models, 100 questions": World((0.6, 0.1, -0.2, -0.5), 100),
    "6 personas, person, 30 questions": World((1.0, 0.5, 0.2, -0.2, -0.5, -1.0), 30, voters="person"),
    "4 personas, person, pairs with ties, 30 questions": World((0.6, 0.1, -0.2, -0.5), 30, voters="person", tie=-0.5),
    "4 personas, person, pairs with ties, one who nearly always wins, 30 questions": World(
        (2.0, 0.3, -0.6, -1.7), 30, voters="person", tie=-0.5
    ),
    "4 personas, models, biased by place and length, 100 questions": World(
        (0.6, 0.1, -0.2, -0.5), 100, position=0.6, length=0.4
    ),
    "4 personas, models, own answers let in, 60 questions": World((0.6, 0.1, -0.2, -0.5), 60, own=0.8, experiment=True),
}


def drawn(case: tuple[World, int]) -> tuple[list[bool], dict[str, tuple[bool, bool]]]:
    """Of one board: which strengths lie in their interval; for each bias whether it does, and whether one is reported."""
    world, seed = case
    name = "models" if world.voters == "models" else "person"
    found = boards(vote(world, np.random.default_rng(seed)), name)[0]
    true = np.array(world.strengths) - np.mean(world.strengths)
    inside = [bool(r.low <= true[int(r.slug[1:])] <= r.high) for r in found.ratings]
    planted = {"position": world.position, "length": world.length, "formatting": world.formatting, "own": world.own}
    return inside, {g.name: (g.low <= chance(planted[g.name]) <= g.high, g.shown) for g in found.gauges}


class Told:
    """Progress of a part on stderr, where that is a terminal and the part takes longer than two seconds."""

    AFTER = 2.0

    def __init__(self, name: str) -> None:
        self._name, self._began, self._shown = name, time.monotonic(), False

    def __call__(self, done: int, total: int) -> None:
        took = time.monotonic() - self._began
        if sys.stderr.isatty() and took >= self.AFTER:
            self._shown = True
            sys.stderr.write(f"\r{self._name}: {done} of {total}, {took:.0f} s\x1b[K")
            sys.stderr.flush()

    def over(self) -> None:
        """Leave the line to what comes next."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def ratings(simulations: int, progress: Callable[[int, int], None]) -> list[dict[str, Any]]:
    """A row a world."""
    rows = []
    total = simulations * len(WORLDS)
    with ProcessPoolExecutor(2) as pool:
        for n, (name, world) in enumerate(WORLDS.items()):
            cases = [(world, FIRST_SEED * (n + 1) + i) for i in range(simulations)]
            found = []
            for board in pool.map(drawn, cases, chunksize=20):
                found.append(board)
                progress(n * simulations + len(found), total)
            inside = [x for strengths, _ in found for x in strengths]
            biases = sorted({b for _, gauges in found for b in gauges})
            rows.append({
                "world": name, "boards": simulations, "strengths_inside": round(float(np.mean(inside)), 4),
                "biases": {
                    b: {
                        "inside": round(float(np.mean([g[b][0] for _, g in found if b in g])), 4),
                        "reported": round(float(np.mean([g[b][1] for _, g in found if b in g])), 4),
                        "planted": bool(getattr(world, b)),
                    }
                    for b in biases
                },
            })  # fmt: skip
    return rows


def told_ratings(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    lines = ["| world | strengths in their 95% interval | biases in theirs (reported as a bias) |", "|---|---|---|"]
    for r in rows:
        biases = ", ".join(
            f"{name} {b['inside']:.1%} ({b['reported']:.1%}{', planted' if b['planted'] else ''})"
            for name, b in r["biases"].items()
        )
        lines.append(f"| {r['world']} | {r['strengths_inside']:.1%} | {biases} |")
    return "\n".join(lines)


def told_twins(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    return "\n".join([*lines, *("| " + " | ".join(str(r[n]) for n in names) + " |" for r in rows)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--simulations", type=int, default=1000, help="boards and meters a world, pairs of speakers a distance"
    )
    parser.add_argument(
        "--only", default="ratings,ab,worth,twins,adherence,refresh", help="which parts", metavar="PARTS"
    )
    args = parser.parse_args()
    n = args.simulations
    parts: dict[str, tuple[Callable[[Told], Any], Callable[[Any], str]]] = {
        "ratings": (lambda told: ratings(n, told), told_ratings),
        "ab": (lambda told: simulations_ab.simulate(progress=told), simulations_ab.report),
        "worth": (lambda told: simulations_worth.simulate(n, progress=told), simulations_worth.report),
        "adherence": (lambda _told: simulations_adherence.simulate(2 * n), simulations_adherence.report),
        "refresh": (lambda _told: refresh_votes.simulate(), refresh_votes.report),
        "twins": (lambda told: simulations_twins.simulate(min(n, 500), progress=told), told_twins),
    }
    chosen = args.only.split(",")
    if unknown := [name for name in chosen if name not in parts]:
        parser.error(f"{unknown[0]!r} is no part; there are: {', '.join(parts)}")
    found = {}
    for name in chosen:
        told = Told(name)
        found[name] = parts[name][0](told)
        told.over()
    print(
        json.dumps(found, indent=2)
        if args.json
        else "\n\n".join(f"## {n}\n\n{parts[n][1](f)}" for n, f in found.items())
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
