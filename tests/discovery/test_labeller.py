"""The offline labeller: what it says, how sure it is, and which words led to it."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from innercouncil.discovery.label_features import words_of
from innercouncil.discovery.labeller import FIELDS, Labelled, Labeller, share_topic, with_history
from innercouncil.model.conversation import Message, Span
from innercouncil.model.labels import ACTS, TONES, TOPICS, LabelledMessage

SETS = {"topic_category": TOPICS, "act": ACTS, "tone": TONES}
TEXTS = (
    "Write a python script that renames every file in a folder by its date.",
    "It raises TypeError: 'NoneType' object is not subscriptable. Why, and how do I fix it?",
    "Write a short story about a dragon who is afraid of fire.",
    "Prove that the square root of 2 is irrational.",
    "What should a landing page of a small bakery say to its customers?",
    "thanks, that was lovely!",
)


@pytest.fixture(scope="module")
def labeller() -> Labeller:
    return Labeller.load()


def message(text: str, n: int = 0, conversation: str = "", **fields: object) -> Message:
    base = {"id": f"m{n}", "conversation_id": conversation or f"c{n}", "title": "", "position": 0, "text": text}
    return Message(**(base | fields))  # type: ignore[arg-type]


def label(labeller: Labeller, *messages: Message) -> Labelled:
    return labeller.label(with_history(messages))


def label_one(labeller: Labeller, text: str, **fields: object) -> LabelledMessage:
    return label(labeller, message(text, **fields)).messages[0]


@pytest.mark.parametrize(
    ("text", "field", "expected"),
    [
        (TEXTS[0], "topic_category", "software"),
        (TEXTS[0], "act", "build"),
        (TEXTS[1], "topic_category", "software"),
        (TEXTS[1], "act", "debug"),
        (TEXTS[2], "topic_category", "creative"),
        (TEXTS[2], "act", "write"),
        (TEXTS[3], "topic_category", "math_science"),
        (TEXTS[3], "act", "solve"),
        (TEXTS[4], "topic_category", "business"),
        (TEXTS[5], "act", "feedback"),
        (TEXTS[5], "tone", "warm"),
    ],
)
def test_plain_cases_get_the_label_a_person_would_give(labeller, text, field, expected):
    assert getattr(label_one(labeller, text), field) == expected


def test_the_labels_are_those_of_the_documented_sets(labeller):
    assert {f: set(labeller.heads[f].labels) for f in FIELDS} == {f: set(s) for f, s in SETS.items()}


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=300), st.text(max_size=80), st.text(max_size=80))
def test_probabilities_of_any_message_sum_to_one(text, context, reply):
    labelled = label(Labeller.load(), message(text, context=context, reply=reply))
    for field in FIELDS:
        assert labelled.probabilities[field].sum() == pytest.approx(1, abs=1e-4)
        assert (labelled.probabilities[field] >= 0).all()


def test_confidence_is_the_probability_of_the_label_chosen(labeller):
    labelled = label(labeller, message(TEXTS[0]))
    for field in FIELDS:
        p = labelled.probabilities[field][0]
        chosen = labeller.heads[field].labels.index(getattr(labelled.messages[0], field))
        assert p.argmax() == chosen
        assert labelled.messages[0].confidence[field] == pytest.approx(p[chosen], abs=1e-4)


def test_every_label_of_a_plain_message_comes_with_evidence(labeller):
    one = label_one(labeller, TEXTS[0])
    assert {e.field for e in one.evidence} == set(FIELDS)
    assert all(getattr(one, e.field) == e.label for e in one.evidence)


@pytest.mark.parametrize("text", TEXTS)
def test_the_words_at_an_evidence_span_are_those_with_the_pull_it_claims(labeller, text):
    vocabulary = labeller.space.vocabulary["w"]
    for e in label_one(labeller, text).evidence:
        column = vocabulary[" ".join(words_of(text[e.start : e.end]))]
        head = labeller.heads[e.field]
        pull = head.weights[column, head.labels.index(e.label)] * labeller.space.idf[column]
        assert e.weight == pytest.approx(pull, abs=1e-3)
        assert e.weight > 0


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=st.sampled_from("Write a PYTHON story? 12 don't\nİßé!"), max_size=120))
def test_evidence_spans_lie_inside_any_text(text):
    for e in label_one(Labeller.load(), text).evidence:
        assert 0 <= e.start < e.end <= len(text)


def test_evidence_stands_in_the_persons_own_words_not_in_what_they_pasted(labeller):
    pasted, voice = "def write(python): story = 'write a python story'\n", "Write a python story about this."
    text = pasted + voice
    spans = (Span("code", 0, len(pasted)), Span("voice", len(pasted), len(text)))
    one = label_one(labeller, text, spans=spans)
    assert one.evidence
    assert all(e.start >= len(pasted) for e in one.evidence)


def test_pasted_text_is_not_the_voice(labeller):
    text = "x = 1\nWhy?"
    one = label_one(labeller, text, spans=(Span("code", 0, 6), Span("voice", 6, len(text))))
    assert (one.voice, one.pasted_chars) == ("Why?", 6)


def test_a_message_keeps_everything_it_came_with(labeller):
    given_message = message("Hi.", title="T", position=3, time=5.0, language="en", source="chatgpt", attachments=("a",))
    one = msgspec.structs.asdict(label(labeller, given_message).messages[0])
    kept = ("id", "conversation_id", "title", "position", "time", "branch", "language", "source", "text", "attachments")
    assert {k: one[k] for k in kept} == {k: getattr(given_message, k) for k in kept}


def test_markers_and_question_types_are_told_with_the_label(labeller):
    one = label_one(labeller, "Why does it stop? I think it is because of the cache.")
    assert one.reasoning_markers == {"cause": 1, "hedge": 1}
    assert one.question_types == ("why",)
    assert one.length_category == "short"


def test_messages_of_a_conversation_share_their_topic(labeller):
    story = message(TEXTS[2], 0, "story")
    vague = "Make it a little longer."
    alone = label(labeller, message(vague, 1, "other"))
    beside = label(labeller, story, message(vague, 1, "story"))
    creative = labeller.heads["topic_category"].labels.index("creative")
    assert beside.probabilities["topic_category"][1, creative] > alone.probabilities["topic_category"][0, creative]
    assert beside.messages[1].topic_category == "creative"


def test_a_shared_topic_score_is_the_own_plus_the_mean_of_the_others():
    logits = np.array([[1.0, 0.0], [3.0, 2.0], [5.0, 4.0], [9.0, 9.0]])
    shared = share_topic(logits, ["a", "a", "a", "b"])
    assert shared.tolist() == [[5.0, 3.0], [6.0, 4.0], [7.0, 5.0], [9.0, 9.0]]


def test_the_order_of_conversations_changes_no_label(labeller):
    messages = [message(t, n) for n, t in enumerate(TEXTS)]
    one, other = label(labeller, *messages), label(labeller, *reversed(messages))
    assert one.messages == other.messages[::-1]


def test_one_at_a_time_gives_what_all_at_once_gives(labeller):
    messages = [message(t, n) for n, t in enumerate(TEXTS)]
    together = label(labeller, *messages).messages
    assert [label(labeller, m).messages[0] for m in messages] == together


def test_no_messages_give_no_labels(labeller):
    assert label(labeller).messages == []


def test_history_is_the_title_and_the_earlier_words_newest_first():
    conversation = [message(t, n, "c", title="Title") for n, t in enumerate(("one", "two", "three"))]
    assert [h for _, h in with_history(conversation)] == ["Title", "one\nTitle", "two\none\nTitle"]


def test_history_ends_with_its_conversation():
    messages = [message("one", 0, "a", title="A"), message("two", 1, "b", title="B")]
    assert [h for _, h in with_history(messages)] == ["A", "B"]


def test_saving_what_was_restored_gives_the_same_bytes(labeller):
    data = labeller.save()
    assert Labeller.restore(data).save() == data


def test_a_restored_labeller_labels_the_same(labeller):
    messages = [message(t, n) for n, t in enumerate(TEXTS)]
    assert label(Labeller.restore(labeller.save()), *messages).messages == label(labeller, *messages).messages
