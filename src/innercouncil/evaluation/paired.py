"""The fit behind every rating: Bradley-Terry with ties and style, and intervals that take questions for the units.

Model. `one` is put before `other` with log-odds d = s(one) - s(other) + covariates · effects (Bradley & Terry 1952,
Biometrika 39; the covariates are LMArena's "style control"). Ties follow Davidson (1970, JASA 65): their odds against the
geometric mean of the two wins are one more parameter, and the strengths stay what they are among the decided pairs.

Intervals. Votes on one question are dependent, so questions are what is drawn again (a bootstrap by question). The
bootstrap is taken in its one-step form, whose limit over infinitely many resamples is the cluster-robust covariance; each
question's pull is measured with the question left out (CR3, the jackknife; Bell & McCaffrey 2002, Survey Methodology 28)
and quantiles are Student's, because resampling few questions as they are gives intervals that are too short.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from innercouncil.evaluation.comparisons import COVARIATES, Comparisons, Floats, Ints

PRIOR_SD: Final = 3.0
"""Log-odds. A priori nearly all strengths and effects lie within ± 6: it says next to nothing, but a competitor that won
every comparison gets a finite strength."""
LEVERAGE_QUESTIONS: Final = 300
"""From here on leaving a question out changes nothing that could be seen."""
LEVEL: Final = 0.95
FEW: Final = 4
"""Questions a competitor must have won on, and lost on, before the spread of its votes says how sure they are."""
_STEPS: Final = 25
_CHUNK: Final = 1 << 15


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


class _Sums(NamedTuple):
    gradient: Floats
    hessian: Floats


def fit(c: Comparisons, start: Floats | None = None) -> Fit:
    """Fit the model; takes 5 questions or more to have intervals worth the name."""
    design = _Design.of(c)
    theta = np.zeros(design.size)
    for _ in range(_STEPS):
        sums = design.sums(theta)
        step = np.linalg.solve(sums.hessian, sums.gradient)
        theta = theta + np.clip(step, -2.0, 2.0)
        if np.abs(step).max() < 1e-6:
            break
    covariance = _covariance(design, theta, c.questions)
    k = design.linear
    return Fit(
        theta[:k], covariance[:k, :k], design.effects, float(theta[k]) if design.ties else None, _quantile(c.questions)
    )


def _quantile(questions: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(max(questions - 1, 1), 0.5 + LEVEL / 2))


class _Design(NamedTuple):
    """Design matrix (n, competitors + effects) and outcomes; a tie parameter comes last where there are ties."""

    x: Floats
    outcome: Floats
    weight: Floats
    bounds: list[int]
    """Where each question's comparisons begin, and the end."""
    question: Ints
    effects: tuple[int, ...]
    ties: bool

    @classmethod
    def of(cls, c: Comparisons) -> _Design:
        used = tuple(i for i in range(len(COVARIATES)) if np.ptp(c.covariates[:, i]) > 1e-9) if len(c.one) else ()
        k, n = len(c.slugs), len(c.one)
        x = np.zeros((n, k + len(used)))
        rows = np.arange(n)
        x[rows, c.one] = 1.0
        x[rows, c.other] -= 1.0
        x[:, k:] = c.covariates[:, used]
        bounds = np.searchsorted(c.question, np.arange(c.questions + 1)).tolist()
        return cls(x, c.outcome.astype(np.float64), c.weight, bounds, c.question, used, bool((c.outcome == 0).any()))

    @property
    def linear(self) -> int:
        return int(self.x.shape[1])

    @property
    def size(self) -> int:
        return self.linear + self.ties

    def sums(self, theta: Floats) -> _Sums:
        """Gradient and negative Hessian of the penalised log-likelihood."""
        gradient, hessian = -theta / PRIOR_SD**2, np.eye(self.size) / PRIOR_SD**2
        for start in range(0, len(self.x), _CHUNK):
            part = self.part(theta, start, start + _CHUNK)
            gradient += part.gradient
            hessian += part.hessian
        return _Sums(gradient, hessian)

    def part(self, theta: Floats, start: int, end: int) -> _Sums:
        """The same over some comparisons, without the prior."""
        x, weight = self.x[start:end], self.weight[start:end]
        residual, tied, curve = self._moments(theta, start, end)
        gradient = np.zeros(self.size)
        hessian = np.zeros((self.size, self.size))
        k = self.linear
        gradient[:k] = x.T @ (weight * residual)
        hessian[:k, :k] = x.T @ (x * (weight * curve.direct)[:, None])
        if self.ties:
            gradient[k] = weight @ tied
            hessian[k, k] = weight @ curve.tie
            hessian[:k, k] = hessian[k, :k] = x.T @ (weight * curve.cross)
        return _Sums(gradient, hessian)

    def by_question(self, theta: Floats) -> Floats:
        """(questions, size) gradients."""
        pulls = np.zeros((len(self.bounds) - 1, self.size))
        some = [n for n in range(len(pulls)) if self.bounds[n] < self.bounds[n + 1]]
        starts = [self.bounds[n] for n in some]
        residual, tied, _ = self._moments(theta, 0, len(self.x))
        pulls[some, : self.linear] = np.add.reduceat(self.x * (self.weight * residual)[:, None], starts)
        if self.ties:
            pulls[some, self.linear] = np.add.reduceat(self.weight * tied, starts)
        return pulls

    def _moments(self, theta: Floats, start: int, end: int) -> tuple[Floats, Floats, _Curve]:
        k = self.linear
        half = np.clip(self.x[start:end] @ theta[:k] / 2, -15, 15)
        won = np.exp(half)
        lost = 1 / won
        nu = np.exp(theta[k]) if self.ties else 0.0
        total = won + lost + nu
        tie = nu / total
        expected = (won - lost) / total
        outcome = self.outcome[start:end]
        variance = (won + lost) / total - expected**2
        return (
            (outcome - expected) / 2, (outcome == 0) - tie,
            _Curve(variance / 4, tie * (1 - tie), -expected * tie / 2),
        )  # fmt: skip


