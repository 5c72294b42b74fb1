"""Habits a persona has more than the person's other modes, by test and not by eye."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from innercouncil.discovery.label_features import COUNT_NAMES
from innercouncil.discovery.markers import MARKERS, QUESTION_TYPES
from innercouncil.discovery.traits import MIN_SHARE, Trait, habits, rules, traits_of
from innercouncil.model.labels import ACTS, TONES, TOPICS

N = 200
HALF = N // 2
HABITS = {"bullets", "several_lines", "one_line", "pastes", "lower_case", "exclaims", "follows_up", "opens"}


def shares(here: float, elsewhere: float) -> np.ndarray:
    """Which of N messages show a habit: a share of the first half, a share of the second."""
    rank = np.arange(HALF) / HALF
    return np.concatenate([rank < here, rank < elsewhere])


def traits(habit: str, here: float, elsewhere: float, **options: int) -> tuple[list[Trait], list[Trait]]:
    member = np.arange(N) < HALF
    centrality = np.linspace(1, 0, N, dtype=np.float32)
    return traits_of(member, np.ones(N, bool), {habit: shares(here, elsewhere)}, centrality, **options)


def counts(**columns: Sequence[float]) -> np.ndarray:
    rows = len(next(iter(columns.values())))
    out = np.zeros((rows, len(COUNT_NAMES)), dtype=np.float32)
    for name, values in columns.items():
        out[:, COUNT_NAMES.index(name)] = values
    return out


def test_a_habit_clearly_more_frequent_here_is_a_trait():
    ((trait,), opposites) = traits("act:debug", 0.6, 0.1)
    assert (trait.rule.feature, trait.share, trait.elsewhere) == ("act:debug", 0.6, 0.1)
    assert opposites == []


def test_the_lift_is_how_many_times_more_frequent_it_is():
    assert traits("act:debug", 0.6, 0.1)[0][0].lift == pytest.approx(6)


def test_a_habit_as_frequent_everywhere_is_no_trait():
    assert traits("act:debug", 0.5, 0.5) == ([], [])


def test_a_difference_that_chance_would_make_is_no_trait():
    assert traits("act:debug", 0.14, 0.1) == ([], [])


def test_a_rare_habit_is_no_trait():
    assert traits("act:debug", MIN_SHARE / 2, 0) == ([], [])


def test_a_habit_clearly_rarer_here_is_an_opposite():
    more, (opposite,) = traits("act:build", 0.0, 0.5)
    assert more == []
    assert opposite.rule.dont


def test_the_evidence_of_a_trait_are_messages_here_that_show_it_most_central_first():
    trait = traits("act:debug", 0.6, 0.1, evidence=4)[0][0]
    assert trait.rows == (0, 1, 2, 3)


def test_the_evidence_of_an_opposite_are_messages_here_that_do_not_show_it():
    opposite = traits("act:build", 0.05, 0.6, evidence=3)[1][0]
    assert opposite.rows == (5, 6, 7)


def test_messages_without_a_mode_are_not_elsewhere():
    member = np.arange(N) < HALF
    shown = {"act:debug": shares(0.5, 0.0)}
    ((alone,), _) = traits_of(member, member, shown, np.ones(N, np.float32))
    assert alone.elsewhere == 0
    assert alone.z == 0


def test_the_strongest_trait_comes_first():
    member = np.arange(N) < HALF
    shown = {"act:debug": shares(0.3, 0.1), "tone:warm": shares(0.9, 0.1)}
    more, _ = traits_of(member, np.ones(N, bool), shown, np.ones(N, np.float32))
    assert [t.rule.feature for t in more] == ["tone:warm", "act:debug"]


def test_a_mode_without_messages_has_no_traits():
    none = np.zeros(N, dtype=bool)
    more, _ = traits_of(none, np.ones(N, bool), {"act:debug": shares(0.5, 0.5)}, np.ones(N, np.float32))
    assert more == []


def test_labels_become_habits():
    shown = habits(counts(words=[0, 0]), {"act": ["debug", "build"], "tone": ["warm", "warm"], "topic": ["a", "b"]})
    assert shown["act:debug"].tolist() == [True, False]
    assert shown["tone:warm"].tolist() == [True, True]


@pytest.mark.parametrize(
    ("habit", "columns", "expected"),
    [
        ("marker:cause", {"marker_cause": [0, 0.5]}, [False, True]),
        ("question:why", {"question_why": [0, 0.7]}, [False, True]),
        ("habit:bullets", {"bullets": [math.log1p(1), math.log1p(2)]}, [False, True]),
        ("habit:exclaims", {"exclamations": [0, 1]}, [False, True]),
        ("habit:pastes", {"pasted_chars": [math.log1p(50), math.log1p(500)]}, [False, True]),
        ("habit:one_line", {"lines": [1, 0], "words": [math.log1p(5)] * 2}, [False, True]),
        ("habit:opens", {"first_message": [0, 1]}, [False, True]),
        ("habit:follows_up", {"has_context": [1, 1], "first_message": [1, 0]}, [False, True]),
    ],
)
def test_counts_become_habits(habit, columns, expected):
    assert habits(counts(**columns), {})[habit].tolist() == expected


def test_every_rule_is_about_something_that_is_measured():
    known = {f"act:{a}" for a in ACTS} | {f"tone:{t}" for t in TONES} | {f"topic:{t}" for t in TOPICS}
    known |= {f"marker:{m}" for m in MARKERS} | {f"question:{q}" for q in QUESTION_TYPES}
    known |= {f"habit:{h}" for h in HABITS}
    assert {rule.feature for rule in rules()} <= known


def test_no_two_rules_are_about_the_same():
    features = [rule.feature for rule in rules()]
    assert len(set(features)) == len(features)


def test_rules_belong_to_a_section_of_the_prompt():
    assert {rule.section for rule in rules()} == {"work", "reasoning", "voice"}
