"""Style counts: what is measured, and that a planted voice is found nearer."""

from __future__ import annotations

import random

import pytest

from innercouncil.evaluation.adherence_style import Voice, style_drift, style_measures
from innercouncil.evaluation.voice import (
    Delta,
    function_word_match,
    has_function_words,
    question_rate,
    sentence_counts,
    sentence_length,
)

TERSE = ["I see it.", "You just test that?", "It is not here.", "So what now?", "We do this again."]
GRAND = [
    "The consideration of the matter in the light of the evidence about the past is of great value to all of the readers.",
    "Among the many questions which are raised by the topic, the one that is above every other is that of the purpose.",
]


def said(kind: list[str], seed: int, sentences: int = 12) -> str:
    return " ".join(random.Random(seed).choices(kind, k=sentences))


@pytest.fixture(scope="module")
def voice() -> Voice:
    texts = [said(TERSE, n, 4) for n in range(30)]
    return Voice(texts, Delta([said(TERSE if n % 2 else GRAND, 100 + n, 20) for n in range(10)]))


def test_sentences_are_counted_as_a_reader_would() -> None:
    counts = sentence_counts("What is it? I don’t know, 3.5 perhaps.\n1. **One** thing\n- (Two?)\n“Three?”")
    assert counts[:3].tolist() == [11, 5, 3]
    assert sentence_length(counts) == pytest.approx(11 / 5)
    assert question_rate(counts) == pytest.approx(3 / 5)
    assert sentence_counts("")[:3].tolist() == [0, 0, 0]
    assert question_rate(sentence_counts("")) == 0


def test_function_words_match_by_category() -> None:
    one, same, other = (sentence_counts(t) for t in ("the cat and a dog", "a hen or the ox", "cats dogs hens oxen"))
    assert function_word_match(one, same) == pytest.approx(1, abs=1e-3)
    assert function_word_match(one, other) < function_word_match(one, same)
    assert has_function_words(one)
    assert not has_function_words(sentence_counts("der Hund und die Katze sind hier"))


def test_the_planted_voice_is_nearer_by_every_measure(voice: Voice) -> None:
    mine = [[said(TERSE, 1000 + n)] for n in range(12)]
    plain = [[said(GRAND, 2000 + n)] for n in range(12)]
    found = {m.name: m for m in style_measures(mine, plain, voice)}
    assert set(found) == {"sentence length", "question rate", "function words", "frequent words"}
    for m in found.values():
        assert m.verdict == "nearer", m
        assert m.gain is not None
        assert m.gain.low > 0
    assert found["sentence length"].voice == pytest.approx(3.6, abs=0.3)
    turned = style_measures(plain, mine, voice)
    assert {m.verdict for m in turned} == {"farther"}


def test_the_same_answers_are_not_nearer(voice: Voice) -> None:
    same = [[said(TERSE, n)] for n in range(12)]
    assert {m.verdict for m in style_measures(same, same, voice)} == {"not sure"}


def test_without_a_voice_counts_are_told_and_no_verdict() -> None:
    found = style_measures([["One? Two."]] * 6, [["Three."]] * 6, None)
    assert [(m.name, m.verdict, m.gain) for m in found] == [
        ("sentence length", "no voice", None),
        ("question rate", "no voice", None),
    ]
    assert style_measures([[]], [["Three."]], None) == ()


def test_style_that_leaves_within_conversations_is_seen(voice: Voice) -> None:
    talks = [[said(TERSE, 10 * c + t) if t <= 4 else said(GRAND, 10 * c + t) for t in range(9)] for c in range(3)]
    found = {d.name: d for d in style_drift(talks, 8, voice)}
    assert found["sentence length"].change.low > 10
    assert found["function words"].change.high < 0
    assert style_drift(talks[:1], 8, voice) == ()
