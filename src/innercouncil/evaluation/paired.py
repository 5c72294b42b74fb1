"""The fit behind every rating: Bradley-Terry with ties and style, and intervals that take questions for the units.

Model. `one` is put before `other` with log-odds d = s(one) - s(other) + covariates · effects (Bradley & Terry 1952,
Biometrika 39; the covariates are LMArena's "style control"). Ties follow Davidson (1970, JASA 65): their odds against the
geometric mean of the two wins are one more parameter, and the strengths stay what they are among the decided pairs.

Intervals. Votes on one question are dependent, so questions are what is drawn again (a bootstrap by question). The
bootstrap is taken in its one-step form, whose limit over infinitely many resamples is the cluster-robust covariance; each
question's pull is corrected for its share in the fit (between CR2 and CR3, the jackknife; Bell & McCaffrey 2002, Survey
Methodology 28) and quantiles are Student's, because resampling few questions as they are gives intervals that are too short.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from innercouncil.evaluation.comparisons import COVARIATES, Comparisons, Floats, Ints

PRIOR_SD: Final = 3.0
"""Log-odds. A priori nearly all strengths and effects lie within ± 6: it says next to nothing, but a competitor that won
every comparison gets a finite strength."""
LEVERAGE_QUESTIONS: Final = 300
"""From here on leaving a question out changes nothing that could be seen."""
LEVERAGE_POWER: Final = 0.75
"""Of the correction for a question's pull on its own fit: 1/2 is CR2, right where votes vary alike, 1 is CR3, the jackknife,
too wide in small samples. In between the intervals held what they promise in every simulated world."""
LEVEL: Final = 0.95
_STEPS: Final = 25
_SAMPLE: Final = 2000
"""Questions of a first fit where there are many, so that the whole data are gone through twice only."""


class Fit(NamedTuple):
    """Estimates and their covariance: strengths of the k competitors (summing to 0), then the effects."""

    values: Floats
    covariance: Floats
    effects: tuple[int, ...]
    """Places in COVARIATES of those that differ between competitors at all."""
    tie: float | None
    """Log-odds of a tie between equals, None where there was none."""
    quantile: float
    """Standard errors to each side of an estimate."""

    @property
    def half_widths(self) -> Floats:
        """Half the 95% interval of each estimate."""
        return np.asarray(self.quantile * np.sqrt(np.diag(self.covariance)))


class Guess(NamedTuple):
    """A place to begin at; the likelihood has one summit, so it changes the number of steps and not where they lead."""

    strengths: dict[str, float]
    effects: dict[int, float]
    """By place in COVARIATES."""
    tie: float


def fit(c: Comparisons, near: Guess | None = None) -> Fit:
    """Fit the model by Newton's method, from `near` if that is given. Takes two competitors and a few questions at least."""
    design = _Design.of(c)
    theta = np.zeros(design.size)
    if near is not None:
        theta = design.start(c.slugs, near)
    elif c.questions > 2 * _SAMPLE:
        theta = _climb(design.sample(_SAMPLE), theta)
    theta = _climb(design, theta)
    k = design.competitors + design.z.shape[1]
    covariance = _covariance(design, theta, c.questions)[:k, :k]
    return Fit(theta[:k], covariance, design.effects, float(theta[k]) if design.ties else None, _quantile(c.questions))


def guess(c: Comparisons, found: Fit) -> Guess:
    """Where to begin with a part of the comparisons: what all of them came to."""
    k = len(c.slugs)
    strengths = dict(zip(c.slugs, found.values[:k].tolist(), strict=True))
    return Guess(strengths, dict(zip(found.effects, found.values[k:].tolist(), strict=True)), found.tie or 0.0)


def _climb(design: _Design, theta: Floats) -> Floats:
    prior = np.eye(design.size) / PRIOR_SD**2
    for _ in range(_STEPS):
        gradient, hessian = design.sums(theta)
        step = np.linalg.solve(hessian + prior, gradient - prior @ theta)
        theta = theta + np.clip(step, -2.0, 2.0)
        # Newton's error is squared at each step: what is left is far below anything shown.
        if np.abs(step).max() < 1e-3:
            break
    return theta


