"""Lay messages out in two dimensions so that the personas can be seen."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def project(
    matrix: npt.NDArray[np.float32], labels: npt.NDArray[np.int32], most: int, seed: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Coordinates (m, 2) within about -1..1 and the rows they belong to, at most `most` of them, in order.

    With three clusters or more the plane is the one that sets the clusters apart best (linear discriminant analysis on
    the leading principal components), with fewer it is that of the two main directions of variance.
    """
    from sklearn.decomposition import PCA  # see cluster.py
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    rng = np.random.default_rng(seed)
    rows = np.arange(len(matrix)) if len(matrix) <= most else np.sort(rng.choice(len(matrix), most, replace=False))
    points = matrix[rows].astype(np.float64)
    parts = min(20, points.shape[1], len(points))
    if parts < 2:
        return np.zeros((len(rows), 2), np.float32), rows.astype(np.int32)
    reduced = PCA(parts, svd_solver="full").fit_transform(points)
    plane = reduced[:, :2]
    inside = labels[rows] >= 0
    if len(np.unique(labels[rows][inside])) >= 3:
        model = LinearDiscriminantAnalysis(n_components=2, solver="eigen", shrinkage=0.1)
        model.fit(reduced[inside], labels[rows][inside])
        plane = model.transform(reduced)
    low, high = np.quantile(plane, [0.005, 0.995], axis=0)
    scaled = 2 * (plane - low) / np.maximum(high - low, 1e-9) - 1
    return np.round(np.clip(scaled, -1.1, 1.1), 4).astype(np.float32), rows.astype(np.int32)
