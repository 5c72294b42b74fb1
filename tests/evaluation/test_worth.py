"""The worth-it meter says yes, no, or that it does not know; looking often does not fool it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

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

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "benchmarks"))
from simulations_worth import simulate, verdicts

BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"


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
    assert contest(Count(30, 5, 2, 37), "alone", "person").verdict == "yes"
    assert contest(Count(5, 30, 2, 37), "alone", "person").verdict == "no"
    assert contest(Count(5, 4, 2, 11), "alone", "person").verdict == "not known yet"


def test_a_council_that_is_no_better_is_a_no_too():
    many = contest(Count(150, 160, 10, 320), "alone", "person")
    assert many.high < PRACTICAL
    assert many.verdict == "no"
    assert "at best" in many.words
    alike = contest(Count(2, 1, 40, 43), "alone", "person")
    assert alike.verdict == "no"
    assert "no difference" in alike.words


def test_only_the_last_word_of_a_judge_on_a_session_counts():
    said = [vote("s", "council", "alone"), vote("s", "alone", "council"), vote("s", "council", "alone", judge="m")]
    assert count(said, "alone") == Count(0, 0, 1, judgements=2)
    assert count(said[:2], "alone") == Count(0, 1, 0, judgements=1)
    assert count(said, "samples") == Count(0, 0, 0, judgements=0)


def test_a_session_is_one_trial_however_many_models_judged_it():
    """Judges of one session see the same answers, so their judgements are no new evidence on the council."""
    one = contests(votes(4, 0, judge="m1"))
    three = contests([v for judge in ("m1", "m2", "m3") for v in votes(4, 0, judge=judge)])
    assert [(c.wins, c.losses, c.ties, c.judgements) for c in (*one, *three)] == [(4, 0, 0, 4), (4, 0, 0, 12)]
    assert three[0].evidence == one[0].evidence
    assert overall(three)[0] == "not known yet"


@pytest.mark.parametrize(
    ("said", "counted"),
    [
        ("council council alone", (1, 0, 0)),
        ("council alone alone", (0, 1, 0)),
        ("council alone", (0, 0, 1)),
        ("council alike", (0, 0, 1)),
        ("council alike alike", (0, 0, 1)),
        ("council council alike", (1, 0, 0)),
        ("council council alone alike", (0, 0, 1)),
    ],
)
def test_models_that_are_split_over_a_session_count_as_alike(said: str, counted: tuple[int, int, int]):
    tiers = {"council": ("council", "alone"), "alone": ("alone", "council"), "alike": ("council=alone",)}
    judged = [vote("s", *tiers[word], judge=f"m{n}") for n, word in enumerate(said.split())]
    assert count(judged, "alone")[:3] == counted


def test_it_is_told_on_how_many_sessions_and_judgements_a_verdict_rests():
    (mine,) = contests(votes(1, 0))
    assert mine.words.endswith("0 alike, of 1 session")
    (models,) = contests([*votes(2, 1, 1, judge="m1"), *votes(2, 1, 1, judge="m2")])
    assert models.words.endswith("1 alike, of 4 sessions with 8 judgements")


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


@pytest.fixture(scope="module")
def simulated() -> dict[str, dict[str, Any]]:
    """The fast version of benchmarks/simulations_worth.py; the figures of 2000 meters are in docs/evaluation.md."""
    return {row["world"]: row for row in simulate(fast=True)}


def test_looking_after_every_vote_for_long_seldom_finds_what_is_not_there(simulated):
    """Ville's inequality: at most 5% of meters on votes by lot ever reach 20, looked at after each of 400 votes."""
    for world in ("by lot", "by lot, half alike"):
        assert simulated[world]["ever_yes"] <= ALPHA


def test_a_real_preference_is_found(simulated):
    assert simulated["preferred in 70%"]["yes"] >= 0.93
    assert simulated["preferred in 70%, half alike"]["yes"] >= 0.93


def test_a_council_that_is_worse_or_no_different_is_told(simulated):
    for world in ("worse: preferred in 30%", "a little worse: preferred in 45%", "no difference in 90%"):
        assert simulated[world]["no"] >= 0.95, world
        assert simulated[world]["yes"] <= 0.02, world


def test_the_simulated_meter_is_the_real_one():
    """The arrays of the simulation say what `contest` says of the same counts."""
    rng = np.random.default_rng(0)
    counts = np.array([(0, 0, 0), (0, 0, 21), (150, 160, 10), *rng.integers(0, 60, (300, 3)).tolist()])
    said = verdicts(*counts.T[:, None, :])[0]
    names = {0: "not known yet", 1: "yes", 2: "no"}
    for one, found in zip(counts.tolist(), said.tolist(), strict=True):
        assert names[found] == contest(Count(*one, sum(one)), "alone", "person").verdict, one
    assert len(set(said.tolist())) == 3


def test_one_command_prints_the_simulations_as_json(tmp_path):
    command = [sys.executable, BENCHMARKS / "evaluation.py", "--only", "worth", "--json", "--simulations", "20"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert {row["meters"] for row in json.loads(result.stdout)["worth"]} == {20}
    assert result.stderr == "", "progress is for terminals"


def test_a_part_that_takes_long_tells_how_far_it_is_on_a_terminal(monkeypatch):
    from evaluation import Told

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    told = Told("ratings")
    told(1, 7)
    assert sys.stderr.getvalue() == "", "nothing within two seconds"
    monkeypatch.setattr(Told, "AFTER", 0.0)
    told(2, 7)
    assert "ratings: 2 of 7" in sys.stderr.getvalue()
    told.over()
    assert sys.stderr.getvalue().endswith("\r\x1b[K")
