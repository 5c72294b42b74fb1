"""Ratings from simulated voters whose strengths and biases are known, and from cases worked out by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import choix
import numpy as np
import pytest
from scipy.optimize import minimize

from innercouncil.evaluation.comparisons import compare
from innercouncil.evaluation.gauges import chance, votes_needed
from innercouncil.evaluation.paired import PRIOR_SD, fit, guess
from innercouncil.evaluation.ratings import MIN_QUESTIONS, boards
from innercouncil.model.ratings import Board, Judgement

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from simulations_ratings import World, vote


def duel(question: int, *tiers: str, judge: str = "j", shown: str = "") -> Judgement:
    """A judgement of "ab" (a and b tied) before "c" …"""
    named = tuple(tuple(t) for t in tiers)
    return Judgement(
        question=f"q{question}", board="models", judge=judge, tiers=named, shown=tuple(shown or "".join(tiers)),
    )  # fmt: skip


def board(judgements: list[Judgement]) -> Board:
    return boards(judgements, "models")[0]


def strengths(found: Board) -> dict[str, float]:
    return {r.slug: r.strength for r in found.ratings}


def test_three_wins_to_one_is_the_logarithm_of_three():
    found = strengths(
        board([duel(n, *("ab" if n % 4 else "ba"), shown="ab" if n // 4 % 2 else "ba") for n in range(400)])
    )
    assert found["a"] - found["b"] == pytest.approx(np.log(3), abs=0.15)


def test_the_point_fit_is_that_of_choix():
    rng = np.random.default_rng(3)
    true = np.array([0.9, 0.2, -0.3, -0.8])
    pairs = []
    for _ in range(900):
        a, b = rng.choice(4, 2, replace=False)
        pairs.append((int(a), int(b)) if rng.random() < 1 / (1 + np.exp(true[b] - true[a])) else (int(b), int(a)))
    judgements = [
        Judgement(question=f"q{n}", board="models", judge="j", tiers=((str(w),), (str(x),)), shown=()) for n, (w, x) in enumerate(pairs)
    ]  # fmt: skip
    ours = fit(compare(judgements)).values[:4]
    theirs = choix.ilsr_pairwise(4, pairs)
    assert ours - ours.mean() == pytest.approx(theirs - theirs.mean(), abs=0.02)


@pytest.mark.parametrize(
    "world",
    [
        World((0.6, 0.1, -0.2, -0.5), 5000, voters="person", tie=-0.5, position=0.3, length=0.2),
        World((0.9, 0.0, -0.9), 4500, own=0.5, experiment=True, topic="software"),
    ],
)
def test_sampled_and_guessed_starts_end_where_a_solver_ends_that_is_given_the_likelihood_only(world: World):
    """The log-posterior written down once more, and climbed by scipy from zero."""
    c = compare(vote(world, np.random.default_rng(11)))
    k, used = len(c.slugs), [n for n in range(4) if np.abs(c.covariates[:, n]).max() > 0]
    tie = bool((c.outcome == 0).any())

    def loss(theta: np.ndarray) -> float:
        d = theta[c.one] - theta[c.other] + c.covariates[:, used] @ theta[k : k + len(used)]
        middle = np.full_like(d, theta[-1] if tie else -np.inf)
        said = np.choose(c.outcome + 1, [-d / 2, middle, d / 2])
        total = np.logaddexp(np.logaddexp(d / 2, -d / 2), middle)
        return float(-(c.weight * (said - total)).sum() + (theta**2).sum() / 2 / PRIOR_SD**2)

    size = k + len(used) + tie
    best = minimize(loss, np.zeros(size), method="BFGS", options={"gtol": 1e-3}).x[: k + len(used)]
    best[:k] -= best[:k].mean()
    found = fit(c)
    assert found.values == pytest.approx(best, abs=2e-4)
    half = c._replace(topics=tuple("even" if n % 2 else "odd" for n in range(c.questions))).about("even")
    assert fit(half, guess(c, found)).values == pytest.approx(fit(half).values, abs=1e-6)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    """300 draws of four voters ranking three others on 30 questions: 95% up to what 300 draws can tell."""
    true = np.array([0.6, 0.1, -0.2, -0.5])
    inside = total = 0
    for seed in range(300):
        found = board(vote(World(tuple(true), 30), np.random.default_rng(50_000 + seed)))
        for r in found.ratings:
            inside += r.low <= true[int(r.slug[1])] - true.mean() <= r.high
            total += 1
    assert 0.925 <= inside / total <= 0.985


def test_planted_biases_are_recovered_and_absent_ones_are_not_reported():
    biased = World((0.5, 0.0, -0.5, 0.0), 120, length=0.5, position=0.7)
    found = [{g.name: g for g in board(vote(biased, np.random.default_rng(70 + n))).gauges} for n in range(40)]
    for name, planted in (("position", 0.7), ("length", 0.5)):
        assert np.mean([f[name].value for f in found]) == pytest.approx(chance(planted), abs=0.015)
        assert np.mean([f[name].low <= chance(planted) <= f[name].high for f in found]) >= 0.85
        assert np.mean([f[name].shown for f in found]) >= 0.95
    assert all("own_answers=true" in b.unmeasured[0].why for b in [board(vote(biased, np.random.default_rng(70)))])
    fair = [board(vote(World((0.5, 0.0, -0.5, 0.0), 60), np.random.default_rng(900 + n))) for n in range(60)]
    false = np.mean([[g.shown for g in b.gauges] for b in fair])
    assert false <= 0.1


def test_a_judge_for_himself_is_found_where_own_answers_are_let_in():
    own = board(vote(World((0.0, 0.0, 0.0, 0.0), 200, own=1.2, experiment=True), np.random.default_rng(2)))
    gauge = next(g for g in own.gauges if g.name == "own")
    assert own.unmeasured == ()
    assert gauge.low < chance(1.2) < gauge.high
    assert any("whose answer it is" in w for w in own.warnings)
    assert not own.trusted


def test_ties_move_nobody_and_one_who_wins_everything_stays_finite():
    tied = board([duel(n, "ab", shown="ab" if n % 2 else "ba") for n in range(30)])
    assert [r.strength for r in tied.ratings] == pytest.approx([0, 0], abs=1e-6)
    sweep = board([duel(n, "a", "b", shown="ab" if n % 2 else "ba") for n in range(30)])
    first = sweep.ratings[0]
    assert first.slug == "a"
    assert np.isfinite([first.strength, first.low, first.high]).all()
    assert first.high - first.low > 1, "never having lost is no certainty"


def test_below_the_least_number_of_questions_nothing_is_drawn():
    few = board([duel(n, "a", "b") for n in range(MIN_QUESTIONS - 3)])
    assert (few.ratings, few.missing, few.trusted) == ((), 3, False)
    many_votes_one_question = board([duel(0, "a", "b", judge=str(n)) for n in range(100)])
    assert many_votes_one_question.missing == MIN_QUESTIONS - 1, "votes on one question are not questions"


def test_groups_that_never_met_are_told():
    apart = [duel(n, "a", "b") for n in range(20)] + [duel(20 + n, "c", "d") for n in range(20)]
    assert any("never judged against each other" in w and "a, b | c, d" in w for w in board(apart).warnings)


def test_places_are_ranges_where_intervals_overlap():
    close = board(vote(World((0.1, 0.0, -0.1), 12), np.random.default_rng(5)))
    assert all((r.first, r.last) == (1, 3) for r in close.ratings)
    assert any("All intervals overlap" in w for w in close.warnings)
    clear = board(vote(World((2.0, 0.0, -2.0), 120), np.random.default_rng(6)))
    assert [(r.slug, r.first, r.last) for r in clear.ratings] == [("p0", 1, 1), ("p1", 2, 2), ("p2", 3, 3)]


def test_the_numbers_of_votes_are_the_textbook_ones():
    assert [votes_needed(p) for p in (0.55, 0.6, 0.65, 0.7, 0.75)] == [783, 194, 85, 47, 29]


def test_one_vote_on_nobody_and_no_votes_at_all_are_no_error():
    assert board([]).ratings == ()
    assert board([duel(n, "a") for n in range(20)]).ratings == ()