def _quantile(questions: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(max(questions - 1, 1), 0.5 + LEVEL / 2))


class _Moments(NamedTuple):
    """Of each comparison, weighted: derivatives of the log-likelihood by the log-odds and by the tie parameter, and minus
    the second ones.
    """

    odds: Floats
    tie: Floats
    odds2: Floats
    tie2: Floats
    cross: Floats


class _Design(NamedTuple):
    """The data of a fit. Parameters: strengths, effects of `z`, and a tie parameter where there are ties."""

    competitors: int
    one: Ints
    other: Ints
    z: Floats
    """(n, effects)"""
    outcome: Floats
    weight: Floats
    question: Ints
    effects: tuple[int, ...]
    ties: bool

    @classmethod
    def of(cls, c: Comparisons) -> _Design:
        used = tuple(n for n in range(len(COVARIATES)) if np.abs(c.covariates[:, n]).max() > 1e-9)
        return cls(
            len(c.slugs), c.one, c.other, np.ascontiguousarray(c.covariates[:, used]), c.outcome.astype(np.float64), c.weight,
            c.question, used, bool((c.outcome == 0).any()),
        )  # fmt: skip

    @property
    def size(self) -> int:
        return int(self.competitors + self.z.shape[1] + self.ties)

    def start(self, slugs: Sequence[str], near: Guess) -> Floats:
        """The parameters of a guess."""
        own = [near.strengths.get(s, 0.0) for s in slugs] + [near.effects.get(n, 0.0) for n in self.effects]
        return np.array(own + [near.tie] * self.ties)

    def sample(self, questions: int) -> _Design:
        """The comparisons of questions spread evenly over all."""
        rows = np.flatnonzero(self.question % max(1, (int(self.question[-1]) + 1) // questions) == 0)
        return self._replace(
            one=self.one[rows], other=self.other[rows], z=self.z[rows], outcome=self.outcome[rows],
            weight=self.weight[rows], question=self.question[rows],
        )  # fmt: skip

    def sums(self, theta: Floats) -> tuple[Floats, Floats]:
        """Gradient and negative Hessian of the log-likelihood."""
        moments, everything = self._moments(theta), np.zeros_like(self.one)
        return self._gradients(moments, everything, 1)[0], self._hessians(moments, everything, 1)[0]

    def by_question(self, theta: Floats, questions: int, *, curved: bool) -> tuple[Floats, Floats]:
        """(questions, size) gradients, and the negative Hessians, (questions, size, size), or (1, size, size) of all together."""
        moments = self._moments(theta)
        groups = (self.question, questions) if curved else (np.zeros_like(self.one), 1)
        return self._gradients(moments, self.question, questions), self._hessians(moments, *groups)

    def _moments(self, theta: Floats) -> _Moments:
        k, c = self.competitors, self.z.shape[1]
        half = theta[self.one]
        half -= theta[self.other]
        for n in range(c):
            half += self.z[:, n] * theta[k + n]
        np.clip(half, -30, 30, out=half)
        won = np.exp(half / 2)
        lost = 1 / won
        nu = float(np.exp(theta[k + c])) if self.ties else 0.0
        total = won + lost + nu
        expected = (won - lost) / total
        spread = (won + lost) / total - expected**2
        tie = nu / total
        w = self.weight
        none = np.zeros(0)
        return _Moments(
            w * (self.outcome - expected) / 2, w * ((self.outcome == 0) - tie) if self.ties else none,
            w * spread / 4, w * tie * (1 - tie) if self.ties else none, w * -expected * tie / 2 if self.ties else none,
        )  # fmt: skip

    def _across(self, values: Floats, group: Ints, count: int) -> Floats:
        """(count, competitors): `values` added to the one and taken from the other, by group."""
        k = self.competitors
        both = np.bincount(group * k + self.one, values, count * k) - np.bincount(
            group * k + self.other, values, count * k
        )
        return np.asarray(both.reshape(count, k))

    def _gradients(self, m: _Moments, group: Ints, count: int) -> Floats:
        columns = [np.bincount(group, m.odds * self.z[:, n], count)[:, None] for n in range(self.z.shape[1])]
        if self.ties:
            columns.append(np.bincount(group, m.tie, count)[:, None])
        return np.hstack([self._across(m.odds, group, count), *columns])

    def _hessians(self, m: _Moments, group: Ints, count: int) -> Floats:
        k, c = self.competitors, self.z.shape[1]
        out = np.zeros((count, self.size, self.size))
        met = np.bincount((group * k + self.one) * k + self.other, m.odds2, count * k * k).reshape(count, k, k)
        met = met + met.transpose(0, 2, 1)
        out[:, :k, :k] = np.eye(k) * met.sum(axis=2)[:, :, None] - met
        for n in range(c):
            curve = m.odds2 * self.z[:, n]
            out[:, :k, k + n] = out[:, k + n, :k] = self._across(curve, group, count)
            for other in range(n, c):
                out[:, k + n, k + other] = out[:, k + other, k + n] = np.bincount(
                    group, curve * self.z[:, other], count
                )
        if self.ties:
            out[:, :k, -1] = out[:, -1, :k] = self._across(m.cross, group, count)
            for n in range(c):
                out[:, k + n, -1] = out[:, -1, k + n] = np.bincount(group, m.cross * self.z[:, n], count)
            out[:, -1, -1] = np.bincount(group, m.tie2, count)
        return out


def _covariance(design: _Design, theta: Floats, questions: int) -> Floats:
    few = questions <= LEVERAGE_QUESTIONS
    pulls, parts = design.by_question(theta, questions, curved=few)
    hessian = parts.sum(axis=0) + np.eye(design.size) / PRIOR_SD**2
    moves = _adjusted(pulls, parts, hessian) if few else np.linalg.solve(hessian, pulls.T).T
    moves -= moves.mean(axis=0)
    robust = moves.T @ moves * (questions - 1) / questions
    return _not_below(robust, _centred(np.linalg.inv(hessian), design.competitors), _one_sided(design))


def _adjusted(pulls: Floats, parts: Floats, hessian: Floats) -> Floats:
    """(questions, size) how far each question moves the estimate, corrected for its having drawn the fit to itself."""
    values, vectors = np.linalg.eigh(hessian)
    root = vectors * values**-0.5 @ vectors.T
    share, axes = np.linalg.eigh(root @ parts @ root)
    along = np.einsum("qji,qj->qi", axes, pulls @ root) * np.clip(1 - share, 1e-9, None) ** -LEVERAGE_POWER
    return np.asarray(np.einsum("qij,qj->qi", axes, along) @ root)


def _centred(model: Floats, competitors: int) -> Floats:
    """The covariance of strengths told against their mean; of their common height nothing is known or asked."""
    centre = np.eye(len(model))
    centre[:competitors, :competitors] -= 1 / competitors
    return np.asarray(centre @ model @ centre.T)


def _one_sided(design: _Design) -> list[int]:
    """Competitors that never won, or never lost: the spread of their votes cannot say how sure they are."""
    decided, k = design.outcome != 0, design.competitors
    won = np.where(design.outcome > 0, design.one, design.other)[decided]
    lost = np.where(design.outcome > 0, design.other, design.one)[decided]
    return np.flatnonzero((np.bincount(won, minlength=k) == 0) | (np.bincount(lost, minlength=k) == 0)).tolist()


def questions_of(question: Ints, competitor: Ints, competitors: int) -> Ints:
    """(competitors,) on how many questions each stands."""
    seen = np.zeros((int(question.max(initial=-1)) + 1, competitors), dtype=bool)
    seen[question, competitor] = True
    return np.asarray(seen.sum(axis=0))


def _not_below(robust: Floats, model: Floats, places: list[int]) -> Floats:
    """At these places no variance below what independent votes would have: where a competitor always wins, votes do not
    vary and the robust variance alone would call a guess certain.
    """
    scale = np.ones(len(robust))
    for n in places:
        scale[n] = max(1.0, np.sqrt(model[n, n] / max(robust[n, n], 1e-12)))
    out = np.asarray(robust * np.outer(scale, scale))
    for n in places:
        out[n, n] = max(out[n, n], model[n, n])  # where every vote was the same there is nothing to scale
    return out
