"""evaluation.similarity: planted twins are found, planted non-twins cleared, and the advice says what to do."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from innercouncil.evaluation.similarity import (
    BY_LOT,
    NEAREST,
    advise,
    alike_lines,
    attribution,
    by_lot,
    independent,
    lines_of,
    newest,
    of_pair,
    pairs_of,
    plain,
    prepare,
    ratio,
    share,
    verdict,
)
from innercouncil.model.similarity import Estimated, Sample

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "benchmarks"))
from simulations_twins import Case, simulate, speak


def test_planted_twins_are_found_and_planted_non_twins_cleared() -> None:
    """The fast version of benchmarks/simulations_twins.py; the rates of 500 pairs are in docs/evaluation.md."""
    twins, apart = simulate(12, (0.0, 0.6), processes=1)
    assert twins["twins"] >= 0.6
    assert twins["distinct"] <= 0.1
    assert twins["ratio"] == pytest.approx(1, abs=0.02)
    assert twins["attribution"] == pytest.approx(0.5, abs=0.08)
    assert apart["distinct"] >= 0.8
    assert apart["twins"] == 0


def test_without_repeated_samples_there_is_no_ratio_and_authors_are_still_told_apart() -> None:
    once = speak(Case(1.0, 12, 1, 0))
    pair = of_pair(prepare(once, ("a", "b")), 0, 1)
    assert ratio(pair) is None
    named, lots = attribution(pair), by_lot(pair)
    assert named.low > 0.5
    assert lots <= 0.001
    assert verdict(12, None, named, lots) == "distinct"


def once(distance: float, questions: int, seed: int):
    return of_pair(prepare(speak(Case(distance, questions, 1, seed)), ("a", "b")), 0, 1)


def test_of_one_voice_the_lots_say_what_they_should():
    """An exact test: of pairs that are one, a share of at most p has a chance of p or less."""
    for questions in (7, 20):  # all ways to swap are counted, and some are drawn
        chances = np.array([by_lot(once(0.0, questions, seed)) for seed in range(200)])
        for p in (0.05, 0.2, 0.5):
            assert (chances <= p).mean() <= p + 3 * np.sqrt(p * (1 - p) / 200), (questions, p)
        assert (chances <= 0.5).mean() >= 0.35, "nor does it never say anything"


def test_eight_questions_are_the_fewest_that_can_tell_by_lots() -> None:
    assert by_lot(once(3.0, 7, 0)) == 1 / 64 > BY_LOT
    assert by_lot(once(3.0, 8, 0)) == 1 / 128 < BY_LOT


def test_questions_that_share_a_draw_are_one() -> None:
    samples = [
        msgspec.structs.replace(s, draw=f"seed {s.question // 2} {s.persona}") for s in speak(Case(0.6, 12, 1, 0))
    ]
    pair = of_pair(prepare(samples, ("a", "b")), 0, 1)
    assert independent(pair).tolist() == [q // 2 for q in pair.questions.tolist()]
    one = of_pair(prepare([msgspec.structs.replace(s, draw=s.persona) for s in samples], ("a", "b")), 0, 1)
    assert set(independent(one).tolist()) == {0}
    assert (attribution(one), by_lot(one)) == (Estimated(0.5, 0.0, 1.0), 1.0)


def test_a_ratio_of_questions_that_share_their_draws_is_no_evidence() -> None:
    """Two speakers who heed nothing but their dice, asked six questions twice with the same two seeds."""
    dice = {(who, r): speak(Case(0.0, 1, 1, 10 * r + n))[0].text for n, who in enumerate("ab") for r in range(2)}
    samples = [
        Sample(persona=who, question=q, text=text, draw=f"{r} {who}")
        for q in range(6)
        for (who, r), text in dice.items()
    ]
    pair = of_pair(prepare(samples, ("a", "b")), 0, 1)
    apart = ratio(pair)
    assert apart is not None
    assert apart.low <= 1


def test_only_questions_both_answered_are_compared() -> None:
    samples = [s for s in speak(Case(0.0, 8, 2, 0)) if not (s.persona == "a" and s.question < 3)]
    pair = of_pair(prepare(samples, ("a", "b")), 0, 1)
    assert set(pair.questions.tolist()) == {3, 4, 5, 6, 7}


def test_of_many_personas_each_is_compared_with_the_nearest_and_twins_are_among_them() -> None:
    slugs = [f"p{n}" for n in range(20)]
    said = []
    for n, slug in enumerate(slugs):
        voice = [s for s in speak(Case(1.0, 8, 1, 7 if n in (3, 17) else n)) if s.persona == "a"]
        said += [msgspec.structs.replace(s, persona=slug) for s in voice]
    found = pairs_of(prepare(said, slugs), 20)
    assert (3, 17) in found
    assert found == sorted(set(found))
    assert 20 * NEAREST / 2 <= len(found) <= 20 * NEAREST
    assert {p for pair in found for p in pair} == set(range(20))
    few = prepare([s for s in said if s.persona in slugs[:8]], slugs[:8])
    assert len(pairs_of(few, 8)) == 28, "of few, each with each"
    silent = prepare([s for s in said if s.persona != "p5"], slugs)
    assert all(5 not in pair for pair in pairs_of(silent, 20))


def test_the_newest_answers_are_whole_questions() -> None:
    answers = prepare(speak(Case(0.3, 12, 2, 1)), ("a", "b"))
    assert sorted(set(newest(answers, 19).questions.tolist())) == [0, 1, 2, 3]
    assert len(newest(answers, 19).personas) == newest(answers, 19).rows.shape[0] == 16
    assert len(newest(answers, 2000).personas) == 48


def test_an_embedder_can_take_the_place_of_words() -> None:
    samples = speak(Case(0.0, 6, 2, 0))

    def by_persona(texts):
        axes = np.eye(2)[[["a", "b"].index(s.persona) for s in samples]]
        noisy = axes + np.random.default_rng(0).normal(0, 0.1, axes.shape)
        return noisy / np.linalg.norm(noisy, axis=1, keepdims=True)

    found = ratio(of_pair(prepare(samples, ("a", "b"), by_persona), 0, 1))
    assert found is not None
    assert found.low > 10


def test_the_same_samples_give_the_same_figures() -> None:
    one, two = (of_pair(prepare(speak(Case(0.3, 6, 2, 5)), ("a", "b")), 0, 1) for _ in range(2))
    assert (ratio(one), attribution(one)) == (ratio(two), attribution(two))


@pytest.mark.parametrize(
    ("questions", "apart", "named", "expected"),
    [
        (12, Estimated(1.2, 1.1, 1.3), Estimated(0.8, 0.7, 0.9), "distinct"),
        (12, Estimated(1.0, 0.98, 1.02), Estimated(0.5, 0.4, 0.6), "twins"),
        (12, Estimated(1.0, 0.98, 1.02), Estimated(0.6, 0.45, 0.75), "not sure"),
        (12, Estimated(1.0, 0.98, 1.02), Estimated(0.8, 0.7, 0.9), "not sure"),
        (12, Estimated(1.2, 1.1, 1.3), Estimated(0.5, 0.4, 0.6), "not sure"),
        (4, Estimated(1.2, 1.1, 1.3), Estimated(0.9, 0.8, 1.0), "not sure"),
    ],
)
def test_the_rules_of_the_verdict(questions, apart, named, expected) -> None:
    assert verdict(questions, apart, named) == expected


@pytest.mark.parametrize(
    ("named", "lots", "expected"),
    [
        (Estimated(0.8, 0.7, 0.9), 0.002, "distinct"),
        (Estimated(0.8, 0.7, 0.9), 0.03, "not sure"),
        (Estimated(0.8, 0.7, 0.9), None, "not sure"),
        (Estimated(0.5, 0.4, 0.6), 0.5, "twins"),
        (Estimated(0.5, 0.4, 0.6), 0.002, "not sure"),
        (Estimated(0.5, 0.3, 0.75), 0.5, "not sure"),
    ],
)
def test_the_rules_of_the_verdict_without_a_ratio(named, lots, expected) -> None:
    assert verdict(12, None, named, lots) == expected


def test_formatting_is_no_difference() -> None:
    assert plain("# Title\n\n**Plan:**\n1. *One*\n2. Two\n```py\nx = 1\n```") == plain("One\nTwo\nx = 1")


def test_advice_for_twins_depends_on_how_alike_the_prompts_are() -> None:
    lines = [
        "You begin with the smallest step that works.",
        "You ask what could go wrong.",
        "You write short sentences.",
    ]
    other = ["You love long metaphors.", "You draw before you speak.", "You quote the classics."]
    mixed = ["You begin with the smallest step that works!", *other[:2]]
    told = {
        name: advise("Ada", "Bob", "twins", *alike_lines(lines, against))
        for name, against in {"same": lines, "mixed": mixed, "other": other}.items()
    }
    assert told["same"][0] == "merge"
    assert told["mixed"][0] == "sharpen"
    assert (
        "“You begin with the smallest step that works.” and “You begin with the smallest step that works!”"
        in told["mixed"][1]
    )
    assert told["other"][0] == "train an adapter"
    assert advise("Ada", "Bob", "distinct", 0.9, ())[0] == "none"
    assert advise("Ada", "Bob", "not sure", 0.9, ())[0] == "ask more questions"


def test_lines_that_all_personas_share_are_nobodys() -> None:
    guard = "Never say who you are."
    prompts = [f"# You\n\n- {own} is what you do.\n- {guard}\n" for own in ("Mending", "Doubting", "Singing")]
    assert lines_of(prompts) == [[f"{own} is what you do."] for own in ("Mending", "Doubting", "Singing")]
    named = [
        f"You are {name}.\nYou like {thing} best." for name, thing in (("Ada", "wood"), ("Bob", "salt"), ("Cy", "rain"))
    ]
    assert lines_of(named, ("Ada", "Bob", "Cy")) == [
        ["You like wood best."],
        ["You like salt best."],
        ["You like rain best."],
    ]
    assert all(guard in own for own in lines_of(prompts[:2])), "of two personas, that is what they have in common"


def test_shares_have_wilsons_interval() -> None:
    assert share([]) == Estimated(0.0, 0.0, 1.0)
    half = share([True, False] * 50)
    assert (half.value, half.low, half.high) == (0.5, pytest.approx(0.4038, abs=1e-4), pytest.approx(0.5962, abs=1e-4))
