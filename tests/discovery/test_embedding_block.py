"""Vectors become one block of the evidence: centred, few numbers, the same bytes every time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from innercouncil.discovery.embedding import reduce_vectors
from innercouncil.discovery.evidence import BLOCK_WEIGHTS, EMBEDDING_WEIGHT, build_evidence
from innercouncil.discovery.label_features import COUNT_NAMES
from innercouncil.model.duplicates import near_key


def vectors(m: int = 40, d: int = 24, seed: int = 0) -> np.ndarray:
    found = np.random.default_rng(seed).standard_normal((m, d)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_messages_that_share_a_vector_share_a_row_and_those_without_stand_in_the_middle():
    owners = np.array([3, 3, -1, *range(40)])
    block = reduce_vectors(vectors(), owners, 6)
    assert block.shape == (43, 6)
    assert (block[0] == block[1]).all()
    assert (block[0] == block[6]).all()
    assert not block[2].any()


def test_the_block_has_a_total_variance_of_one():
    block = reduce_vectors(vectors(), np.arange(40), 6)
    assert abs(float(block.var(axis=0).sum()) - 1) < 0.15


@given(st.integers(0, 50), st.integers(1, 30), st.integers(1, 12), st.integers(1, 20))
def test_any_shape_is_reduced_to_finite_numbers_and_the_same_twice(seed, m, d, dimensions):
    owners = np.random.default_rng(seed).integers(-1, m, 50)
    found = vectors(m, d, seed)
    block = reduce_vectors(found, owners, dimensions)
    assert block.shape == (50, min(d, dimensions))
    assert np.isfinite(block).all()
    assert block.tobytes() == reduce_vectors(found.copy(), owners, dimensions).tobytes()


def test_one_vector_for_all_and_none_at_all():
    assert not reduce_vectors(np.repeat(vectors(1), 5, axis=0), np.arange(5)).any()
    assert not reduce_vectors(np.zeros((0, 1), np.float32), np.full(4, -1)).any()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Give me 10  more", "give me\n25 more", True), ("Go on", " go  ON\n", True), ("in 2023", "in 99", False),
        ("yes", "no", False), ("\ud800", "\udfff", True),
    ],
)  # fmt: skip
def test_near_duplicates_differ_in_case_digits_and_spacing_only(one, other, same):
    assert (near_key(one) == near_key(other)) is same


def evidence(**more: object) -> np.ndarray:
    rng = np.random.default_rng(0)
    p = {"act": rng.dirichlet(np.ones(11), 40), "topic_category": rng.dirichlet(np.ones(6), 40), "tone": rng.dirichlet(np.ones(5), 40)}  # fmt: skip
    counts = rng.random((40, len(COUNT_NAMES))).astype(np.float32)
    probabilities = {f: v.astype(np.float32) for f, v in p.items()}
    return build_evidence(probabilities, counts, [i // 4 for i in range(40)], **more).matrix  # type: ignore[arg-type]


def test_without_vectors_the_evidence_is_what_it_was_and_with_them_a_block_is_added():
    plain, block = evidence(), reduce_vectors(vectors(), np.arange(40), 5)
    wider = evidence(embedding=block)
    assert wider.shape[1] == plain.shape[1] + 5
    assert wider[:, : plain.shape[1]].tobytes() == plain.tobytes()
    assert evidence(embedding=block, weights=BLOCK_WEIGHTS).tobytes() == plain.tobytes()
    alone = evidence(embedding=block, weights={"embedding": EMBEDDING_WEIGHT}, pull=0.0)
    np.testing.assert_allclose(alone, block * EMBEDDING_WEIGHT, atol=1e-6)