class _Curve(NamedTuple):
    """Second derivatives by the log-odds, by the tie parameter, and by both."""

    direct: Floats
    tie: Floats
    cross: Floats


def _covariance(design: _Design, theta: Floats, questions: int) -> Floats:
    hessian = design.sums(theta).hessian
    pulls = design.by_question(theta)
    if questions <= LEVERAGE_QUESTIONS:
        parts = [design.part(theta, a, b).hessian for a, b in zip(design.bounds, design.bounds[1:], strict=False)]
        moves = np.linalg.solve(hessian - np.array(parts), pulls[:, :, None])[:, :, 0]
    else:
        moves = np.linalg.solve(hessian, pulls.T).T
    moves = moves - moves.mean(axis=0)
    robust = moves.T @ moves * max(questions - 1, 1) / max(questions, 1)
    return _not_below(robust, _centred(np.linalg.inv(hessian), design), _one_sided(design))


def _centred(model: Floats, design: _Design) -> Floats:
    """The covariance of strengths told against their mean; of their common height nothing is known or asked."""
    k = design.linear - len(design.effects)
    centre = np.eye(len(model))
    centre[:k, :k] -= 1 / k
    return np.asarray(centre @ model @ centre.T)


def _one_sided(design: _Design) -> list[int]:
    """Competitors that won, or lost, on fewer than `FEW` questions."""
    out = []
    for n in range(design.linear - len(design.effects)):
        own = design.x[:, n] * design.outcome
        some = [np.unique(design.question[own == sign]).size for sign in (1, -1)]
        if min(some) < FEW:
            out.append(n)
    return out


def _not_below(robust: Floats, model: Floats, places: list[int]) -> Floats:
    """At these places no variance below what independent votes would have: where a competitor (almost) always wins, votes
    hardly vary and the robust variance alone would call a guess certain.
    """
    scale = np.ones(len(robust))
    for n in places:
        scale[n] = max(1.0, np.sqrt(model[n, n] / max(robust[n, n], 1e-12)))
    return np.asarray(robust * np.outer(scale, scale))
