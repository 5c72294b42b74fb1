"""Group conversations by their facets: many small groups first, then the few top groups they are nested in.

The small groups are k-means with their number by size, as in Clio (Tamkin et al. 2024). The number of top groups is not
given: it is found as the default finds the number of modes (cluster.find_modes), a conversation a row.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from innercouncil.discovery.cluster import BOOTSTRAPS, SAMPLE, Modes, find_modes

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.int32]
Vectors = Callable[[Sequence[str]], FloatArray]

PER_GROUP: Final = 12
"""Conversations to a lowest group, as far as the bounds allow."""
FEWEST, MOST = 6, 60
DIMENSIONS: Final = 24
MIN_CONVERSATIONS: Final = 16
"""Fewer conversations with facets cannot be told apart: two modes need eight each."""
DEALS: Final = 99
"""Random deals that grounding is held against."""


class Grouping(NamedTuple):
    """Conversations in lowest groups, those in top groups; all by number, the largest first."""

    base: IntArray
    """(n,) lowest group of each conversation."""
    parents: tuple[int, ...]
    """Lowest group -> top group."""
    labels: IntArray
    """(n,) top group, -1 where the conversation is far from every one."""
    stability: tuple[float, ...]
    """Of each top group, as found before nesting."""
    vectors: FloatArray
    """(n, d) rows."""
    modes: Modes
    """The modes of the rows, whose clusters became the top groups: margins, the numbers tried."""
    moved: int
    """Conversations that their lowest group took to another top group than the one they are nearest to."""


def term_vectors(texts: Sequence[str]) -> FloatArray:
    """Unit rows (n, d) of TF-IDF over words, reduced by SVD (latent semantic analysis); offline and deterministic."""
    from sklearn.decomposition import TruncatedSVD  # see cluster.py
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize

    terms = TfidfVectorizer(sublinear_tf=True, stop_words="english", min_df=2 if len(texts) >= 40 else 1)
    table = terms.fit_transform(texts)
    size = min(DIMENSIONS, table.shape[1] - 1, table.shape[0] - 1)
    if size < 1:
        return np.zeros((len(texts), 1), dtype=np.float32)
    reduced = normalize(TruncatedSVD(size, random_state=0, n_iter=10).fit_transform(table))
    return np.asarray(np.round(reduced, 6), dtype=np.float32)


def group_facets(
    texts: Sequence[str], weights: Sequence[int], *, vectors: Vectors = term_vectors, clusters: int | None = None,
    seed: int = 0, bootstraps: int = BOOTSTRAPS, sample: int = SAMPLE,
    progress: Callable[[int, int], None] | None = None,
) -> Grouping:  # fmt: skip
    """Group n facet texts, one a conversation of so many messages (`weights`, for the order of the top groups).

    `vectors` makes rows of texts; `clusters` forces the number of top groups. Same input, same result.
    """
    from sklearn.exceptions import ConvergenceWarning  # see cluster.py

    rows = vectors(texts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different facets than clusters tried
        modes = find_modes(
            rows, np.ones(len(texts), np.float32), list(range(len(texts))), clusters=clusters, seed=seed,
            bootstraps=bootstraps, sample=sample, progress=progress,
        )  # fmt: skip
    base = _base_groups(rows, seed)
    nearest = _parents(base, rows, modes)
    labels = np.asarray([nearest[b] for b in base], dtype=np.int32)
    labels[modes.labels < 0] = -1
    moved = int(((labels != modes.labels) & (modes.labels >= 0)).sum())
    heavy = {t: int(np.asarray(weights)[labels == t].sum()) for t in set(nearest)}
    tops = sorted(heavy, key=lambda t: (-heavy[t], t))
    number = {t: n for n, t in enumerate(tops)}
    labels = np.asarray([number.get(t, -1) for t in labels.tolist()], dtype=np.int32)
    stability = tuple(modes.stability[t] for t in tops)
    return Grouping(base, tuple(number[t] for t in nearest), labels, stability, rows, modes, moved)


def _base_groups(rows: FloatArray, seed: int) -> IntArray:
    from sklearn.cluster import KMeans

    distinct = len(np.unique(rows, axis=0))
    count = min(max(FEWEST, min(MOST, round(len(rows) / PER_GROUP))), distinct)
    found = KMeans(count, n_init=5, random_state=seed).fit_predict(rows.astype(np.float64))
    sizes = np.bincount(found, minlength=count)
    order = np.lexsort((np.arange(count), -sizes))
    return np.asarray(np.argsort(order)[found], dtype=np.int32)


def _parents(base: IntArray, rows: FloatArray, modes: Modes) -> tuple[int, ...]:
    """The mode that most of a lowest group belongs to; where all of it lies far out the nearest of those taken."""
    out: list[int] = []
    for b in range(int(base.max()) + 1):
        inside = modes.labels[base == b]
        inside = inside[inside >= 0]
        out.append(int(np.bincount(inside).argmax()) if len(inside) else -1)
    taken = sorted({t for t in out if t >= 0})
    for b in (b for b, t in enumerate(out) if t < 0):
        centre = rows[base == b].mean(axis=0)
        out[b] = taken[int(np.linalg.norm(modes.centres[taken] - centre, axis=1).argmin())]
    return tuple(out)


def central(grouping: Grouping, members: npt.NDArray[np.int_], most: int) -> list[int]:
    """Up to `most` of the conversations `members`, the nearest to their mean first."""
    centre = grouping.vectors[members].mean(axis=0)
    distance = np.round(np.linalg.norm(grouping.vectors[members] - centre, axis=1), 6)
    return [int(i) for i in members[np.lexsort((members, distance))][:most]]


def neighbours(grouping: Grouping, group: int, most: int) -> list[int]:
    """The lowest groups nearest to one, the nearest first."""
    count = len(grouping.parents)
    centres = np.array([grouping.vectors[grouping.base == b].mean(axis=0) for b in range(count)])
    distance = np.round(np.linalg.norm(centres - centres[group], axis=1), 6)
    return [int(b) for b in np.lexsort((np.arange(count), distance)) if b != group][:most]


def key_terms(texts: Sequence[str], groups: Sequence[int], count: int, most: int = 3) -> list[str]:
    """For each of `count` groups the words that set it apart, by TF-IDF with a group as one text: an offline name."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    joined = [" ".join(t for t, g in zip(texts, groups, strict=True) if g == n) for n in range(count)]
    terms = TfidfVectorizer(sublinear_tf=True, stop_words="english", token_pattern=r"[a-zA-Z]{3,}")  # noqa: S106
    try:
        table = terms.fit_transform(joined).toarray()
    except ValueError:  # nothing but stop words
        return [""] * count
    words = terms.get_feature_names_out()
    best = [np.lexsort((words, -np.round(row, 9)))[:most] for row in table]
    return [" ".join(words[i].capitalize() for i in at if table[n, i] > 0) for n, at in enumerate(best)]


