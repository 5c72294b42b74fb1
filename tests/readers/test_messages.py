from __future__ import annotations

import pytest
from chatgpt_builder import new_report

from innercouncil.model.conversation import Conversation, Span, Turn
from innercouncil.readers.messages import CUT, MAX_MESSAGE_CHARS, NO_TEXT, clean, clip, messages_of


def conversation(*turns, **fields):
    built = tuple(t if isinstance(t, Turn) else Turn(role=t[0], text=t[1]) for t in turns)
    return Conversation(**({"id": "c", "title": "T", "turns": built} | fields))


def read(*turns, report=None, **options):
    return list(messages_of(conversation(*turns), report or new_report(), **({"analyse": False} | options)))


def test_each_message_has_what_it_answers_and_what_answered_it():
    one, two = read(
        ("user", "q1"), ("assistant", "a1"), ("tool", "x"), ("assistant", "a2"), ("user", "q2"), ("assistant", "a3")
    )
    assert (one.text, one.context, one.reply, one.position) == ("q1", "", "a1\n\na2", 0)
    assert (two.text, two.context, two.reply, two.position) == ("q2", "a1\n\na2", "a3", 1)
    assert (one.source, one.title, one.conversation_id) == ("chatgpt", "T", "c")


def test_two_messages_in_a_row_share_no_context():
    one, two = read(("assistant", "hello"), ("user", "q1"), ("user", "q2"))
    assert (one.context, one.reply, two.context) == ("hello", "", "")


def test_an_edited_branch_carries_position_and_context_of_what_replaced_it():
    edited = Turn(role="user", text="draft", branch="edited")
    first, draft, final = read(("user", "q"), ("assistant", "a"), edited, ("user", "final"), ("assistant", "b"))
    assert (draft.position, draft.context, draft.reply, draft.branch) == (1, "a", "", "edited")
    assert (final.position, final.context, final.reply) == (1, "a", "b")
    assert first.position == 0


@pytest.mark.parametrize("limit", [0, 1, 3, 10, 101, 2000, 5000])
def test_a_long_context_keeps_head_and_tail(limit):
    texts = ["A" * 3000, "  ", "B" * 3000]
    clipped = clip(texts, limit)
    assert len(clipped) <= limit
    if limit > 10:
        assert clipped.startswith("A")
        assert clipped.endswith("B")
        assert clipped.count(" … ") == 1
        assert abs(clipped.count("A") - clipped.count("B")) <= 1


def test_clip_is_exact_at_the_limit():
    assert clip(["ab", "cd"], 6) == "ab\n\ncd"
    assert clip(["abcdefgh"], 7) == "ab … gh"


def test_the_reply_is_the_beginning_of_the_answer():
    (one,) = read(("user", "q"), ("assistant", "x" * 5000), reply_chars=100)
    assert one.reply == "x" * 100


def test_ids_are_unique_within_the_import():
    seen = set()
    turns = [
        Turn(role="user", text="x", id="node-1"),
        Turn(role="user", text="y", id="node-1"),
        Turn(role="user", text="z"),
    ]
    ids = [m.id for m in messages_of(conversation(*turns), new_report(), seen=seen, analyse=False)]
    assert ids == ["node-1", "c#1", "c#2"]
    again = conversation(*turns, id="d")
    assert [m.id for m in messages_of(again, new_report(), seen=seen, analyse=False)] == ["d#0", "d#1", "d#2"]
    taken = {"c#0"}
    assert next(messages_of(conversation(("user", "x")), new_report(), seen=taken, analyse=False)).id == "c#0.2"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a\0b", "ab"),
        ("x\ud83dy", "x\ufffdy"),
        ("\ud83d\ude00", "😀"),
        ("é😀", "é😀"),
        ("", ""),
        ("\ude00\ud83d", "\ufffd\ufffd"),
    ],
)
def test_texts_are_clean(given, expected):
    assert clean(given) == expected
    clean(given).encode()


def test_titles_are_one_clean_line():
    (one,) = messages_of(
        conversation(("user", "q"), title=" a\n\tb\0\x1b[0m " + "x" * 999), new_report(), analyse=False
    )
    assert one.title.startswith("a b [0m x")
    assert len(one.title) == 200


def test_a_message_over_a_million_characters_is_cut_and_counted():
    report = new_report()
    pasted = Turn(role="user", text="x" * (MAX_MESSAGE_CHARS + 5), pasted=("more",))
    (one,) = read(pasted, report=report)
    assert len(one.text) == MAX_MESSAGE_CHARS
    assert report.skipped == {CUT: 2}


def test_messages_without_text_are_counted():
    report = new_report()
    assert (
        read(("user", " \n"), ("user", "\0"), Turn(role="user", text="", attachments=("cat.png",)), report=report) == []
    )
    assert report.skipped == {NO_TEXT: 3}


def test_material_kept_apart_is_appended_as_a_document():
    (one,) = read(Turn(role="user", text="look at this", pasted=("page one", " ", "page two")), analyse=True)
    assert one.text == "look at this\n\npage one\n\npage two"
    assert one.voice == "look at this"
    assert [s.kind for s in one.spans] == ["voice", "document", "document"]
    (bare,) = read(Turn(role="user", text="", pasted=("only this",)), analyse=True)
    assert (bare.text, bare.spans) == ("only this", (Span("document", 0, 9),))


@pytest.mark.parametrize("text", ["plain words", "see\n```py\nx = 1\n```\nwhy?", "> quoted\n\nmine", "x" * 2000])
def test_spans_partition_the_text(text):
    (one,) = read(Turn(role="user", text=text, pasted=("doc",)), analyse=True)
    at = 0
    for span in one.spans:
        assert span.start == at < span.end
        at = span.end
    assert at == len(one.text)


def test_the_language_is_that_of_the_voice():
    (one,) = read(("user", "Can you tell me why the sky is blue in the morning?"), analyse=True)
    assert one.language == "en"


def test_the_report_counts_messages_and_characters():
    report = new_report()
    read(("user", "12345"), ("assistant", "a"), ("user", "678"), report=report)
    assert (report.user_messages, report.user_chars) == (2, 8)


def test_the_model_is_the_one_that_answered():
    turns = [Turn(role="user", text="q"), Turn(role="assistant", text="a", model="gpt-5"), Turn(role="user", text="r")]
    found = messages_of(conversation(*turns, model="default"), new_report(), analyse=False)
    assert [m.model for m in found] == ["gpt-5", "default"]
