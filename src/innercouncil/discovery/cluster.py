"""Find the modes: k-means on the evidence, the number of modes by stability under resampling, and a null to beat.

Stability is the clusterwise Jaccard of Hennig (2007, "Cluster-wise assessment of cluster stability", fpc's clusterboot),
resampling whole conversations, because messages of one conversation are not independent. Stability alone favours
too few clusters, so among the numbers whose clusters are all stable enough the one wins whose separation beats a
one-mode null the most (the idea of the gap statistic, Tibshirani, Walther & Hastie 2001).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from innercouncil.model.persona import CandidateK

if TYPE_CHECKING:
    from sklearn.cluster import KMeans

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.int32]

K_RANGE: Final = (2, 3, 4, 5, 6)
STABLE: Final = 0.75
DOUBTFUL: Final = 0.6
BOOTSTRAPS: Final = 24
NULLS: Final = 6
SAMPLE: Final = 4000
"""Messages (whole conversations) the number of modes is judged on; larger sets are sampled, then all are assigned."""
MIN_MESSAGES: Final = 30


class Modes(NamedTuple):
    """The chosen clustering. `labels` (n,) holds 0..k-1, or -1 where a message fits no mode."""

    labels: IntArray
    centres: FloatArray
    margin: FloatArray
    """(n,) 1 - distance to the own centre / distance to the next: 0 on the border, 1 at the centre."""
    stability: tuple[float, ...]
    candidates: tuple[CandidateK, ...]
    chosen: int
    why: str
    outliers: int
    empty: int


def find_modes(
    matrix: FloatArray,
    strength: FloatArray,
    conversations: Sequence[int],
    *,
    clusters: int | None = None,
    seed: int = 0,
    bootstraps: int = BOOTSTRAPS,
    sample: int = SAMPLE,
    progress: Callable[[int, int], None] | None = None,
) -> Modes:
    """Cluster n evidence rows (n, d); clusters come ordered by size, largest first.

    `clusters` forces their number (1 to 12). Same input and seed give the same result on the same library versions.
    """
    rng = np.random.default_rng(seed)
    groups = np.asarray(conversations)
    usable = np.flatnonzero((strength > 0) | _has_neighbour(groups))
    judged = usable[_sample_groups(groups[usable], sample, rng)]
    points, point_groups = matrix[judged].astype(np.float64), groups[judged]
    possible = [k for k in ((clusters,) if clusters else K_RANGE) if k <= max(1, len(points) // 8)] or [1]
    steps = len(possible) * (bootstraps + NULLS)
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, steps)

    tried = []
    for k in possible:
        model = _fit(points, k, seed, starts=10)
        stability = _stability(points, point_groups, model, bootstraps, seed, tick)
        null = _null_separation(points, k, seed, tick)
        tried.append((model, _candidate(points, model, stability, null, seed)))
    at, why = _choose([c for _, c in tried], forced=clusters is not None)
    model, best = tried[at]
    centres, stability_by_size = _ordered(model.cluster_centers_, points, best.stability)
    labels, margin, outliers = _assign(matrix, centres, usable, points)
    return Modes(
        labels,
        centres,
        margin,
        stability_by_size,
        tuple(c for _, c in tried),
        best.k,
        why,
        outliers,
        len(matrix) - len(usable),
    )


def _fit(points: FloatArray, k: int, seed: int, *, starts: int) -> KMeans:
    from sklearn.cluster import KMeans  # two seconds: only the stage that needs it should wait

    return KMeans(n_clusters=k, n_init=starts, max_iter=200, random_state=seed).fit(points)


def _has_neighbour(groups: npt.NDArray[np.int_]) -> npt.NDArray[np.bool_]:
    same = np.zeros(len(groups), dtype=bool)
    equal = groups[1:] == groups[:-1]
    same[1:] |= equal
    same[:-1] |= equal
    return same


def _sample_groups(groups: npt.NDArray[np.int_], size: int, rng: np.random.Generator) -> npt.NDArray[np.int_]:
    """Row numbers of whole random groups, about `size` rows, in the original order."""
    if len(groups) <= size:
        return np.arange(len(groups))
    names, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
    order = rng.permutation(len(names))
    taken = order[: int(np.searchsorted(np.cumsum(counts[order]), size)) + 1]
    return np.flatnonzero(np.isin(inverse, taken))


def _stability(
    points: FloatArray, groups: npt.NDArray[np.int_], model: KMeans, runs: int, seed: int, tick: Callable[[], None]
) -> tuple[float, ...]:
    """Mean Jaccard of every cluster with its best match in clusterings of resampled conversations."""
    k = model.n_clusters
    if k == 1:
        for _ in range(runs):
            tick()
        return (1.0,)
    rng = np.random.default_rng(seed + 1)
    rows_of = _rows_by_group(groups)
    total = np.zeros(k)
    for run in range(runs):
        drawn = rng.integers(0, len(rows_of), len(rows_of))
        rows = np.concatenate([rows_of[i] for i in drawn])
        other = _fit(points[rows], k, seed + 100 + run, starts=2)
        mine, theirs = model.labels_, other.predict(points)
        table = np.zeros((k, k))
        np.add.at(table, (mine, theirs), 1)
        union = table.sum(axis=1, keepdims=True) + table.sum(axis=0, keepdims=True) - table
        total += np.divide(table, union, out=np.zeros_like(table), where=union > 0).max(axis=1)
        tick()
    return tuple(float(x) for x in total / runs)


def _rows_by_group(groups: npt.NDArray[np.int_]) -> list[npt.NDArray[np.int_]]:
    order = np.argsort(groups, kind="stable")
    _, starts = np.unique(groups[order], return_index=True)
    return list(np.split(order, starts[1:]))


def _null_separation(points: FloatArray, k: int, seed: int, tick: Callable[[], None]) -> tuple[float, float]:
    """Separation (mean, standard deviation) k-means finds in one Gaussian with the data's covariance."""
    if len(points) < 3:
        return 0.0, 0.0
    rng = np.random.default_rng(seed + 2)
    mean, covariance = points.mean(axis=0), np.cov(points, rowvar=False)
    found = []
    for run in range(NULLS):
        fake = rng.multivariate_normal(mean, covariance, size=min(len(points), 1500), method="eigh").astype(np.float32)
        found.append(_separation(fake, _fit(fake, k, seed + run, starts=2)))
        tick()
    return float(np.mean(found)), float(np.std(found))