class Grounding(NamedTuple):
    """How much of the messages' own evidence lies between groups, and what chance gives."""

    share: float
    chance: float

    @property
    def real(self) -> bool:
        """Whether the groups have more to do with the messages than chance."""
        return self.share > self.chance


def grounding(evidence: FloatArray, groups: npt.NDArray[np.int_], seed: int = 0) -> Grounding:
    """Share of the variance of (n, d) offline evidence between `groups` of conversations, against random deals of the groups.

    A model that answers at random in clean phrases makes groups that are stable among themselves; this sees that they
    have nothing to do with the conversations (a permutation test at 5%).
    """
    kept = groups >= 0
    points, codes = evidence[kept].astype(np.float64), groups[kept]
    if len(np.unique(codes)) < 2:
        return Grounding(0.0, 0.0)
    rng = np.random.default_rng(seed)
    dealt = sorted(_between(points, rng.permutation(codes)) for _ in range(DEALS))
    return Grounding(round(_between(points, codes), 4), round(dealt[round(0.95 * DEALS) - 1], 4))


def _between(points: FloatArray, codes: npt.NDArray[np.int_]) -> float:
    mean = points.mean(axis=0)
    total = float(((points - mean) ** 2).sum())
    between = sum(
        int((codes == c).sum()) * float(((points[codes == c].mean(axis=0) - mean) ** 2).sum()) for c in np.unique(codes)
    )
    return between / max(total, 1e-12)
