"""evaluation.adherence: planted adherence, drift and bad judges are found, and what is not there is not."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from innercouncil.evaluation.adherence import (
    Catch,
    Marks,
    change_over,
    compare,
    compare_items,
    drift,
    halves,
    judge_of,
    share_over,
    verdict,
)

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "benchmarks"))
from simulations_adherence import Case, Talk, simulate


@pytest.fixture(scope="module")
def simulated() -> dict:
    """The fast version of benchmarks/simulations_adherence.py; its rates are in docs/evaluation.md."""
    cases = (Case(0.9, 0.3, 12), Case(0.6, 0.6, 12))
    talks = (Talk(0.9, 0.9, 6), Talk(0.95, 0.2, 6), Talk(0.6, 0.6, 3, mood=1.0))
    return simulate(200, cases, talks)


def test_planted_adherence_is_found_and_none_is_not_reported(simulated: dict) -> None:
    kept, none = simulated["adherence"]
    assert kept["keeps"] >= 0.95
    assert none["keeps"] <= 0.05
    assert none["items apart"] <= 0.05
    assert min(row["inside"] for row in (kept, none)) >= 0.92


def test_planted_drift_is_found_and_none_is_not_reported_more_than_the_stated_rate(simulated: dict) -> None:
    steady, fading, moody = simulated["drift"]
    assert fading["fades"] >= 0.85
    assert fading["keeps"] == 0
    assert steady["fades"] <= 0.05
    assert moody["fades"] <= 0.06, "a state that lasts for some turns is no fading"
    assert steady["keeps"] >= 0.35


def test_judges_that_do_not_read_are_not_used(simulated: dict) -> None:
    usable = {row["judge"]: row["usable"] for row in simulated["judges"]}
    assert usable["good"] >= 0.99
    assert max(usable[name] for name in ("says yes to everything", "says no to everything", "by lot")) == 0


def test_a_yes_sayer_is_named() -> None:
    catches = [Catch(yes=n % 2 == 0, right=n % 2 == 0) for n in range(40)]
    found = judge_of("J", 300, 0, catches, 40, 0)
    assert not found.usable
    assert "yes to everything" in found.words
    assert found.says_yes == 1
    assert "too few" in judge_of("J", 3, 0, catches[:10], 10, 0).words


def marks(rows: list[list[float]], units: list[int] | None = None) -> Marks:
    return Marks(np.array(rows, dtype=float), np.array(units or range(len(rows))), np.zeros(len(rows), dtype=int))


def test_items_that_everyone_or_nobody_passes_say_so() -> None:
    nan = float("nan")
    mine = marks([[1, 0, 1, nan, 1]] * 12)
    theirs = marks([[1, 0, 0, 1, nan if n else 1] for n in range(12)])
    verdicts = [h.verdict for h in compare_items(mine, theirs, 12)]
    assert verdicts == ["everyone passes", "nobody passes", "tells apart", "too seldom", "too seldom"]
    turned = [h.verdict for h in compare_items(theirs, mine, 12)]
    assert turned[2] == "below control"


def test_a_prompt_that_asks_for_what_the_model_does_anyway_is_no_better() -> None:
    mine = marks([[1, 1, 1, 1, 1, 1]] * 24)
    found, words = verdict("Ada", *compare(mine, mine, 24), 24)
    assert found == "no better"
    assert "anyway" in words


def test_samples_of_one_question_are_one_unit() -> None:
    once = compare(marks([[1.0], [0.0]] * 6), marks([[0.0]] * 12), 12)[0]
    both = compare(marks([[1.0], [0.0]] * 6, [n // 2 for n in range(12)]), marks([[0.0]] * 6), 6)[0]
    assert once is not None
    assert both is not None
    assert once.value == both.value == 0.5
    often = compare(marks([[1.0]] * 12 + [[0.0]] * 12, [n // 4 for n in range(24)]), marks([[0.0]] * 6), 6)[0]
    assert often is not None
    assert often.high - often.low > both.high - both.low, (
        "questions that differ, not answers that repeat, make the interval"
    )


def test_intervals_of_all_or_nothing_have_a_width() -> None:
    all_yes = share_over(np.ones(12), 1)
    apart = change_over(np.ones(12), 1)
    assert all_yes is not None
    assert apart is not None
    assert (all_yes.value, all_yes.high) == (1, 1)
    assert all_yes.low < 0.85
    assert apart.low < 0.95
    assert share_over(np.array([np.nan]), 1) is None
    alone = change_over(np.array([0.3]), 1)
    assert alone is not None
    assert (alone.low, alone.high) == (-1, 1)


def talk(early: float, late: float, conversations: int = 3, turns: int = 8, opening: float = 0.0) -> Marks:
    rows = [opening] + [early] * (turns // 2) + [late] * (turns // 2)
    return Marks(
        np.tile(np.array(rows)[:, None], (conversations, 5)), np.repeat(np.arange(conversations), turns + 1),
        np.tile(np.arange(turns + 1), conversations),
    )  # fmt: skip


def test_the_opening_is_in_neither_half() -> None:
    assert halves(8) == (range(1, 5), range(5, 9))
    steady = drift("Ada", talk(1, 1, opening=0), 3, 8)
    assert (steady.early, steady.late, steady.verdict) == (1, 1, "keeps")
    faded = drift("Ada", talk(1, 0, opening=1), 3, 8)
    assert (faded.early, faded.late, faded.verdict) == (1, 0, "fades")
    assert "100% early and 0% late" in faded.words


def test_conversations_are_the_units_where_they_differ() -> None:
    rng = np.random.default_rng(0)
    one_falls = talk(1, 1, 3)
    one_falls.marks[one_falls.units == 0] = talk(1, 0, 1).marks
    noise = np.where(rng.random(one_falls.marks.shape) < 0.05, np.nan, one_falls.marks)
    found = drift("Ada", one_falls._replace(marks=noise), 3, 8)
    assert found.change is not None
    assert found.change.value < -0.3
    assert found.verdict == "not sure", "one of three conversations is no rule"


def test_an_item_that_applies_to_one_half_only_does_not_count_as_drift() -> None:
    both = talk(1, 1)
    both.marks[both.turns <= 4, 0] = np.nan
    both.marks[both.turns > 4, 0] = 0
    found = drift("Ada", both, 3, 8)
    assert found.change is not None
    assert found.change.value == 0


def test_nothing_judged_is_said_and_one_conversation_is_never_enough() -> None:
    empty = talk(1, 1)
    empty.marks[:] = np.nan
    assert drift("Ada", empty, 3, 8).verdict == "not judged"
    assert verdict("Ada", None, None, None, 12)[0] == "not judged"
    assert drift("Ada", talk(1, 0, 1, turns=2), 1, 2).verdict == "not sure"
    none = marks([])._replace(marks=np.empty((0, 4)))
    assert drift("Ada", none, 3, 8).verdict == "not judged"
