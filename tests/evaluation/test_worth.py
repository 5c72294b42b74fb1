"""The worth-it meter says yes, no, or that it does not know; looking often does not fool it."""

from __future__ import annotations

import numpy as np
import pytest

from innercouncil.evaluation.ab_test import confidence_sequence, e_value
from innercouncil.evaluation.worth import (
    ALPHA,
    PRACTICAL,
    Count,
    contest,
    contests,
    count,
    overall,
)
from innercouncil.model.worth import PERSON, WorthVote


def vote(session: str, *tiers: str, judge: str = PERSON) -> WorthVote:
    named = tuple(tuple(t.split("=")) for t in tiers)
    return WorthVote(session=session, judge=judge, shown=tuple(p for t in named for p in t), tiers=named)  # type: ignore[arg-type]


def votes(wins: int, losses: int, ties: int = 0, judge: str = PERSON) -> list[WorthVote]:
    said = [("council", "alone")] * wins + [("alone", "council")] * losses + [("council=alone",)] * ties
    return [vote(f"{n:032x}", *tiers, judge=judge) for n, tiers in enumerate(said)]


def test_the_evidence_is_the_beta_binomial_mixture_by_hand():
    assert e_value(0, 0) == pytest.approx(1.0)
    assert e_value(1, 0) == pytest.approx(1.0), "one vote tells nothing against one half"
    assert e_value(2, 0) == pytest.approx(3 / 2)
    assert e_value(3, 0) == pytest.approx(5 / 2)
    assert e_value(2, 5) == pytest.approx(e_value(5, 2))


def test_the_interval_holds_the_share_and_narrows():
    wide, narrow = confidence_sequence(6, 4, ALPHA), confidence_sequence(60, 40, ALPHA)
    assert wide[0] < narrow[0] < 0.6 < narrow[1] < wide[1]
    assert confidence_sequence(0, 0, ALPHA) == (0.0, 1.0)


def test_a_clear_preference_is_a_yes_and_the_opposite_a_no():
    assert contest(Count(30, 5, 2), "alone", "person").verdict == "yes"
    assert contest(Count(5, 30, 2), "alone", "person").verdict == "no"
    assert contest(Count(5, 4, 2), "alone", "person").verdict == "not known yet"


def test_a_council_that_is_no_better_is_a_no_too():
    many = contest(Count(150, 160, 10), "alone", "person")
    assert many.high < PRACTICAL
    assert many.verdict == "no"
    assert "at best" in many.words
    alike = contest(Count(2, 1, 40), "alone", "person")
    assert alike.verdict == "no"
    assert "no difference" in alike.words


def test_only_the_last_word_of_a_judge_on_a_session_counts():
    said = [vote("s", "council", "alone"), vote("s", "alone", "council"), vote("s", "council", "alone", judge="m")]
    assert count(said, "alone") == Count(1, 1, 0)
    assert count(said[:2], "alone") == Count(0, 1, 0)
    assert count(said, "samples") == Count(0, 0, 0)


def test_every_baseline_has_to_be_beaten_and_the_person_counts_before_models():
    both = [vote(f"{n}", "council", "alone", "samples") for n in range(20)]
    assert overall(contests(both))[0] == "yes"
    mixed = [vote(f"{n}", "samples", "council", "alone") for n in range(20)]
    verdict, words = overall(contests(mixed))
    assert (verdict, "plain samples" in words) == ("no", True)
    models = votes(20, 0, judge="m")
    assert "not yours" in overall(contests(models))[1]
    assert overall(contests([*models, *votes(0, 20)]))[0] == "no"
    assert overall(())[0] == "not known yet"


def test_looking_after_every_vote_for_long_seldom_finds_what_is_not_there():
    """Ville's inequality: at most 5% of meters on votes by lot ever reach 20, looked at after each of 400 votes."""
    rng = np.random.default_rng(0)
    runs = 600
    wins = rng.integers(0, 2, (runs, 400)).cumsum(axis=1)
    n = np.arange(1, 401)
    from scipy.special import betaln

    log = betaln(wins + 0.5, n - wins + 0.5) - betaln(0.5, 0.5) + n * np.log(2)
    assert np.exp(log[0, 9]) == pytest.approx(e_value(int(wins[0, 9]), 10 - int(wins[0, 9])))
    assert (log.max(axis=1) >= np.log(1 / ALPHA)).mean() <= ALPHA


def test_a_real_preference_is_found():
    rng = np.random.default_rng(1)
    found = 0
    for _ in range(200):
        wins = int((rng.random(150) < 0.7).sum())
        found += contest(Count(wins, 150 - wins, 0), "alone", "person").verdict == "yes"
    assert found >= 190
