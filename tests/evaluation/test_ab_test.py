"""The A/B test's statistics: numbers worked by hand, what must never fall, and simulated voters."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betaln

from innercouncil.evaluation.ab_test import (
    confidence_sequence,
    costs,
    e_value,
    fixed_votes,
    judge,
    log_e_value,
    order,
    power_table,
    stops,
    votes_to_go,
)
from innercouncil.model.ab import AbOptions, SideAnswer, Trial

COUNTS = st.integers(0, 400)


@pytest.fixture(scope="module")
def simulations() -> ModuleType:
    path = Path(__file__).parent.parent.parent / "benchmarks" / "simulations_ab.py"
    spec = importlib.util.spec_from_file_location("simulations_ab", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["simulations_ab"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("wins", "losses", "value"),
    # Beta(w+.5, l+.5) / Beta(.5, .5) is the product of (i - .5) / i over the wins for l = 0, and 1/8 for one each.
    [(0, 0, 1.0), (1, 0, 1.0), (2, 0, 4 * 3 / 8), (1, 1, 4 / 8), (7, 0, 128 * 429 / 2048), (8, 0, 256 * 6435 / 32768)],
)
def test_e_values_worked_by_hand(wins: int, losses: int, value: float) -> None:
    assert e_value(wins, losses) == pytest.approx(value)
    assert e_value(losses, wins) == pytest.approx(value)


@given(COUNTS, COUNTS)
def test_the_e_value_is_a_fair_bet_on_the_next_vote(wins: int, losses: int) -> None:
    assert np.log(0.5 * np.exp(log_e_value(wins + 1, losses) - log_e_value(wins, losses))
                  + 0.5 * np.exp(log_e_value(wins, losses + 1) - log_e_value(wins, losses))) == pytest.approx(0, abs=1e-9)  # fmt: skip
    assert log_e_value(wins, losses) == pytest.approx(
        betaln(wins + 0.5, losses + 0.5) - betaln(0.5, 0.5) + (wins + losses) * np.log(2), abs=1e-8
    )


@given(COUNTS, COUNTS, st.sampled_from([0.01, 0.05, 0.2]))
def test_the_confidence_sequence_holds_the_observed_rate_and_leaves_a_half_as_the_e_value_says(
    wins: int, losses: int, alpha: float
) -> None:
    low, high = confidence_sequence(wins, losses, alpha)
    assert 0 <= low <= (wins / (wins + losses) if wins + losses else 0.5) <= high <= 1
    if abs(log_e_value(wins, losses) + np.log(alpha)) > 1e-6:
        assert (low < 0.5 < high) == (log_e_value(wins, losses) < -np.log(alpha))
    mirrored = confidence_sequence(losses, wins, alpha)
    assert mirrored == pytest.approx((1 - high, 1 - low))


def test_a_winner_stays_the_winner_and_ties_are_left_out() -> None:
    seven = judge(["b"] * 7 + ["tie"] * 3, AbOptions())
    assert (seven.state, seven.b_wins, seven.a_wins, seven.ties) == ("b", 7, 0, 3)
    assert judge(["b"] * 6, AbOptions()).state == "open"
    assert judge(["a"] * 7, AbOptions()).state == "a"
    later = judge(["b"] * 7 + ["a"] * 7, AbOptions())
    assert (later.state, len(later.path)) == ("b", 14)
    assert later.e_value < 1
    assert judge(["tie"] * 50, AbOptions()).e_value == pytest.approx(1)


def test_it_gives_up_at_the_maximum_or_when_the_sides_are_practically_equal() -> None:
    even = ["a", "b"] * 500
    assert judge(even[:200], AbOptions()).state == "given_up"
    equal = judge(even, AbOptions(max_votes=3000))
    assert equal.state == "equal"
    assert 0.4 <= equal.low < equal.high <= 0.6
    assert judge(even[:20], AbOptions()).more is not None


def test_each_block_of_two_shows_each_side_first_once_and_the_seed_decides_which() -> None:
    orders = [order(n, 3) for n in range(1, 201)]
    assert all({a, b} == {"a", "b"} for a, b in zip(orders[::2], orders[1::2], strict=True))
    assert orders == [order(n, 3) for n in range(1, 201)]
    assert orders != [order(n, 4) for n in range(1, 201)]
    assert 30 < orders[::2].count("a") < 70


def test_votes_of_the_ordinary_test_are_those_of_the_textbook() -> None:
    assert [fixed_votes(p) for p in (0.55, 0.60, 0.65, 0.70, 0.75)] == [783, 194, 85, 47, 29]


def test_power_is_shown_beforehand_and_falls_with_the_difference() -> None:
    table = power_table(AbOptions())
    assert [(n.median, n.most) for n in table] == [(1077, 1824), (233, 405), (94, 168), (48, 87), (32, 54)]
    assert [n.within for n in table] == sorted(n.within for n in table)
    assert stops(0.5, 0.05, 1000).share[-1] < 0.05 / 2, "one side's half of the errors"
    assert stops(1.0, 0.05, 20).quantile(1.0) == 7
    assert votes_to_go(6, 0, 0.05, 1.0) == 1
    assert (votes_to_go(10, 4, 0.05) or 0) < (votes_to_go(7, 7, 0.05) or 0)


def test_costs_are_medians_a_side_and_unknown_where_nothing_was_measured() -> None:
    trials = [
        Trial(number=n, question="?", first="a", a=SideAnswer(text="x", milliseconds=n * 100, answer_tokens=n), b=SideAnswer(text="y", milliseconds=7))
        for n in (1, 2, 9)
    ]  # fmt: skip
    a, b = costs(trials)
    assert (a.milliseconds, a.answer_tokens, a.resident) == (200, 2, None)
    assert (b.milliseconds, b.answer_tokens) == (7, None)
    assert costs([])[0].milliseconds is None


def test_simulated_voters_cannot_fool_it_by_peeking(simulations: ModuleType) -> None:
    found = simulations.simulate(fast=True)
    assert found["peeking"]["e_value"] <= 0.05
    assert found["peeking"]["ordinary_test"] > 0.2, "the contrast: an ordinary test looked at after every vote"
    assert min(found["coverage"].values()) >= 0.95 - 0.02
    for row in found["stopping"]:
        assert row["median"] == pytest.approx(row["computed_median"], rel=0.15)
        assert row["wrong_side"] <= 0.02
    assert "| 65% |" in simulations.report(found)
    wins = simulations.votes(0.6, 3, 50, 0)
    for row, logs in zip(wins, simulations.log_e(wins), strict=True):
        assert logs == pytest.approx([log_e_value(int(w), n - int(w)) for n, w in enumerate(row, start=1)], abs=1e-8)
