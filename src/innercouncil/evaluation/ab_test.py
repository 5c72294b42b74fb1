"""The statistics of an A/B test that may be looked at after every vote.

Votes are tested against "both sides win equally often" with an e-value: the likelihood of the votes under a Jeffreys
mixture, Beta(1/2, 1/2), over that under one half. Under one half it is a martingale, so by Ville's inequality it ever
reaches 1/alpha with probability alpha at most, whenever and however often one looks (Ramdas, Grünwald, Vovk, Shafer,
"Game-theoretic statistics and safe anytime-valid inference", Statistical Science 2023). The same ratio against any other
win rate, inverted, gives a confidence sequence.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from functools import lru_cache
from math import ceil, exp, lgamma, log, sqrt
from typing import Final, NamedTuple

import numpy as np

from innercouncil.model.ab import AbOptions, Cost, Need, Outcome, SideAnswer, SideName, State, Trial, Verdict

WIN_RATES: Final = (0.55, 0.60, 0.65, 0.70, 0.75)
HORIZON: Final = 3000
"""Votes up to which power is computed."""
_LEAD: Final = 0.65
_LOG_PI: Final = log(3.141592653589793)
"""log Beta(1/2, 1/2)."""


def log_e_value(wins: int, losses: int, rate: float = 0.5) -> float:
    """Logarithm of the e-value against a true win rate of `rate`, strictly between 0 and 1."""
    mixture = lgamma(wins + 0.5) + lgamma(losses + 0.5) - lgamma(wins + losses + 1) - _LOG_PI
    return mixture - wins * log(rate) - losses * log(1 - rate)


def e_value(wins: int, losses: int) -> float:
    """Evidence against "both win equally often": 1 with no votes, 20 is enough at alpha = 5%."""
    return exp(min(log_e_value(wins, losses), 700.0))


def confidence_sequence(wins: int, losses: int, alpha: float) -> tuple[float, float]:
    """Win rates the votes do not rule out: all of them, at every look together, hold the true one with 1 - alpha."""
    if wins + losses == 0:
        return 0.0, 1.0
    best = wins / (wins + losses)
    return _edge(wins, losses, alpha, best, 0.0), _edge(wins, losses, alpha, best, 1.0)


def _edge(wins: int, losses: int, alpha: float, inside: float, outside: float) -> float:
    """Where the e-value against a win rate reaches 1/alpha, by bisection: it only grows away from the observed rate."""
    if inside == outside:
        return outside
    for _ in range(50):
        middle = (inside + outside) / 2
        if log_e_value(wins, losses, middle) < -log(alpha):
            inside = middle
        else:
            outside = middle
    return outside


def judge(outcomes: Sequence[Outcome], options: AbOptions) -> Verdict:
    """What the votes so far say. The first crossing of 1/alpha stands; ties are counted and left out."""
    wins = losses = 0
    state: State = "open"
    path = []
    for outcome in outcomes:
        if outcome == "tie":
            continue
        wins, losses = wins + (outcome == "b"), losses + (outcome == "a")
        path.append(e_value(wins, losses))
        if state == "open":
            state = _state(wins, losses, options)
    low, high = confidence_sequence(wins, losses, options.alpha)
    return Verdict(
        state=state, a_wins=losses, b_wins=wins, ties=len(outcomes) - wins - losses, e_value=e_value(wins, losses),
        low=low, high=high, more=votes_to_go(wins, losses, options.alpha) if state == "open" else None, path=tuple(path),
    )  # fmt: skip


def _state(wins: int, losses: int, options: AbOptions) -> State:
    if log_e_value(wins, losses) >= -log(options.alpha):
        return "b" if wins > losses else "a"
    low, high = confidence_sequence(wins, losses, options.alpha)
    if low >= 0.5 - options.equal and high <= 0.5 + options.equal:
        return "equal"
    return "given_up" if wins + losses >= options.max_votes else "open"


def order(number: int, seed: int) -> SideName:
    """The side shown first in trial `number` (1, 2 …): in each block of two trials every side is first once."""
    block, place = divmod(number - 1, 2)
    sides: list[SideName] = ["a", "b"]
    random.Random(f"{seed}:{block}").shuffle(sides)  # noqa: S311 - an order, not a secret
    return sides[place]


# --- power ---


class Stops(NamedTuple):
    """When tests stop with the right winner: share of all tests by the number of votes."""

    share: tuple[float, ...]
    """Cumulated; index n is after n more votes."""

    def quantile(self, share: float) -> int | None:
        """Votes after which this share of tests has stopped, None where the horizon comes first."""
        return next((n for n, s in enumerate(self.share) if s >= share), None)


@lru_cache(maxsize=64)
def stops(rate: float, alpha: float, horizon: int = HORIZON, wins: int = 0, losses: int = 0) -> Stops:
    """Exact distribution of the stopping time for a true win rate, by going through all counts that are still open."""
    alive = np.array([1.0])  # alive[i]: chance of being open with wins + i wins after n votes
    total, share = 0.0, [0.0]
    bound = max(wins, losses)
    for n in range(1, horizon + 1):
        grown = np.zeros(n + 1)
        grown[:-1] = alive * (1 - rate)
        grown[1:] += alive * rate
        votes = wins + losses + n
        bound = _bound(votes, bound, alpha)
        upper, lower = bound - wins, votes - bound - wins  # offsets: stop at wins >= bound, or losses >= bound
        if upper <= n:
            total += float(grown[max(upper, 0) :].sum())
            grown[max(upper, 0) :] = 0
        if lower >= 0:
            grown[: lower + 1] = 0
        share.append(total)
        alive = grown
    return Stops(tuple(share))


def _bound(votes: int, start: int, alpha: float) -> int:
    """Fewest wins out of `votes` that are enough, votes + 1 where not even all are; it never falls as votes grow."""
    bound = max(start, (votes + 1) // 2)
    while bound <= votes and log_e_value(bound, votes - bound) < -log(alpha):
        bound += 1
    return bound


def votes_to_go(wins: int, losses: int, alpha: float, rate: float = _LEAD) -> int | None:
    """Median votes still needed if the side in front truly wins `rate` of them; None beyond the horizon."""
    ahead, behind = max(wins, losses), min(wins, losses)
    return stops(rate, alpha, 1000, ahead, behind).quantile(0.5)


def power_table(options: AbOptions) -> list[Need]:
    """How many votes it takes for which difference, to be shown before the first one."""
    return [_need(rate, options) for rate in WIN_RATES]


def _need(rate: float, options: AbOptions) -> Need:
    found = stops(rate, options.alpha)
    return Need(
        win_rate=rate, median=found.quantile(0.5), most=found.quantile(0.8), fixed=fixed_votes(rate, options.alpha),
        within=found.share[min(options.max_votes, HORIZON)],
    )  # fmt: skip


def fixed_votes(rate: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Votes of the two-sided binomial test that is looked at once (normal approximation)."""
    normal = statistics.NormalDist()
    spread = normal.inv_cdf(1 - alpha / 2) * 0.5 + normal.inv_cdf(power) * sqrt(rate * (1 - rate))
    return ceil((spread / (rate - 0.5)) ** 2)


# --- cost ---


def costs(trials: Sequence[Trial]) -> tuple[Cost, Cost]:
    """Medians of what the sides' answers cost, A's and B's."""
    return _cost([t.a for t in trials]), _cost([t.b for t in trials])


def _cost(answers: Sequence[SideAnswer]) -> Cost:
    def median(name: str) -> int | None:
        known = [v for a in answers if (v := getattr(a, name)) is not None]
        return round(statistics.median(known)) if known else None

    return Cost(**{name: median(name) for name in Cost.__struct_fields__})
