"""The matrix modes are looked for in: what a message does, is about and sounds like, settled by its conversation.

A row is the concatenation of blocks. Probabilities enter as square roots, so that Euclidean distance between two
blocks is (up to a constant) the Hellinger distance between their distributions; every block is then scaled to its weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from innercouncil.discovery.label_features import COUNT_NAMES
from innercouncil.discovery.markers import MARKERS, QUESTION_TYPES

FloatArray = npt.NDArray[np.float32]

BLOCK_WEIGHTS: Final = {"act": 1.0, "topic_category": 1.0, "tone": 0.35, "style": 0.6}
"""Relative weight of the blocks; chosen on two gold sets together, see docs/discovery.md."""

EMBEDDING_WEIGHT: Final = 0.8
"""Weight of the embedder's block where one is given; chosen on the same sets."""

STYLE: Final = (
    "words", "lines", "questions", "exclamations", "pasted_share", "ends_question", "starts_lower", "bullets", "digits",
    *(f"marker_{m}" for m in MARKERS), *(f"question_{q}" for q in QUESTION_TYPES),
)  # fmt: skip

NEIGHBOUR_PULL: Final = 0.5
"""How much of a message's evidence comes from its conversation when both are equally informative."""


class Evidence(NamedTuple):
    """Rows to cluster: `matrix` (n, d); `strength` (n,) is 0 where a message says nothing of its own."""

    matrix: FloatArray
    strength: FloatArray


def build_evidence(
    probabilities: dict[str, FloatArray],
    counts: FloatArray,
    conversations: Sequence[int],
    *,
    embedding: FloatArray | None = None,
    weights: dict[str, float] | None = None,
    pull: float = NEIGHBOUR_PULL,
) -> Evidence:
    """Evidence of n messages.

    `probabilities` maps a label field to (n, labels); `counts` is (n, len(COUNT_NAMES)); `conversations` gives a number
    per message, messages of one conversation standing together. `embedding` is (n, r) with a total variance of one, see
    discovery/embedding.py.
    """
    weights = weights or BLOCK_WEIGHTS | {"embedding": EMBEDDING_WEIGHT}
    words = np.expm1(counts[:, COUNT_NAMES.index("words")])
    strength = np.asarray(np.minimum(1.0, words / 12.0), dtype=np.float32)
    blocks: list[FloatArray] = [
        np.asarray(np.sqrt(probabilities[f]) * weights[f], dtype=np.float32)
        for f in ("act", "topic_category", "tone")
        if weights.get(f)
    ]
    if weights.get("style"):
        blocks.append(np.asarray(_style(counts) * weights["style"], dtype=np.float32))
    if embedding is not None and weights.get("embedding"):
        blocks.append(np.asarray(embedding * weights["embedding"], dtype=np.float32))
    own = np.hstack(blocks).astype(np.float32)
    return Evidence(_settle(own, strength, np.asarray(conversations), pull), strength)


def _style(counts: FloatArray) -> FloatArray:
    """Style counts as ranks in (0, 1), ties averaged, scaled so that the block's total variance is about one."""
    columns = counts[:, [COUNT_NAMES.index(name) for name in STYLE]]
    ranked = np.empty(columns.shape, dtype=np.float64)
    for j in range(columns.shape[1]):
        _, inverse, size = np.unique(columns[:, j], return_inverse=True, return_counts=True)
        upper = np.cumsum(size)
        ranked[:, j] = ((upper - (size - 1) / 2) / len(columns))[inverse]
    spread = np.sqrt(np.maximum(ranked.var(axis=0).sum(), 1e-9))
    return np.asarray(np.round((ranked - ranked.mean(axis=0)) / spread, 6), dtype=np.float32)


def _settle(own: FloatArray, strength: FloatArray, conversations: npt.NDArray[np.int_], pull: float) -> FloatArray:
    """Blend each row with the strength-weighted mean of its conversation's other rows, nearer ones counting more.

    A message that says little ("continue") takes what its neighbours say; a long one mostly keeps its own evidence.
    """
    if pull <= 0 or len(own) == 0:
        return own
    weight = 0.15 + strength
    around = np.zeros_like(own)
    mass = np.zeros(len(own), dtype=np.float32)
    for step, decay in ((1, 1.0), (2, 0.6), (3, 0.36), (4, 0.2)):
        if step >= len(own):
            break
        same = (conversations[step:] == conversations[:-step]).astype(np.float32) * decay
        forward, backward = same * weight[:-step], same * weight[step:]
        around[step:] += own[:-step] * forward[:, None]
        mass[step:] += forward
        around[:-step] += own[step:] * backward[:, None]
        mass[:-step] += backward
    has = mass > 0
    around[has] /= mass[has, None]
    share = np.where(has, pull * np.minimum(1.0, mass) / (pull * np.minimum(1.0, mass) + (1 - pull) * weight), 0.0)
    return np.asarray(own * (1 - share[:, None]) + around * share[:, None], dtype=np.float32)
