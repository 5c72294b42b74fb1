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
import numpy.typing as npt

from innercouncil.evaluation.comparisons import COVARIATES, Comparisons, Floats, Ints

PRIOR_SD: Final = 3.0
"""Log-odds. A priori nearly all strengths and effects lie within ± 6: it says next to nothing, but a competitor that won
every comparison gets a finite strength."""
LEVERAGE_QUESTIONS: Final = 300
"""From here on leaving a question out changes nothing that could be seen."""
LEVERAGE_POWER: Final = 0.75
"""Of the correction for a question's pull on its own fit: 1/2 is CR2, right where votes vary alike, 1 is CR3, the jackknife,
too wide in small samples. In between the intervals held what they promise in every simulated world."""
BLOCK: Final = 8192
"""Comparisons whose derivatives are summed at a time: what they take then stays in the processor's cache."""
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
    k = design.columns.shape[1]
    covariance = _covariance(design, theta)[:k, :k]
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
    """The data of a fit. Parameters: strengths, effects, and a tie parameter where there are ties."""

    competitors: int
    columns: Floats
    """(n, competitors + effects) 1 at the one, -1 at the other, and the covariates that vary."""
    outcome: Floats
    weight: Floats
    starts: Ints
    """(questions that have a comparison,) where each begins."""
    effects: tuple[int, ...]
    ties: bool

    @classmethod
    def of(cls, c: Comparisons) -> _Design:
        used = tuple(n for n in range(len(COVARIATES)) if np.abs(c.covariates[:, n]).max() > 1e-9)
        rows, k = np.arange(len(c.one)), len(c.slugs)
        columns = np.zeros((len(rows), k + len(used)))
        columns[rows, c.one] = 1.0
        columns[rows, c.other] = -1.0
        columns[:, k:] = c.covariates[:, used]
        starts = np.flatnonzero(np.diff(c.question, prepend=-1))
        return cls(k, columns, c.outcome.astype(np.float64), c.weight, starts, used, bool((c.outcome == 0).any()))

    @property
    def size(self) -> int:
        return int(self.columns.shape[1] + self.ties)

    def start(self, slugs: Sequence[str], near: Guess) -> Floats:
        """The parameters of a guess."""
        own = [near.strengths.get(s, 0.0) for s in slugs] + [near.effects.get(n, 0.0) for n in self.effects]
        return np.array(own + [near.tie] * self.ties)

    def sample(self, questions: int) -> _Design:
        """The comparisons of about so many questions, spread evenly over all."""
        taken = np.zeros(len(self.starts), dtype=bool)
        taken[:: max(1, len(self.starts) // questions)] = True
        rows = np.repeat(taken, np.diff(self.starts, append=len(self.outcome)))
        return self._of(rows)

    def _of(self, rows: slice | npt.NDArray[np.bool_]) -> _Design:
        """Some of the comparisons; where questions begin is not told anew."""
        return self._replace(columns=self.columns[rows], outcome=self.outcome[rows], weight=self.weight[rows])

    def sums(self, theta: Floats) -> tuple[Floats, Floats]:
        """Gradient and negative Hessian of the log-likelihood."""
        gradient, curve = np.zeros(self.size), np.zeros((self.size, self.size))
        for begin in range(0, len(self.outcome), BLOCK):
            part = self._of(slice(begin, begin + BLOCK))
            moments = part._moments(theta)
            pull = part.columns.T @ moments.odds
            gradient += np.append(pull, moments.tie.sum()) if self.ties else pull
            curve += part._hessian(moments, slice(None))
        return gradient, curve

    def by_question(self, theta: Floats, *, curved: bool) -> tuple[Floats, Floats]:
        """(questions, size) gradients, and the negative Hessians, (questions, size, size), or (1, size, size) of all together."""
        moments = self._moments(theta)
        pulls = np.column_stack([np.add.reduceat(column * moments.odds, self.starts) for column in self.columns.T])
        if self.ties:
            pulls = np.column_stack([pulls, np.add.reduceat(moments.tie, self.starts)])
        ends = np.append(self.starts[1:], len(self.outcome))
        if not curved:
            return pulls, self.sums(theta)[1][None]
        parts = zip(self.starts.tolist(), ends.tolist(), strict=True)
        return pulls, np.stack([self._hessian(moments, slice(begin, end)) for begin, end in parts])

    def _moments(self, theta: Floats) -> _Moments:
        p = self.columns.shape[1]
        half = np.clip(self.columns @ theta[:p], -30, 30)
        won = np.exp(half / 2)
        lost = 1 / won
        nu = float(np.exp(theta[p])) if self.ties else 0.0
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

    def _hessian(self, m: _Moments, rows: slice) -> Floats:
        x = self.columns[rows]
        curve = x.T @ (x * m.odds2[rows, None])
        if not self.ties:
            return curve
        cross = x.T @ m.cross[rows]
        return np.block([[curve, cross[:, None]], [cross, m.tie2[rows].sum()]])


def _covariance(design: _Design, theta: Floats) -> Floats:
    questions = len(design.starts)
    few = questions <= LEVERAGE_QUESTIONS
    pulls, parts = design.by_question(theta, curved=few)
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
    fared = (column * design.outcome for column in design.columns.T[: design.competitors])
    return [n for n, f in enumerate(fared) if f.max() <= 0 or f.min() >= 0]


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
