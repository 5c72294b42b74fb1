"""Simulated sessions against the worth-it meter, looked at after every one: what it says, and how soon.

uv run python benchmarks/simulations_worth.py [--json] [--meters 2000]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from innercouncil.evaluation.worth import ALPHA, FEW, PRACTICAL

UNKNOWN, YES, NO = 0, 1, 2
Counts = npt.NDArray[np.int64]


class World(NamedTuple):
    """Sessions as they are simulated, each by itself."""

    preferred: float
    """Share of the decided ones in which the council's answer is put first."""
    ties: float
    votes: int
    """Sessions a meter takes."""


WORLDS: dict[str, World] = {
    "by lot": World(0.5, 0.0, 400),
    "by lot, half alike": World(0.5, 0.5, 400),
    "preferred in 70%": World(0.7, 0.0, 150),
    "preferred in 70%, half alike": World(0.7, 0.5, 300),
    "preferred in 60%": World(0.6, 0.0, 400),
    "worse: preferred in 30%": World(0.3, 0.0, 150),
    "a little worse: preferred in 45%": World(0.45, 0.0, 400),
    "no difference in 90%": World(0.5, 0.9, 100),
}


def judgements(world: World, meters: int, seed: int) -> tuple[Counts, Counts, Counts]:
    """Wins, losses and ties after each session: (meters, votes) each."""
    drawn = np.random.default_rng(seed).random((meters, world.votes))
    decided = 1 - world.ties
    won, tied = drawn < decided * world.preferred, drawn >= decided
    wins, ties = (np.cumsum(x, axis=1, dtype=np.int64) for x in (won, tied))
    return wins, np.arange(1, world.votes + 1) - wins - ties, ties


def verdicts(wins: Counts, losses: Counts, ties: Counts) -> npt.NDArray[np.int8]:
    """What the meter says after each session, for whole arrays; a test holds it to `innercouncil.evaluation.worth`."""
    decided = wins + losses
    evidence = log_e(wins, losses) >= -np.log(ALPHA)
    ahead = wins > losses
    below = (wins < PRACTICAL * decided) & (log_e(wins, losses, PRACTICAL) >= -np.log(ALPHA))
    alike = (ties >= FEW) & (ties > 3 * decided)
    return np.select([evidence & ahead, evidence | below | alike], [np.int8(YES), np.int8(NO)], np.int8(UNKNOWN))


def log_e(wins: Counts, losses: Counts, rate: float = 0.5) -> npt.NDArray[np.float64]:
    """The e-values of `innercouncil.evaluation.ab_test` for whole arrays."""
    mixture = gammaln(wins + 0.5) + gammaln(losses + 0.5) - gammaln(wins + losses + 1) - np.log(np.pi)
    out: npt.NDArray[np.float64] = mixture - wins * np.log(rate) - losses * np.log(1 - rate)
    return out


def simulate(
    meters: int = 2000, *, fast: bool = False, seed: int = 0, progress: Callable[[int, int], None] = lambda _d, _t: None
) -> list[dict[str, Any]]:
    """A row a world: what the meters say first, whether they ever say yes, and after how many sessions; `fast` for the tests."""
    rows = []
    for n, (name, world) in enumerate(WORLDS.items()):
        said = verdicts(*judgements(world, 300 if fast else meters, 1000 * seed + n))
        spoke = (said != UNKNOWN).any(axis=1)
        at = np.where(spoke, (said != UNKNOWN).argmax(axis=1), world.votes - 1)
        first = said[np.arange(len(said)), at]
        shares = {"yes": float((first == YES).mean()), "no": float((first == NO).mean())}
        rows.append({
            "world": name, "votes": world.votes, "meters": len(said), **shares, "unknown": float((~spoke).mean()),
            "ever_yes": float((said == YES).any(axis=1).mean()),
            "median_votes": float(np.median(at[spoke] + 1)) if spoke.any() else None,
        })  # fmt: skip
        progress(n + 1, len(WORLDS))
    return rows


def report(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    lines = [
        "| council's answer is | sessions | says yes first | says no first | not known at the end | ever says yes | median until it speaks |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        shares = " | ".join(f"{r[k]:.1%}" for k in ("yes", "no", "unknown", "ever_yes"))
        median = "–" if r["median_votes"] is None else f"{r['median_votes']:.0f}"
        lines.append(f"| {r['world']} | {r['votes']} | {shares} | {median} |")
    return "\n".join(lines)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--meters", type=int, default=2000, help="meters a world")
    args = parser.parse_args()
    rows = simulate(args.meters)
    print(json.dumps(rows, indent=2) if args.json else report(rows))


if __name__ == "__main__":
    main()
