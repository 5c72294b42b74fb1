"""The labeller on what exports really hold: pasted material, nothing at all."""

from __future__ import annotations

import pytest

from innercouncil.discovery.label_features import COUNT_NAMES, FeatureSpace
from innercouncil.discovery.labeller import FIELDS, Labeller
from innercouncil.model.conversation import Message, Span
from innercouncil.model.errors import InnerCouncilError

PASTED = "Traceback: the function crashed with an error in the code, please debug and fix the bug in this script"
ASK = "Why does my Python script crash? Please fix the bug."


def message(text: str, *spans: Span) -> Message:
    return Message(id="m", conversation_id="c", title="", position=0, text=text, context="", reply="", spans=spans, source="chatgpt")  # fmt: skip


def test_evidence_lies_in_the_persons_own_words():
    text = f"{PASTED}\n{ASK}\n{PASTED}"
    start, end = len(PASTED) + 1, len(PASTED) + 1 + len(ASK)
    spans = (Span("log", 0, start), Span("voice", start, end), Span("log", end, len(text)))
    labelled = Labeller.load().label([(message(text, *spans), "")]).messages[0]
    assert labelled.evidence
    for e in labelled.evidence:
        assert start <= e.start < e.end <= end, text[e.start : e.end]


def test_two_words_around_something_pasted_are_no_pair():
    text = f"please fix\n{PASTED}\nthe bug"
    cut = len("please fix\n")
    spans = (Span("voice", 0, cut), Span("log", cut, cut + len(PASTED)), Span("voice", cut + len(PASTED), len(text)))
    labelled = Labeller.load().label([(message(text, *spans), "")]).messages[0]
    assert all(e.end - e.start < 40 for e in labelled.evidence)


def test_nothing_to_label_is_no_fault():
    labelled = Labeller.load().label([])
    assert labelled.messages == []
    assert labelled.counts.shape == (0, len(COUNT_NAMES))
    assert {f: p.shape[0] for f, p in labelled.probabilities.items()} == dict.fromkeys(FIELDS, 0)


def test_weights_trained_on_other_counts_are_refused_in_one_sentence():
    trained = Labeller.load()
    space = trained.space
    fewer = FeatureSpace(space.vocabulary, space.idf, space.mean[:-1], space.scale[:-1])
    with pytest.raises(InnerCouncilError, match=r"trained on 85 counts .* but 86 are made now; .*train_labeller\.py"):
        Labeller.restore(Labeller(fewer, trained.heads, "other").save())
