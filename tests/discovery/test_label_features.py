"""What the labeller sees of a message: views that keep apart who said a word, and counts a person can read."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from innercouncil.discovery.label_features import (
    COUNT_NAMES,
    VIEWS,
    VOICE_CHARS,
    FeatureSpace,
    LabelInput,
    clip_voice,
    extract,
    lexicon_lists,
    word_places,
    words_of,
)

TEXTS = (
    "Why does this loop never stop?",
    "Write a poem about the sea, please.",
    "Why does this function stop?",
    "Prove that the sum of two odd numbers is even.",
)


def given_voice(voice: str = "", **fields: object) -> LabelInput:
    base = {"voice": voice, "pasted": "", "context": "", "reply": "", "history": "", "position": 0}
    return LabelInput(**(base | fields))  # type: ignore[arg-type]


def count(name: str, item: LabelInput) -> float:
    return extract(item).counts[COUNT_NAMES.index(name)]


def fitted() -> FeatureSpace:
    rows = [extract(given_voice(t)) for t in TEXTS]
    return FeatureSpace.fit(rows, min_df=1, max_terms={})


def test_a_number_is_read_as_zero_and_a_question_mark_as_a_word():
    assert words_of("Is 42 > 7?") == ["is", "0", "0", "?"]


def test_words_keep_the_signs_of_programming_languages():
    assert words_of("C++ or C# or don't") == ["c++", "or", "c#", "or", "don't"]


def test_the_place_of_a_word_is_its_first():
    assert word_places("go on and go")["go"] == (0, 2)


def test_the_place_of_a_pair_spans_both_words():
    assert word_places("please go on")["go on"] == (7, 12)


def test_a_short_voice_is_read_whole():
    assert clip_voice("a" * VOICE_CHARS) == "a" * VOICE_CHARS


def test_of_a_long_voice_the_beginning_and_the_end_are_read():
    clipped = clip_voice("begin " + "x" * 10 * VOICE_CHARS + " end")
    assert clipped.startswith("begin ")
    assert clipped.endswith(" end")
    assert len(clipped) <= VOICE_CHARS + 1


@pytest.mark.parametrize(
    ("view", "field"), [("w", "voice"), ("b", "context"), ("r", "reply"), ("p", "pasted"), ("h", "history")]
)
def test_a_view_holds_the_words_of_its_own_source_only(view, field):
    views = extract(given_voice(**{field: "elephant"})).views
    others = {"w", "b", "r", "p", "h"} - {view}
    assert "elephant" in views[view]
    assert not any("elephant" in views[o] for o in others)


@pytest.mark.parametrize("field", ["voice", "context", "reply", "pasted", "history"])
def test_the_view_of_everything_holds_words_from_anywhere(field):
    around = extract(given_voice(**{field: "elephant"})).views["a"]
    assert "elephant" in around


def test_how_a_sentence_begins_is_kept_apart_from_its_words():
    starts = extract(given_voice("Fix this. Then run it.")).views["s"]
    assert {"fix", "fix this", "then", "then run", "^fix", "$it"} <= set(starts)


@pytest.mark.parametrize(
    ("name", "item", "value"),
    [
        ("words", given_voice("one two three"), math.log1p(3)),
        ("questions", given_voice("What? Why?"), math.log1p(2)),
        ("bullets", given_voice("- a\n- b\n1. c"), math.log1p(3)),
        ("urls", given_voice("see https://example.com/a"), math.log1p(1)),
        ("ends_question", given_voice("really? "), 1.0),
        ("starts_lower", given_voice("lower"), 1.0),
        ("first_message", given_voice("x", position=0), 1.0),
        ("first_message", given_voice("x", position=3), 0.0),
        ("has_context", given_voice("x", context="before"), 1.0),
        ("pasted_chars", given_voice("x", pasted="abcd"), math.log1p(4)),
        ("reply_code", given_voice("x", reply="```py\n1\n```"), 1.0),
    ],
)
def test_counts_say_what_their_name_says(name, item, value):
    assert count(name, item) == pytest.approx(value)


def test_an_empty_message_has_features():
    features = extract(given_voice())
    assert len(features.counts) == len(COUNT_NAMES)
    assert all(map(math.isfinite, features.counts))


def test_every_word_list_of_the_lexicon_is_lower_case_and_not_empty():
    for name, exact, prefixes in lexicon_lists():
        assert exact or prefixes, name
        assert all(w == w.lower() for w in (*exact, *prefixes))


def lexicon_hits(item):
    lists = [name for name, _, _ in lexicon_lists()]
    names = [f"voice_{n}" for n in lists] + [f"around_{n}" for n in lists if n.startswith("topic_")]
    return dict(zip(names, extract(item).lexicon, strict=True))


def test_every_list_is_counted_in_the_voice_and_a_topics_list_also_around_it():
    assert len(lexicon_hits(given_voice("python"))) > len(lexicon_lists())


def test_a_word_of_a_topics_list_is_counted_for_that_topic():
    hits = lexicon_hits(given_voice("python javascript"))
    assert hits["voice_topic_software"] > 0
    assert hits["voice_topic_creative"] == 0
    assert hits["around_topic_software"] == 0


@given(
    st.builds(
        LabelInput, st.text(max_size=300), st.text(max_size=99), st.text(max_size=99), st.text(max_size=99),
        st.text(max_size=99), st.integers(0, 10**4),
    )
)  # fmt: skip
def test_any_message_gives_finite_features(item):
    features = extract(item)
    assert set(features.views) == set(VIEWS)
    assert all(map(math.isfinite, features.counts + features.lexicon))


def test_every_view_of_a_row_has_unit_length_or_none():
    space = fitted()
    row = space.transform([extract(given_voice(TEXTS[0]))]).toarray()[0]
    for view in VIEWS:
        columns = list(space.vocabulary[view].values())
        assert np.linalg.norm(row[columns]) == pytest.approx(1, abs=1e-4) or not row[columns].any()


def test_words_never_seen_in_training_leave_no_trace_in_the_word_view():
    space = fitted()
    row = space.transform([extract(given_voice("Zyzzyva quokka"))]).toarray()[0]
    assert not row[list(space.vocabulary["w"].values())].any()


def test_a_row_does_not_depend_on_the_rows_beside_it():
    space = fitted()
    rows = [extract(given_voice(t)) for t in TEXTS]
    together = space.transform(rows).toarray()
    alone = np.vstack([space.transform([r]).toarray() for r in rows])
    assert (together == alone).all()


def test_the_most_frequent_terms_are_kept_where_there_is_a_limit():
    rows = [extract(given_voice(t)) for t in ("a b", "a b", "a c")]
    space = FeatureSpace.fit(rows, min_df=1, max_terms={"w": 2})
    assert list(space.vocabulary["w"]) == ["a", "a b"]


def test_learning_does_not_depend_on_the_order_of_the_rows():
    rows = [extract(given_voice(t)) for t in TEXTS]
    one, other = (FeatureSpace.fit(r, min_df=1, max_terms={}) for r in (rows, rows[::-1]))
    assert one.vocabulary == other.vocabulary
    assert (one.idf == other.idf).all()
