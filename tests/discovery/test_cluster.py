"""Modes planted in square-rooted distributions: found, counted, and not invented."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

from innercouncil.discovery.cluster import K_RANGE, Modes, find_modes, leak
from innercouncil.discovery.verdict import verdict_of

ROWS = 240
PER_CONVERSATION = 3


def planted(k: int, *, seed: int = 0, rows: int = ROWS, spread: float = 0.04) -> tuple[np.ndarray, np.ndarray]:
    """(rows, 12) square roots of distributions around k Gaussian modes, and the mode of each row."""
    rng = np.random.default_rng(seed)
    probabilities = np.full((k, 12), 0.02)
    probabilities[np.arange(k), np.arange(k) * 2] = 0.6
    probabilities[np.arange(k), np.arange(k) * 2 + 1] = 0.2
    truth = np.repeat(np.arange(rows // PER_CONVERSATION) % k, PER_CONVERSATION)
    noisy = np.abs(probabilities[truth] + rng.normal(0, spread, (rows, 12)))
    return np.sqrt(noisy / noisy.sum(axis=1, keepdims=True)).astype(np.float32), truth


def cloud(rows: int = ROWS) -> np.ndarray:
    """(rows, 12) square roots of distributions around one."""
    noisy = np.abs(1 / 12 + np.random.default_rng(5).normal(0, 0.02, (rows, 12)))
    return np.sqrt(noisy / noisy.sum(axis=1, keepdims=True)).astype(np.float32)


def modes_of(matrix: np.ndarray, **options: object) -> Modes:
    conversations = [i // PER_CONVERSATION for i in range(len(matrix))]
    with threadpool_limits(limits=1):
        return find_modes(matrix, np.ones(len(matrix), np.float32), conversations, **({"bootstraps": 6} | options))


@cache
def found(k: int) -> tuple[Modes, np.ndarray]:
    matrix, truth = planted(k)
    return modes_of(matrix), truth


@cache
def found_in_cloud() -> Modes:
    return modes_of(cloud())


@pytest.mark.parametrize("k", [3, 4, 5, 6])
def test_the_number_of_planted_modes_is_found(k):
    assert found(k)[0].chosen == k


@pytest.mark.parametrize("k", [3, 4, 5, 6])
def test_planted_modes_get_their_own_messages_back(k):
    modes, truth = found(k)
    assert adjusted_rand_score(truth, modes.labels) > 0.95


@pytest.mark.parametrize("k", [3, 4, 5, 6])
def test_the_verdict_on_planted_modes_tells_their_number(k):
    assert verdict_of(found(k)[0], None).startswith(f"{k} modes found: all {k} come back reliably")


def test_one_cloud_has_no_separate_modes():
    assert verdict_of(found_in_cloud(), None).startswith("No separate modes")


def test_one_cloud_has_no_separate_modes_even_if_a_number_is_asked_for():
    assert verdict_of(modes_of(cloud(), clusters=4), 4).startswith("No separate modes")


def test_asking_for_more_modes_than_there_are_is_answered_with_how_many_come_back():
    matrix, _ = planted(2, spread=0.02)
    assert verdict_of(modes_of(matrix, clusters=8), 8).startswith("You asked for 8, but only ")


@pytest.mark.parametrize("k", [1, 2, 4, 7])
def test_a_number_asked_for_is_kept(k):
    matrix, _ = planted(3)
    modes = modes_of(matrix, clusters=k)
    assert (modes.chosen, len(modes.centres), set(modes.labels) - {-1}) == (k, k, set(range(k)))
    assert modes.why == "the number was given"


def test_every_number_tried_is_told_with_its_measures():
    candidates = found(4)[0].candidates
    assert tuple(c.k for c in candidates) == K_RANGE
    assert all(len(c.stability) == c.k for c in candidates)


def test_planted_modes_are_set_apart_more_than_one_gaussian_is():
    best = next(c for c in found(4)[0].candidates if c.k == 4)
    assert best.separation > best.separation_null + 0.2


def test_the_same_input_and_seed_give_the_same_modes():
    matrix, _ = planted(4)
    one, other = modes_of(matrix, seed=7), modes_of(matrix.copy(), seed=7)
    assert one.labels.tobytes() == other.labels.tobytes()
    assert one.centres.tobytes() == other.centres.tobytes()
    assert one.margin.tobytes() == other.margin.tobytes()
    assert one[3:] == other[3:]


def test_another_seed_finds_the_same_planted_modes():
    matrix, truth = planted(4)
    assert adjusted_rand_score(truth, modes_of(matrix, seed=99).labels) > 0.95


def test_modes_are_numbered_by_size_largest_first():
    matrix, truth = planted(3)
    kept = (truth != 1) | (np.arange(ROWS) < ROWS // 3)
    sizes = np.bincount(modes_of(matrix[kept]).labels)
    assert list(sizes) == sorted(sizes, reverse=True)


def test_stability_lies_between_zero_and_one_for_every_mode():
    for modes in (found(3)[0], found(6)[0], found_in_cloud()):
        assert len(modes.stability) == modes.chosen
        assert all(0 <= s <= 1 for c in (modes, *modes.candidates) for s in c.stability)


def test_planted_modes_are_more_stable_than_cuts_through_a_cloud():
    cut = next(c for c in found_in_cloud().candidates if c.k == 6)
    assert min(found(6)[0].stability) > max(cut.stability)


def test_margins_lie_between_zero_and_one():
    margin = found(5)[0].margin
    assert ((margin >= 0) & (margin <= 1)).all()


@pytest.mark.parametrize("rows", [1, 2, 5, 12, 15])
def test_too_few_messages_are_one_mode(rows):
    modes = modes_of(planted(3)[0][:rows])
    assert modes.chosen == 1
    assert set(modes.labels) <= {0, -1}
    assert verdict_of(modes, None).startswith("No separate modes: there is too little text")


def test_more_modes_asked_for_than_the_messages_allow_are_one_mode():
    assert modes_of(planted(3)[0][:30], clusters=12).chosen == 1


def test_fewer_messages_try_fewer_numbers():
    assert [c.k for c in modes_of(planted(3)[0][:33]).candidates] == [2, 3, 4]


def test_messages_that_are_all_alike_do_not_fail():
    modes = modes_of(np.repeat(planted(1)[0][:1], 60, axis=0), clusters=1)
    assert set(modes.labels) == {0}


def test_a_message_that_says_nothing_and_has_no_neighbour_belongs_nowhere():
    matrix, _ = planted(3)
    strength, conversations = np.ones(ROWS, np.float32), [i // PER_CONVERSATION for i in range(ROWS)]
    strength[0], conversations[0] = 0, -5
    modes = find_modes(matrix, strength, conversations, bootstraps=2)
    assert (modes.labels[0], modes.empty) == (-1, 1)


def test_a_message_that_says_nothing_goes_with_its_neighbours():
    matrix, _ = planted(3)
    strength = np.ones(ROWS, np.float32)
    strength[0] = 0
    modes = find_modes(matrix, strength, [i // PER_CONVERSATION for i in range(ROWS)], bootstraps=2)
    assert modes.empty == 0
    assert modes.labels[0] == modes.labels[1]


def test_a_message_far_from_every_mode_belongs_nowhere():
    matrix, _ = planted(3)
    matrix[7] = np.eye(12)[11]
    modes = modes_of(matrix)
    assert (modes.labels[7], modes.margin[7], modes.outliers) == (-1, 0, 1)


def test_one_message_is_no_mode_however_far_it_lies():
    matrix, _ = planted(3)
    matrix[7] = -1.0
    assert modes_of(matrix).chosen == 3


def test_a_large_set_is_judged_on_a_sample_and_assigned_whole():
    matrix, truth = planted(3, rows=1200)
    modes = modes_of(matrix, sample=300)
    assert modes.chosen == 3
    assert adjusted_rand_score(truth, modes.labels) > 0.95
    assert max(c.smallest for c in modes.candidates) < 300


def test_progress_ends_at_its_total():
    heard: list[tuple[int, int]] = []
    modes_of(planted(3)[0], bootstraps=2, progress=lambda done, total: heard.append((done, total)))
    assert heard[-1][0] == heard[-1][1] == len(heard)


def test_clusters_that_are_another_thing_leak_wholly():
    labels = np.array([0, 0, 1, 1, 2, 2], dtype=np.int32)
    assert leak(labels, ["a", "a", "b", "b", "c", "c"]) == 1


def test_messages_without_a_mode_do_not_count_as_a_leak():
    assert leak(np.array([-1, -1, -1], dtype=np.int32), ["a", "b", "c"]) == 0


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 60), st.integers(1, 8), st.integers(0, 3))
def test_any_set_of_points_gets_a_label_each(rows, conversation_size, seed):
    matrix = np.random.default_rng(seed).random((rows, 5)).astype(np.float32)
    conversations = [i // conversation_size for i in range(rows)]
    with threadpool_limits(limits=1):
        modes = find_modes(matrix, np.ones(rows, np.float32), conversations, bootstraps=1, clusters=2)
    assert len(modes.labels) == rows
    assert set(modes.labels) <= {-1, *range(modes.chosen)}
