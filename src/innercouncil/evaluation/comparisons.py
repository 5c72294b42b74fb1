"""From judgements to comparisons of two: what every rating is fitted to, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Final, NamedTuple, get_args

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


class _Entries(NamedTuple):
    """What stands on the ballots, ballot after ballot in the order shown."""

    slug: Ints
    tier: Ints
    """-1: left unranked."""
    covariates: Floats


def compare(judgements: Sequence[Judgement]) -> Comparisons:
    """All comparisons in the judgements. Two that a judge left unranked are not compared: he said nothing of them.

    Under Plackett-Luce the comparisons that such a ballot does hold are those of Bradley-Terry, because the first of two
    to be picked is picked with the odds of their strengths whatever else is on the ballot (Luce 1959).
    """
    judgements = [j for j in judgements if len(_order(j)) > 1]
    slugs = tuple(sorted({*chain.from_iterable(map(_order, judgements))}))
    questions: dict[str, Judgement] = {}
    for j in judgements:
        questions.setdefault(j.question, j)
    number = {q: n for n, q in enumerate(questions)}
    judged = np.array([number[j.question] for j in judgements], dtype=np.int64)
    sizes = np.array([len(_order(j)) for j in judgements], dtype=np.int64)
    entries = _entries(judgements, slugs, list(questions.values()), judged, sizes)
    starts = np.cumsum(sizes) - sizes
    # All ballots of a size at once: no loop over votes.
    parts = [_pairs(entries, starts[sizes == size], judged[sizes == size], int(size)) for size in np.unique(sizes)]
    if not parts:
        parts = [_pairs(entries, starts, judged, 2)]
    question, one, other, outcome, weight, covariates = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(question, kind="stable")
    return Comparisons(
        slugs, len(questions), question[order], one[order], other[order], outcome[order], weight[order],
        covariates[order], judged, tuple(j.judge for j in judgements), tuple(j.topic for j in questions.values()),
    )  # fmt: skip


def _order(j: Judgement) -> tuple[str, ...]:
    return j.shown or tuple(chain.from_iterable(j.tiers))


def _entries(
    judgements: Sequence[Judgement], slugs: Sequence[str], questions: Sequence[Judgement], judged: Ints, sizes: Ints
) -> _Entries:
    codes = {s: n for n, s in enumerate(slugs)}
    slug = np.array([codes[s] for j in judgements for s in _order(j)], dtype=np.int64)
    ballot = np.repeat(np.arange(len(sizes)), sizes)
    first = np.zeros(len(slug), dtype=bool)
    first[(np.cumsum(sizes) - sizes)[[bool(j.shown) for j in judgements]]] = True
    judge = np.array([codes.get(j.judge, -1) for j in judgements], dtype=np.int64)
    length, formatting = _styles(questions, codes)
    of = judged[ballot] if len(ballot) else ballot
    covariates = np.column_stack([length[of, slug], formatting[of, slug], first, judge[ballot] == slug])
    return _Entries(slug, _tiers(judgements, codes, ballot, slug), covariates.astype(np.float64))


def _tiers(judgements: Sequence[Judgement], codes: dict[str, int], ballot: Ints, slug: Ints) -> Ints:
    """The tier of each entry, found by looking its (ballot, slug) up among the ranked ones."""
    ranked = np.array([codes[s] for j in judgements for t in j.tiers for s in t], dtype=np.int64)
    tier = np.array([n for j in judgements for n, t in enumerate(j.tiers) for _ in t], dtype=np.int64)
    counts = [sum(map(len, j.tiers)) for j in judgements]
    key = np.repeat(np.arange(len(counts)), counts) * len(codes) + ranked
    out = np.full(len(codes) * max(len(counts), 1), -1, dtype=np.int64)
    out[key] = tier
    return np.asarray(out[ballot * len(codes) + slug])


def _styles(questions: Sequence[Judgement], codes: dict[str, int]) -> tuple[Floats, Floats]:
    """(questions, competitors) doublings of length, and share of marked lines."""
    length, formatting = np.ones((len(questions), len(codes))), np.zeros((len(questions), len(codes)))
    for n, j in enumerate(questions):
        for s, chars in j.length.items():
            if s in codes:
                length[n, codes[s]] = chars
        for s, share in j.formatting.items():
            if s in codes:
                formatting[n, codes[s]] = share
    return np.log2(np.maximum(length, 1.0)), formatting


def _pairs(entries: _Entries, starts: Ints, question: Ints, size: int) -> tuple[npt.NDArray[np.generic], ...]:
    """All pairs of the ballots of `size` competitors that begin at `starts`."""
    left, right = np.triu_indices(size, 1)
    a, b = (starts[:, None] + left).ravel(), (starts[:, None] + right).ravel()
    question = np.repeat(question, len(left))
    ta, tb = entries.tier[a], entries.tier[b]
    said = (ta >= 0) | (tb >= 0)
    if not said.all():
        a, b, ta, tb, question = a[said], b[said], ta[said], tb[said], question[said]
    last = np.iinfo(np.int64).max
    outcome = np.sign(np.where(tb < 0, last, tb) - np.where(ta < 0, last, ta)).astype(np.int8)
    return (
        question, entries.slug[a], entries.slug[b], outcome, np.full(len(a), 2 / size),
        entries.covariates[a] - entries.covariates[b],
    )  # fmt: skip