def _separation(points: FloatArray, model: KMeans) -> float:
    """Share of the variance between clusters (R squared)."""
    total = float(((points - points.mean(axis=0)) ** 2).sum())
    return 1.0 - float(model.inertia_) / max(total, 1e-12)


def _candidate(
    points: FloatArray, model: KMeans, stability: tuple[float, ...], null: tuple[float, float], seed: int
) -> CandidateK:
    from sklearn.metrics import silhouette_score

    k = int(model.n_clusters)
    silhouette = 0.0
    if 1 < k < len(points):
        silhouette = float(
            silhouette_score(points, model.labels_, sample_size=min(len(points), 2000), random_state=seed)
        )
    separation = _separation(points, model)
    return CandidateK(
        k=k,
        stability=tuple(round(s, 4) for s in stability),
        separation=round(separation, 4),
        separation_null=round(null[0], 4),
        silhouette=round(silhouette, 4),
        score=round((separation - null[0]) * float(np.mean(stability)), 4),
        smallest=int(np.bincount(model.labels_, minlength=k).min()),
    )


def _choose(candidates: Sequence[CandidateK], *, forced: bool) -> tuple[int, str]:
    """Index of the candidate to take, and why."""
    if forced or len(candidates) == 1:
        return 0, "the number was given" if forced else "there is too little text for more"
    sound = [i for i, c in enumerate(candidates) if min(c.stability) >= DOUBTFUL]
    if sound:
        at = max(sound, key=lambda i: (candidates[i].score, -candidates[i].k))
        return at, "of the numbers whose every cluster comes back, it sets the clusters apart best"
    at = max(range(len(candidates)), key=lambda i: (min(candidates[i].stability), -candidates[i].k))
    return at, "no number gives clusters that all come back; this one comes nearest"


def _ordered(
    centres: FloatArray, points: FloatArray, stability: tuple[float, ...]
) -> tuple[FloatArray, tuple[float, ...]]:
    size = np.bincount(_distances(points, centres).argmin(axis=1), minlength=len(centres))
    order = np.lexsort((np.arange(len(centres)), -size))
    return centres[order], tuple(stability[i] for i in order)


def _distances(points: FloatArray, centres: FloatArray) -> FloatArray:
    points = np.asarray(points, dtype=np.float64)
    squared = (points**2).sum(axis=1)[:, None] - 2 * points @ centres.T + (centres**2).sum(axis=1)[None, :]
    return np.asarray(np.sqrt(np.maximum(squared, 0)))


def _assign(
    matrix: FloatArray, centres: FloatArray, usable: npt.NDArray[np.int_], points: FloatArray
) -> tuple[IntArray, FloatArray, int]:
    """Nearest centre for every usable row; rows farther out than nearly all of the judged ones belong nowhere."""
    labels = np.full(len(matrix), -1, dtype=np.int32)
    margin = np.zeros(len(matrix), dtype=np.float32)
    distance = np.round(_distances(matrix[usable].astype(np.float64), centres), 6)
    nearest = distance.argmin(axis=1)
    own = distance[np.arange(len(usable)), nearest]
    reference = _distances(points, centres).min(axis=1)
    quartile, median = np.quantile(reference, 0.75), np.median(reference)
    far = own > median + 4.5 * max(quartile - median, 1e-6)
    if len(centres) > 1:
        second = np.partition(distance, 1, axis=1)[:, 1]
        margin[usable] = 1 - own / np.maximum(second, 1e-9)
    else:
        margin[usable] = 1.0
    labels[usable] = np.where(far, -1, nearest)
    margin[usable[far]] = 0
    return labels, margin, int(far.sum())


def leak(labels: IntArray, other: Sequence[object]) -> float:
    """Adjusted mutual information of the clusters with something they should not merely be (0 none, 1 the same)."""
    from sklearn.metrics import adjusted_mutual_info_score

    keep = labels >= 0
    if keep.sum() < 2:
        return 0.0
    names, codes = np.unique([str(o) for o in other], return_inverse=True)
    del names
    return round(float(adjusted_mutual_info_score(labels[keep], codes[keep])), 4)
