"""From judgements to comparisons of two: what every rating is fitted to, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, Final, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from innercouncil.model.ratings import Covariate, Judgement

COVARIATES: Final[tuple[Covariate, ...]] = get_args(Covariate)

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Comparisons(NamedTuple):
    """n comparisons of two competitors out of m judgements, sorted by question."""

    slugs: tuple[str, ...]
    questions: int
    question: Ints
    """(n,) 0, 1, 2 …"""
    one: Ints
    """(n,) place in `slugs`."""
    other: Ints
    outcome: npt.NDArray[np.int8]
    """(n,) 1 where `one` was put before `other`, 0 where they were tied, -1 otherwise."""
    weight: Floats
    """(n,) 2 / competitors, so that a whole ranking of c weighs c - 1, as much as it says."""
    covariates: Floats
    """(n, len(COVARIATES)) of `one` less those of `other`: doublings of length, share of marked lines, being shown
    first, being the judge's own."""
    judged: Ints
    """(m,) question of each judgement."""
    judges: tuple[str, ...]
    """(m,) who judged."""
    topics: tuple[str, ...]
    """Topic of each question."""

    def about(self, topic: str) -> Comparisons:
        """Only the questions of one topic."""
        wanted = np.array([t == topic for t in self.topics], dtype=bool)
        number = np.cumsum(wanted) - 1
        rows, votes = wanted[self.question], wanted[self.judged]
        present = np.unique(np.concatenate([self.one[rows], self.other[rows]]))
        return Comparisons(
            tuple(self.slugs[n] for n in present), int(wanted.sum()), number[self.question[rows]],
            np.searchsorted(present, self.one[rows]), np.searchsorted(present, self.other[rows]), self.outcome[rows],
            self.weight[rows], self.covariates[rows], number[self.judged[votes]],
            tuple(j for j, of in zip(self.judges, votes.tolist(), strict=True) if of), (topic,) * int(wanted.sum()),
        )  # fmt: skip


Ranking = tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]
"""Tiers, and the order shown."""


class _Pairs(NamedTuple):
    """What each of some rankings says of any two of its competitors, ranking after ranking."""

    counts: Ints
    """(rankings,)"""
    one: Ints
    other: Ints
    outcome: npt.NDArray[np.int8]
    weight: Floats
    first: npt.NDArray[np.int8]
    """1 where `one` was shown first of all, -1 where `other` was."""


def compare(judgements: Sequence[Judgement]) -> Comparisons:
    """All comparisons in the judgements. Two that a judge left unranked are not compared: he said nothing of them.

    Under Plackett-Luce the comparisons that such a ballot does hold are those of Bradley-Terry, because the first of two
    to be picked is picked with the odds of their strengths whatever else is on the ballot (Luce 1959).
    """
    questions: dict[str, Judgement] = {}
    rankings: dict[Ranking, int] = {}  # far fewer than votes: what one says is worked out once
    for j in (judgements := [j for j in judgements if _compares(j)]):
        questions.setdefault(j.question, j)
        rankings.setdefault((j.tiers, j.shown), len(rankings))
    number = {q: n for n, q in enumerate(questions)}
    judgements.sort(key=lambda j: number[j.question])
    judged = np.array([number[j.question] for j in judgements], dtype=np.int64)
    slugs = tuple(sorted({s for r in rankings for s in _order(*r)}))
    codes = {s: n for n, s in enumerate(slugs)}
    pairs = _pairs(list(rankings), codes)
    which = np.array([rankings[j.tiers, j.shown] for j in judgements], dtype=np.int64)
    counts = pairs.counts[which]
    starts = (np.cumsum(pairs.counts) - pairs.counts)[which]
    rows = np.arange(counts.sum()) + np.repeat(starts - (np.cumsum(counts) - counts), counts)
    question, one, other = np.repeat(judged, counts), pairs.one[rows], pairs.other[rows]
    judge = np.repeat(np.array([codes.get(j.judge, -1) for j in judgements], dtype=np.int64), counts)
    styles = [style[question, one] - style[question, other] for style in _styles(list(questions.values()), codes)]
    own = (judge == one).astype(np.int8) - (judge == other)
    return Comparisons(
        slugs, len(questions), question, one, other, pairs.outcome[rows], pairs.weight[rows],
        np.column_stack([*styles, pairs.first[rows], own]).astype(np.float64), judged,
        tuple([j.judge for j in judgements]), tuple([j.topic for j in questions.values()]),
    )  # fmt: skip


