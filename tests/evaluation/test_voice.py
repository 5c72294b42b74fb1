"""Style and distinctness, on texts whose answer is plain."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from innercouncil.evaluation.voice import Delta, answer_distinctness, prompt_distinctness, style_of

PLAIN = ["the", "of", "and", "to", "in", "is", "it", "that", "was", "for"]
TERSE = ["i", "you", "so", "but", "well", "just", "now", "then", "here", "there"]


def text(words: list[str], count: int, seed: int) -> str:
    rng = random.Random(seed)
    both = words * 3 + PLAIN + TERSE
    return " ".join(rng.choice(both) for _ in range(count))


def no_markers(_text: str) -> Counter[str]:
    return Counter()


@pytest.fixture
def delta() -> Delta:
    return Delta([text(PLAIN if n % 2 else TERSE, 200, n) for n in range(12)])


def test_the_same_style_is_near_and_another_is_far(delta):
    near = delta.between(text(PLAIN, 800, 100), text(PLAIN, 800, 101))
    far = delta.between(text(PLAIN, 800, 100), text(TERSE, 800, 102))
    assert 3 * near < far
    assert delta.between("same words the", "same words the") == 0


def test_answers_in_the_own_voice_are_nearest_to_it_and_swapped_ones_are_not(delta):
    voices = [[text(PLAIN, 40, n) for n in range(20)], [text(TERSE, 20, n) for n in range(20)]]
    answers = [[text(PLAIN, 40, n) for n in range(90, 100)], [text(TERSE, 40, n) for n in range(90, 100)]]
    own = style_of(answers, voices, delta, no_markers)
    swapped = style_of(answers[::-1], voices, delta, no_markers)
    assert (own.nearest_own, swapped.nearest_own) == (1.0, 0.0)
    assert own.delta < swapped.delta
    assert own.length_ratio == pytest.approx(1.5)
    assert own.answers == 20


def test_markers_are_compared_as_shares():
    def find(said: str) -> Counter[str]:
        return Counter(w for w in said.split() if w in ("because", "but"))

    documents = [text(PLAIN, 200, n) for n in range(6)]
    voice = [["because because but"]]
    same = style_of([["because because but because because but"]], voice, Delta(documents), find)
    other = style_of([["but but but"]], voice, Delta(documents), find)
    none = style_of([["nothing"]], voice, Delta(documents), find)
    assert same.marker_distance == 0 < other.marker_distance < none.marker_distance == 1


def test_too_few_conversations_say_so():
    with pytest.raises(ValueError, match="2 conversations"):
        Delta([text(PLAIN, 100, n) for n in range(2)] + ["short"] * 20)


def test_distinctness_is_none_for_the_same_and_one_for_nothing_in_common():
    among = ["alpha beta", "gamma delta"]
    assert prompt_distinctness(["alpha beta", "gamma delta"], among) == 1
    assert prompt_distinctness(["alpha beta", "alpha beta"], among) == 0
    assert prompt_distinctness(["", ""], among) == 0
    assert prompt_distinctness(["alpha"], among) == 0
    assert prompt_distinctness(["", ""], [""]) == 0
    assert answer_distinctness([["alpha", "beta"], ["alpha", "delta"]], among) == 0.5
