"""Simulated voters against the A/B test: error under continuous peeking, coverage, stopping times.

uv run python benchmarks/simulations_ab.py [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln
from scipy.stats import binomtest

from innercouncil.evaluation.ab_test import WIN_RATES, fixed_votes, stops

ALPHA = 0.05
Counts = npt.NDArray[np.int64]


def votes(rate: float, tests: int, length: int, seed: int) -> Counts:
    """Wins after each vote: (tests, length)."""
    return np.cumsum(np.random.default_rng(seed).random((tests, length)) < rate, axis=1)


def log_e(wins: Counts, rate: float = 0.5) -> npt.NDArray[np.float64]:
    """The e-values of `innercouncil.evaluation.ab_test` for whole arrays; a test holds both to the same numbers."""
    losses = np.arange(1, wins.shape[1] + 1) - wins
    mixture = gammaln(wins + 0.5) + gammaln(losses + 0.5) - gammaln(wins + losses + 1) - np.log(np.pi)
    out: npt.NDArray[np.float64] = mixture - wins * np.log(rate) - losses * np.log(1 - rate)
    return out


def error_under_peeking(tests: int = 5000, length: int = 1000, seed: int = 0) -> dict[str, float]:
    """Share of tests of equal sides that ever name a winner, looked at after each vote; and the ordinary test's."""
    wins = votes(0.5, tests, length, seed)
    edge = np.array([_significant_at(n) for n in range(1, length + 1)])
    losses = np.arange(1, length + 1) - wins
    naive = (np.maximum(wins, losses) >= edge).any(axis=1).mean()
    safe = (log_e(wins) >= -np.log(ALPHA)).any(axis=1).mean()
    return {"e_value": float(safe), "ordinary_test": float(naive), "tests": tests, "votes": length}


def _significant_at(n: int) -> int:
    """Fewest wins of n that the exact two-sided binomial test calls significant; n + 1 where none are enough."""
    low, high = (n + 1) // 2, n + 1
    while low < high:
        middle = (low + high) // 2
        if binomtest(middle, n).pvalue <= ALPHA:
            high = middle
        else:
            low = middle + 1
    return low


def coverage(
    tests: int = 2000, length: int = 1000, seed: int = 1, progress: Callable[[int, int], None] = lambda _d, _t: None
) -> dict[str, float]:
    """Share of tests whose confidence sequence held the true win rate at every single look, for each rate."""
    out = {}
    rates = (0.5, *WIN_RATES, 0.9)
    for n, rate in enumerate(rates):
        progress(n, len(rates))
        held = (log_e(votes(rate, tests, length, seed), rate) < -np.log(ALPHA)).all(axis=1)
        out[f"{rate:.2f}"] = float(held.mean())
    return out


def stopping_times(
    tests: int = 2000, length: int = 3000, seed: int = 2, progress: Callable[[int, int], None] = lambda _d, _t: None
) -> list[dict[str, float]]:
    """Votes until the right side is named: simulated, computed, and what an ordinary test of fixed length takes."""
    out = []
    for n, rate in enumerate(WIN_RATES):
        progress(n, len(WIN_RATES))
        wins = votes(rate, tests, length, seed)
        crossed = log_e(wins) >= -np.log(ALPHA)
        at = np.where(crossed.any(axis=1), crossed.argmax(axis=1) + 1, length + 1)
        right = [bool(2 * wins[i, n - 1] > n) for i, n in enumerate(at) if n <= length]
        exact = stops(rate, ALPHA)
        out.append({
            "win_rate": rate, "median": statistics.median(map(int, at)), "most_80": float(np.quantile(at, 0.8)),
            "computed_median": exact.quantile(0.5) or 0, "computed_80": exact.quantile(0.8) or 0,
            "fixed": fixed_votes(rate), "wrong_side": right.count(False) / tests,
        })  # fmt: skip
    return out


def simulate(*, fast: bool = False, progress: Callable[[int, int], None] = lambda _d, _t: None) -> dict[str, Any]:
    """All of it; `fast` for the tests. `progress` counts the win rates of all three."""
    total = 1 + 2 + len(WIN_RATES) + len(WIN_RATES)
    if fast:
        return {
            "peeking": error_under_peeking(2000, 300), "coverage": coverage(500, 300), "stopping": stopping_times(400, 2500),
        }  # fmt: skip
    peeking = error_under_peeking()
    held = coverage(progress=lambda done, _: progress(1 + done, total))
    stopping = stopping_times(progress=lambda done, _: progress(total - len(WIN_RATES) + done, total))
    return {"peeking": peeking, "coverage": held, "stopping": stopping}


def report(found: dict[str, Any]) -> str:
    """The figures as Markdown."""
    peeking = found["peeking"]
    lines = [
        f"Equal sides, looked at after each of {peeking['votes']} votes, {peeking['tests']} tests: a winner is named in "
        f"{peeking['e_value']:.1%} (e-value) and {peeking['ordinary_test']:.1%} (ordinary test at 5%).",
        "",
        "| win rate | confidence sequence held it at every look |", "|---|---|",
        *(f"| {rate} | {share:.1%} |" for rate, share in found["coverage"].items()),
        "",
        "| win rate | median votes | 80% by | computed | looked at once | wrong side |", "|---|---|---|---|---|---|",
        *(
            f"| {r['win_rate']:.0%} | {r['median']:.0f} | {r['most_80']:.0f} | {r['computed_median']}, {r['computed_80']} | "
            f"{r['fixed']} | {r['wrong_side']:.2%} |"
            for r in found["stopping"]
        ),
    ]  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    found = simulate()
    print(json.dumps(found, indent=2) if parser.parse_args().json else report(found))


if __name__ == "__main__":
    main()
