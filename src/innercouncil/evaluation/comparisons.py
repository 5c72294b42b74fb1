"""From judgements to comparisons of two: what every rating is fitted to, as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from innercouncil.model.ratings import Covariate, Judgement

COVARIATES: Final[tuple[Covariate, ...]] = get_args(Covariate)

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Comparisons(NamedTuple):
    """n comparisons of two competitors, sorted by question."""

    slugs: tuple[str, ...]
    questions: int
    judgements: int
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


class _Flat(NamedTuple):
    """Entries of all judgements end to end, in the order of the tiers."""

    slug: Ints
    tier: Ints
    covariates: Floats


def compare(judgements: Sequence[Judgement]) -> Comparisons:
    """All comparisons in the judgements. Two that a judge left unranked are not compared: he said nothing of them.

    Under Plackett-Luce the comparisons that such a ballot does hold are those of Bradley-Terry, because the first of two
    to be picked is picked with the odds of their strengths whatever else is on the ballot (Luce 1959).
    """
    slugs = tuple(sorted({s for j in judgements for s in (j.shown or chain.from_iterable(j.tiers))}))
    names, of_judgement = np.unique(np.array([j.question for j in judgements], dtype=str), return_inverse=True)
    sizes = np.array([len(_order(j)) for j in judgements], dtype=np.int64)
    flat = _flat(judgements, {s: n for n, s in enumerate(slugs)})
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]) if len(sizes) else sizes
    parts = [_pairs(flat, starts[at], of_judgement[at], int(size)) for size in np.unique(sizes) if size > 1
             for at in [np.flatnonzero(sizes == size)]]  # fmt: skip
    if not parts:
        none = np.zeros(0, dtype=np.int64)
        return Comparisons(slugs, len(names), len(judgements), none, none, none, none.astype(np.int8), none.astype(np.float64),
                           np.zeros((0, len(COVARIATES))))  # fmt: skip
    question, one, other, outcome, weight, covariates = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(question, kind="stable")
    return Comparisons(
        slugs, len(names), len(judgements), question[order], one[order], other[order], outcome[order], weight[order],
        covariates[order],
    )  # fmt: skip


def _order(j: Judgement) -> Iterable[str]:
    return j.shown or [s for t in j.tiers for s in t]


def _flat(judgements: Sequence[Judgement], codes: dict[str, int]) -> _Flat:
    slug: list[int] = []
    tier: list[int] = []
    rows: list[tuple[float, float, bool, bool]] = []
    for j in judgements:
        places = {s: n for n, t in enumerate(j.tiers) for s in t}
        length, formatting, first = j.length, j.formatting, j.shown[0] if j.shown else None
        for s in j.shown or places:
            slug.append(codes[s])
            tier.append(places.get(s, -1))
            rows.append((length.get(s, 0.0), formatting.get(s, 0.0), s == first, s == j.judge))
    covariates = np.array(rows, dtype=np.float64).reshape(len(rows), len(COVARIATES))
    covariates[:, 0] = np.log2(np.maximum(covariates[:, 0], 1.0))
    return _Flat(np.array(slug, dtype=np.int64), np.array(tier, dtype=np.int64), covariates)


def _pairs(flat: _Flat, starts: Ints, question: Ints, size: int) -> tuple[npt.NDArray[np.generic], ...]:
    """All pairs of the judgements of `size` competitors that begin at `starts`."""
    left, right = np.triu_indices(size, 1)
    a, b = (starts[:, None] + left).ravel(), (starts[:, None] + right).ravel()
    ta, tb = flat.tier[a], flat.tier[b]
    said = (ta >= 0) | (tb >= 0)
    a, b, ta, tb = a[said], b[said], ta[said], tb[said]
    last = np.iinfo(np.int64).max
    outcome = np.sign(np.where(tb < 0, last, tb) - np.where(ta < 0, last, ta)).astype(np.int8)
    return (
        np.repeat(question, len(left))[said], flat.slug[a], flat.slug[b], outcome, np.full(len(a), 2 / size),
        flat.covariates[a] - flat.covariates[b],
    )  # fmt: skip
