"""Vectors of an embedder as one more block of the evidence: which messages share one, and how many become few numbers."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

TEXT_CHARS: Final = 4000
"""How much of a message's own words is embedded, from its beginning."""
DIMENSIONS: Final = 16
"""Numbers a vector is reduced to; chosen with its weight, see docs/discovery.md."""


def reduce_vectors(vectors: FloatArray, owners: npt.NDArray[np.int_], dimensions: int = DIMENSIONS) -> FloatArray:
    """The first principal components of n messages' vectors, (n, dimensions or fewer), total variance about one.

    What is left of a vector after the projection gets length one: its direction counts, not how much of it was lost. `vectors` is (m, d); `owners` (n,) is the row of a message's vector, -1 where it has none: such a row is 0, the mean.
    The same input gives the same bytes on one thread: signs are fixed and the last digits, which vary, are cut off.
    """
    has = owners >= 0
    reduced = np.zeros((len(owners), min(dimensions, vectors.shape[1])), dtype=np.float32)
    if not has.any():
        return reduced
    share = np.bincount(owners[has], minlength=len(vectors)) / has.sum()
    centred = vectors.astype(np.float64) - share @ vectors.astype(np.float64)
    _, axes = np.linalg.eigh(centred.T @ (centred * share[:, None]))
    axes = axes[:, ::-1][:, : reduced.shape[1]]
    axes *= np.where(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] < 0, -1.0, 1.0)
    points = centred @ axes
    points /= np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-9)
    points -= share @ points
    spread = np.sqrt(max(float((share @ points**2).sum()), 1e-9))
    reduced[has] = np.round(points / spread, 6)[owners[has]]
    return reduced
