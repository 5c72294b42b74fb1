"""Two divisions of the same messages beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.integer[Any]]


class Agreement(NamedTuple):
    """How alike two divisions are: 1 the same, about 0 as alike as chance makes them."""

    ari: float
    """Adjusted Rand index (Hubert & Arabie 1985)."""
    ami: float
    """Adjusted mutual information (Vinh, Epps & Bailey 2010)."""


def agreement(one: IntArray, other: IntArray) -> Agreement:
    """Of two (n,) divisions; -1, "no mode", counts as a group of its own."""
    from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score  # two seconds

    if len(one) == 0:
        return Agreement(1.0, 1.0)
    return Agreement(
        round(float(adjusted_rand_score(one, other)), 4), round(float(adjusted_mutual_info_score(one, other)), 4)
    )


def contingency(one: IntArray, other: IntArray, rows: int, columns: int) -> tuple[tuple[int, ...], ...]:
    """(rows + 1) x (columns + 1) counts of messages; the last row and column hold those of no mode."""
    table = np.zeros((rows + 1, columns + 1), dtype=int)
    np.add.at(table, (one, other), 1)  # -1 is the last one
    return tuple(tuple(int(n) for n in row) for row in table)


def against_gold(found: IntArray, truth: Sequence[str]) -> tuple[float, float]:
    """Adjusted Rand index and V-measure of a division against known modes."""
    from sklearn.metrics import adjusted_rand_score, v_measure_score

    return round(float(adjusted_rand_score(truth, found)), 4), round(float(v_measure_score(truth, found)), 4)
