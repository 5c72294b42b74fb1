"""A board: who is put before whom, by whom, with intervals, and whether it can be trusted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

from innercouncil.evaluation.comparisons import COVARIATES, Comparisons, compare
from innercouncil.evaluation.gauges import chance, doubts, gauges, unmeasured
from innercouncil.evaluation.paired import Fit, fit, guess, questions_of
from innercouncil.model.ratings import Board, Effect, Judgement, Rating, Voters

MIN_QUESTIONS: Final = 10
"""Below this nothing is drawn; from here on the intervals were seen to hold what they promise (docs/evaluation.md)."""


def boards(judgements: Sequence[Judgement], name: Voters) -> tuple[Board, ...]:
    """The board of all judgements by one kind of voter, then one for each topic, most questions first."""
    c = compare([j for j in judgements if j.board == name])
    topics = Counter(t for t in c.topics if t)
    found = fit(c) if c.questions >= MIN_QUESTIONS else None
    near = found and guess(c, found)
    parts = [(t, c.about(t)) for t, _ in sorted(topics.items(), key=lambda kv: (-kv[1], kv[0]))]
    return (
        rate(c, name, found),
        *(rate(part, name, fit(part, near) if part.questions >= MIN_QUESTIONS else None, t) for t, part in parts),
    )


def rate(c: Comparisons, name: Voters, found: Fit | None, topic: str = "") -> Board:
    """The board of these comparisons; of too few there is no fit."""
    if found is None:
        missing = MIN_QUESTIONS - c.questions
        return Board(name=name, topic=topic, questions=c.questions, judgements=len(c.judges), missing=missing)
    ratings = _ratings(c, found)
    effects = _effects(found, len(c.slugs))
    measured = gauges(effects)
    warnings = doubts(ratings, measured, Counter(c.judges), groups(c))
    return Board(
        name=name, topic=topic, ratings=ratings, questions=c.questions, judgements=len(c.judges), effects=effects,
        gauges=measured, unmeasured=unmeasured(name, measured), warnings=warnings, trusted=not warnings,
    )  # fmt: skip


def groups(c: Comparisons) -> list[list[str]]:
    """Competitors that are linked by comparisons, largest group first; more than one cannot be put in one order."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    k = len(c.slugs)
    _, label = connected_components(coo_array((np.ones(len(c.one)), (c.one, c.other)), shape=(k, k)), directed=False)
    out = [[s for s, of in zip(c.slugs, label, strict=True) if of == n] for n in np.unique(label)]
    return sorted(out, key=lambda g: (-len(g), g))


def _ratings(c: Comparisons, found: Fit) -> tuple[Rating, ...]:
    k = len(c.slugs)
    strength, half = found.values[:k], found.half_widths[:k]
    low, high = strength - half, strength + half
    wins, ties, losses = (_count(c, sign) for sign in (1, 0, -1))
    questions = questions_of(np.tile(c.question, 2), np.concatenate([c.one, c.other]), k)
    return tuple(
        Rating(
            slug=c.slugs[n], strength=round(float(strength[n]), 4), low=round(float(low[n]), 4), high=round(float(high[n]), 4),
            win_rate=chance(strength[n]), win_low=chance(low[n]), win_high=chance(high[n]),
            wins=int(wins[n]), ties=int(ties[n]), losses=int(losses[n]),
            questions=int(questions[n]),
            first=1 + int((low > high[n]).sum()), last=k - int((high < low[n]).sum()),
        )
        for n in sorted(range(k), key=lambda n: (-strength[n], c.slugs[n]))
    )  # fmt: skip


def _count(c: Comparisons, sign: int) -> np.ndarray:
    k = len(c.slugs)
    return np.bincount(c.one[c.outcome == sign], minlength=k) + np.bincount(c.other[c.outcome == -sign], minlength=k)


def _effects(found: Fit, competitors: int) -> tuple[Effect, ...]:
    values, half = found.values[competitors:], found.half_widths[competitors:]
    return tuple(
        Effect(COVARIATES[at], round(float(v), 4), round(float(v - h), 4), round(float(v + h), 4))
        for at, v, h in zip(found.effects, values, half, strict=True)
    )