def _compares(j: Judgement) -> bool:
    return len(j.shown) > 1 or (not j.shown and (len(j.tiers) > 1 or len(j.tiers[0]) > 1))


def _order(tiers: tuple[tuple[str, ...], ...], shown: tuple[str, ...]) -> tuple[str, ...]:
    return shown or tuple(chain.from_iterable(tiers))


def _pairs(rankings: Sequence[Ranking], codes: dict[str, int]) -> _Pairs:
    orders = [_order(*r) for r in rankings]
    sizes = np.array([len(o) for o in orders], dtype=np.int64)
    starts = np.cumsum(sizes) - sizes
    slug = np.array([codes[s] for o in orders for s in o], dtype=np.int64)
    tier = _tiers([tiers for tiers, _ in rankings], codes, np.repeat(np.arange(len(sizes)), sizes), slug)
    first = np.zeros(len(slug), dtype=np.int8)
    first[starts[[bool(shown) for _, shown in rankings]]] = 1
    # All rankings of a size at once.
    parts = [_pairs_of_size(np.flatnonzero(sizes == size), starts, tier, int(size)) for size in np.unique(sizes)]
    of, a, b, outcome, weight = (np.concatenate(column) for column in zip(*parts or [_NO_PAIRS], strict=True))
    order = np.argsort(of, kind="stable")
    a, b = a[order], b[order]
    return _Pairs(
        np.bincount(of, minlength=len(rankings)), slug[a], slug[b], outcome[order], weight[order], first[a] - first[b]
    )


_NO_PAIRS: Final[tuple[npt.NDArray[Any], ...]] = (
    *[np.zeros(0, dtype=np.int64)] * 3,
    np.zeros(0, dtype=np.int8),
    np.zeros(0),
)


def _tiers(tiers: Sequence[tuple[tuple[str, ...], ...]], codes: dict[str, int], ranking: Ints, slug: Ints) -> Ints:
    """The tier of each entry, -1 where it was left unranked, found by looking its (ranking, slug) up among the ranked ones."""
    ranked = np.array([codes[s] for told in tiers for t in told for s in t], dtype=np.int64)
    tier = np.array([n for told in tiers for n, t in enumerate(told) for _ in t], dtype=np.int64)
    counts = [sum(map(len, told)) for told in tiers]
    key = np.repeat(np.arange(len(counts)), counts) * len(codes) + ranked
    out = np.full(len(codes) * max(len(counts), 1), -1, dtype=np.int64)
    out[key] = tier
    return np.asarray(out[ranking * len(codes) + slug])


def _styles(questions: Sequence[Judgement], codes: dict[str, int]) -> tuple[Floats, Floats]:
    """(questions, competitors) doublings of length, and share of marked lines."""
    shape = len(questions), len(codes)
    length = np.array([j.length.get(s, 1.0) for j in questions for s in codes], dtype=np.float64).reshape(shape)
    formatting = np.array([j.formatting.get(s, 0.0) for j in questions for s in codes], dtype=np.float64).reshape(shape)
    return np.log2(np.maximum(length, 1.0)), formatting


def _pairs_of_size(rankings: Ints, starts: Ints, tier: Ints, size: int) -> tuple[npt.NDArray[Any], ...]:
    """All pairs of these rankings of `size` competitors: (ranking, entry, entry, outcome, weight)."""
    left, right = np.triu_indices(size, 1)
    a, b = (starts[rankings][:, None] + left).ravel(), (starts[rankings][:, None] + right).ravel()
    of, ta, tb = np.repeat(rankings, len(left)), tier[a], tier[b]
    said = (ta >= 0) | (tb >= 0)
    last = np.iinfo(np.int64).max
    outcome = np.sign(np.where(tb < 0, last, tb) - np.where(ta < 0, last, ta)).astype(np.int8)
    return of[said], a[said], b[said], outcome[said], np.full(int(said.sum()), 2 / size)
