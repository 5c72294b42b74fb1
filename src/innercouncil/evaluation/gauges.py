"""What moves the judges besides the answers, and when a board should not be believed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

from innercouncil.model.ratings import Covariate, Effect, Gauge, Rating, Unmeasured, Voters

MUCH: Final = 0.05
"""A bias whose whole interval lies further than this from one half makes a board doubtful."""
DOMINANCE: Final = 0.6
"""Share of the judgements of one among three judges or more from which the board is that judge's."""

_MEANINGS: Final[dict[Covariate, str]] = {
    "position": "Of two equally good answers, the one shown first of all wins {share} of the time.",
    "length": "Of two equally good answers, one twice as long wins {share} of the time.",
    "formatting": "Of two equally good answers, one with Markdown on every line wins {share} of the time over plain text.",
    "own": "Of two equally good answers, the judge's own wins {share} of the time.",
}
_NAMES: Final[dict[Covariate, str]] = {
    "position": "the place an answer is shown at", "length": "the length of an answer",
    "formatting": "the formatting of an answer", "own": "whose answer it is",
}  # fmt: skip
GAUGES: Final = tuple(_MEANINGS)
_WHY_NOT: Final[dict[Covariate, str]] = {
    "position": "The votes do not say in which order the answers were shown.",
    "length": "No two answers that were compared differ in length.",
    "formatting": "No two answers that were compared differ in their Markdown.",
    "own": "No judge ever compared its own answer with another's; `innercouncil run-questions --bundled --option own_answers=true` "
    "lets it in.",
}
_WHY_NOT_PERSON: Final[dict[Covariate, str]] = {
    **_WHY_NOT, "position": "Where you saw each answer is not kept.", "own": "None of the answers is yours.",
}  # fmt: skip


def gauges(effects: Sequence[Effect]) -> tuple[Gauge, ...]:
    """The effects as shares. One that could not be measured (nobody judged his own answer, say) has no gauge."""
    by_name = {e.name: e for e in effects}
    return tuple(_gauge(by_name[name]) for name in GAUGES if name in by_name)


def unmeasured(board: Voters, measured: Sequence[Gauge]) -> tuple[Unmeasured, ...]:
    """Of each bias without a gauge, why it has none."""
    why, there = _WHY_NOT_PERSON if board == "person" else _WHY_NOT, {g.name for g in measured}
    return tuple(Unmeasured(name, why[name]) for name in GAUGES if name not in there)


def _gauge(e: Effect) -> Gauge:
    share = chance(e.value)
    return Gauge(
        name=e.name, value=share, low=chance(e.low), high=chance(e.high),
        meaning=_MEANINGS[e.name].format(share=f"{100 * share:.0f}%"),
    )  # fmt: skip


def chance(log_odds: float) -> float:
    """The probability with these log-odds, to four places."""
    return round(1 / (1 + math.exp(-max(-500.0, min(500.0, log_odds)))), 4)


def votes_needed(share: float) -> int:
    """Decided votes on one pair that tell a favourite who wins `share` of them from chance: two-sided 5%, 80% power.

    n = ((1.96 / 2 + 0.8416 √(p (1 - p))) / (p - 1/2))², the one-sample test of a proportion.
    """
    apart = abs(share - 0.5)
    if apart < 1e-6:
        return 10**9
    return math.ceil(((1.959964 / 2 + 0.841621 * math.sqrt(share * (1 - share))) / apart) ** 2)


def doubts(
    ratings: Sequence[Rating], measured: Sequence[Gauge], judges: Counter[str],
    groups: Sequence[Sequence[str]],
) -> tuple[str, ...]:  # fmt: skip
    """Why a board should not be trusted, a sentence each; none where nothing speaks against it."""
    return (*_apart(groups), *_biases(measured), *_dominated(judges), *_undecided(ratings))


def _apart(groups: Sequence[Sequence[str]]) -> list[str]:
    if len(groups) < 2:
        return []
    told = " | ".join(", ".join(g) for g in groups)
    return [f"These groups were never judged against each other, so only places within a group mean something: {told}."]


def _biases(measured: Sequence[Gauge]) -> list[str]:
    return [
        f"The judges go by {_NAMES[g.name]}: {g.meaning[0].lower()}{g.meaning[1:]} The ratings hold it equal, but only as far "
        "as it works alike everywhere."
        for g in measured if g.low > 0.5 + MUCH or g.high < 0.5 - MUCH
    ]  # fmt: skip


def _dominated(judges: Counter[str]) -> list[str]:
    if not judges or "" in judges:
        return []
    judge, votes = judges.most_common(1)[0]
    if len(judges) == 1:
        return [f"Every judgement is by {judge}."]
    share = votes / judges.total()
    if len(judges) > 2 and share > DOMINANCE:
        return [f"{100 * share:.0f}% of the judgements are by {judge}."]
    return []


def _undecided(ratings: Sequence[Rating]) -> list[str]:
    if len(ratings) < 2 or any(r.last < len(ratings) for r in ratings):
        return []
    favourite = chance(ratings[0].strength - ratings[1].strength)
    needed = votes_needed(favourite)
    wanted = f"takes about {needed:,} questions" if needed < 100_000 else "is out of reach"
    return [f"All intervals overlap: no order can be told yet. To tell the first two apart, as they stand, {wanted}."]
