"""Reasoning markers, question types and lengths: each count has the span it was counted at."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from innercouncil.discovery.markers import (
    LENGTHS,
    MARKERS,
    QUESTION_TYPES,
    find_markers,
    find_questions,
    length_category,
)


def markers(text: str) -> list[tuple[str, str]]:
    return [(name, text[start:end].lower()) for name, start, end in find_markers(text)]


def questions(text: str) -> list[str]:
    return [kind for kind, _, _ in find_questions(text)]


@pytest.mark.parametrize(
    ("marker", "text", "words"),
    [
        ("cause", "It fails because the list is empty.", "because"),
        ("condition", "Tell me unless you know better.", "unless"),
        ("contrast", "Short, but complete.", "but"),
        ("comparison", "Give the pros and cons.", "pros and cons"),
        ("sequence", "Go step by step.", "step by step"),
        ("example", "Fruit such as apples.", "such as"),
        ("goal", "I want to learn this.", "i want to"),
        ("constraint", "Use at most three.", "at most"),
        ("hedge", "Perhaps it rains.", "perhaps"),
        ("certainty", "Obviously it rains.", "obviously"),
        ("hypothesis", "Suppose it rains.", "suppose"),
        ("quantity", "Cut it to 200 words.", "200 words"),
        ("self_correction", "Scratch that.", "scratch that"),
    ],
)
def test_each_class_of_marker_is_found_where_it_stands(marker, text, words):
    assert (marker, words) in markers(text)


def test_every_class_of_marker_has_a_case_above():
    cases = test_each_class_of_marker_is_found_where_it_stands.pytestmark[0].args[1]
    assert {case[0] for case in cases} == set(MARKERS)


def test_markers_count_whole_words_only():
    assert markers("The butter is sift, wonderful and unlessened.") == []


def test_markers_are_found_without_regard_to_case():
    assert markers("BECAUSE") == [("cause", "because")]


def test_markers_come_from_left_to_right():
    starts = [start for _, start, _ in find_markers("First this, then that, but only if it works because of you.")]
    assert starts == sorted(starts)
    assert len(starts) == 6


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("what", "What is a monad?"),
        ("how", "How does it work?"),
        ("why", "Why does it fail?"),
        ("which", "Which one is faster?"),
        ("who", "Who wrote it?"),
        ("where", "Where is the file?"),
        ("when", "When was it written?"),
        ("how_much", "How many are there?"),
        ("yes_no", "Is it done?"),
        ("what_if", "What if it rains?"),
        ("request", "Could you shorten this?"),
        ("tag", "That is all, right?"),
        ("other", "Sugar?"),
    ],
)
def test_each_type_of_question_is_told_apart(kind, text):
    assert questions(text) == [kind]


def test_every_type_of_question_has_a_case_above():
    cases = test_each_type_of_question_is_told_apart.pytestmark[0].args[1]
    assert {case[0] for case in cases} == set(QUESTION_TYPES)


def test_a_sentence_without_a_question_mark_is_no_question():
    assert questions("How it works is clear. Tell me what it is.") == []


def test_two_questions_in_a_message_are_counted_as_two():
    assert questions("Why does it fail? How do I fix it?") == ["why", "how"]


def test_a_questions_span_is_its_sentence():
    text = "It fails. Why does it fail? Hm."
    ((_, start, end),) = find_questions(text)
    assert text[start:end] == "Why does it fail?"


@given(st.text(max_size=400))
def test_spans_lie_inside_any_text_and_do_not_overlap(text):
    for find in (find_markers, find_questions):
        at = 0
        for _, start, end in find(text):
            assert at <= start < end <= len(text)
            at = end


@pytest.mark.parametrize(
    ("words", "category"),
    [(0, "one_liner"), (7, "one_liner"), (8, "short"), (25, "medium"), (80, "long"), (250, "very_long")],
)
def test_a_length_belongs_to_the_band_that_begins_with_it(words, category):
    assert length_category(words) == category


@given(st.integers(0, 10**6))
def test_every_length_has_a_category(words):
    assert length_category(words) in {name for name, _ in LENGTHS}
