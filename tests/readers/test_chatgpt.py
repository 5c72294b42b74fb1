from __future__ import annotations

import time

import pytest
from chatgpt_builder import chat, message, new_report, simple

from innercouncil.readers import chatgpt
from innercouncil.readers.chatgpt import ABANDONED, STEP, recognise, to_conversation


def read(element):
    report = new_report()
    return to_conversation(element, report), report


def texts(conversation, role=None):
    return [t.text for t in conversation.turns if role in (None, t.role)]


def test_recognises_by_the_mapping_and_nothing_else():
    assert recognise({"mapping": {}})
    for other in ({"mapping": []}, {"chat_messages": []}, [], None, "mapping", {"uuid": "x", "mapping": None}):
        assert not recognise(other)


def test_the_visible_thread_is_the_walk_up_from_current_node():
    rows = [
        ("r", None, None),
        ("u", "r", "user", "question"),
        ("a1", "u", "assistant", "first answer"),
        ("a2", "u", "assistant", "second answer"),
        ("v", "a1", "user", "go on"),
        ("b", "v", "assistant", "more"),
    ]
    conversation, _ = read(chat(*rows, current_node="b"))
    assert texts(conversation) == ["question", "first answer", "go on", "more"]
    conversation, report = read(chat(*rows, current_node="a2"))
    assert texts(conversation) == ["question", "second answer"]
    assert report.skipped == {ABANDONED: 1}


@pytest.mark.parametrize("current", [None, "gone", 7, ["b"]])
def test_without_a_current_node_the_newest_leaf_counts(current):
    rows = [
        ("r", None, None),
        ("u", "r", "user", "question", {"create_time": 1.0}),
        ("new", "u", "assistant", "newer", {"create_time": 9.0}),
        ("old", "u", "assistant", "older", {"create_time": 5.0}),
    ]
    conversation, _ = read(chat(*rows, current_node=current))
    assert texts(conversation) == ["question", "newer"]


def test_without_any_times_the_last_leaf_counts():
    conversation, _ = read(
        chat(("u", None, "user", "q"), ("a", "u", "assistant", "1"), ("b", "u", "assistant", "2"), current_node="")
    )
    assert texts(conversation) == ["q", "2"]


def test_an_edited_message_stands_before_the_one_that_replaced_it():
    rows = [
        ("r", None, None),
        ("u1", "r", "user", "first try"),
        ("x", "u1", "assistant", "to the first"),
        ("lost", "x", "user", "deep in the old branch"),
        ("u2", "r", "user", "second try"),
        ("u3", "r", "user", "final"),
        ("a", "u3", "assistant", "answer"),
    ]
    conversation, report = read(chat(*rows))
    assert [(t.text, t.branch) for t in conversation.turns] == [
        ("first try", "edited"),
        ("second try", "edited"),
        ("final", "active"),
        ("answer", "active"),
    ]
    assert report.skipped == {ABANDONED: 1}


def test_an_edit_is_found_behind_hidden_nodes():
    hidden = {"metadata": {"is_visually_hidden_from_conversation": True}}
    rows = [
        ("r", None, None),
        ("h1", "r", "system", "", hidden),
        ("u1", "h1", "user", "before"),
        ("h2", "r", "system", "", hidden),
        ("u2", "h2", "user", "after"),
    ]
    conversation, _ = read(chat(*rows))
    assert [(t.text, t.branch) for t in conversation.turns] == [("before", "edited"), ("after", "active")]


def test_what_nobody_saw_is_left_out():
    hidden = {"metadata": {"is_visually_hidden_from_conversation": True}}
    rows = [
        ("r", None, None),
        ("s", "r", "system", "be nice"),
        ("h", "s", "user", "hidden context", hidden),
        ("u", "h", "user", "question"),
        ("w", "u", "user", "weightless", {"weight": 0.0}),
        ("p", "w", "assistant", "I will look it up", {"channel": "commentary"}),
        ("c", "p", "assistant", "search('x')", {"recipient": "browser"}),
        ("t", "c", "tool", "a page"),
        ("a", "t", "assistant", "answer", {"recipient": "all", "weight": 1.0, "channel": "final"}),
    ]
    conversation, report = read(chat(*rows))
    assert texts(conversation) == ["question", "answer"]
    assert report.skipped[STEP] == 3


@pytest.mark.parametrize(
    "content",
    [
        {"content_type": "code", "language": "python", "text": "print(1)"},
        {"content_type": "execution_output", "text": "1"},
        {"content_type": "tether_quote", "url": "x", "text": "quoted"},
        {"content_type": "tether_browsing_display", "result": "page"},
        {"content_type": "thoughts", "thoughts": [{"summary": "s", "content": "c"}]},
        {"content_type": "reasoning_recap", "content": "Thought for 7 seconds"},
    ],
)
def test_steps_of_the_assistant_are_no_answers(content):
    rows = [
        ("u", None, "user", "q"),
        ("s", "u", "assistant", "", {"content": content}),
        ("a", "s", "assistant", "done"),
    ]
    conversation, report = read(chat(*rows))
    assert texts(conversation) == ["q", "done"]
    assert report.skipped == {STEP: 1}


def test_custom_instructions_are_kept_apart():
    context = {"content_type": "user_editable_context", "user_profile": "I am Sam", "user_instructions": "Be brief"}
    hidden = {"is_visually_hidden_from_conversation": True}
    rows = [("c", None, "user", "", {"content": context, "metadata": hidden}), ("u", "c", "user", "q")]
    conversation, _ = read(chat(*rows))
    assert conversation.instructions == "I am Sam\nBe brief"
    assert texts(conversation) == ["q"]
    raw = {"user_context_message_data": {"about_user_message": "raw profile", "about_model_message": None}}
    rows[0] = ("c", None, "system", "", {"content": context, "metadata": hidden | raw})
    assert read(chat(*rows))[0].instructions == "raw profile"


def test_pictures_become_attachments_and_speech_becomes_text():
    parts = [
        {"content_type": "image_asset_pointer", "asset_pointer": "file-service://file-abc"},
        {"content_type": "image_asset_pointer", "asset_pointer": "sediment://file_other"},
        {"content_type": "audio_transcription", "text": "spoken words", "direction": "in"},
        {"content_type": "audio_asset_pointer", "asset_pointer": "sediment://sound"},
        "typed words",
        {"content_type": "real_time_user_audio_video_asset_pointer", "audio_asset_pointer": {}},
        None,
    ]
    fields = {
        "content": {"content_type": "multimodal_text", "parts": parts},
        "metadata": {"attachments": [{"id": "file-abc", "name": "cat.png"}, {"name": "notes.pdf"}, 3]},
    }
    conversation, _ = read(chat(("u", None, "user", "", fields)))
    (turn,) = conversation.turns
    assert turn.text == "spoken words\ntyped words"
    assert turn.attachments == ("cat.png", "notes.pdf", "file_other", "sound")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"content_type": "brand_new", "parts": ["words"]}, "words"),
        ({"content_type": "brand_new", "text": "words"}, "words"),
        ({"content_type": "brand_new", "content": "words"}, "words"),
        ("words", "words"),
        ({"parts": "words"}, "words"),
    ],
)
def test_unknown_kinds_are_read_where_they_hold_text(content, expected):
    conversation, _ = read(chat(("u", None, "user", "", {"content": content})))
    assert texts(conversation) == [expected]


def test_unknown_kinds_without_text_are_counted():
    _, report = read(
        chat(("v", None, "user", "q"), ("u", "v", "user", "", {"content": {"content_type": "hologram", "waves": 3}}))
    )
    assert report.skipped == {chatgpt.UNKNOWN: 1}


def test_cycles_and_self_parents_end():
    looped = chat(
        ("a", "b", "user", "one"), ("b", "a", "assistant", "two"), ("c", "c", "user", "three"), current_node="b"
    )
    assert texts(read(looped)[0]) == ["one", "two"]
    assert texts(read(looped | {"current_node": None})[0])


def test_a_missing_parent_is_found_through_the_list_of_children():
    rows = [("r", None, None), ("u", "r", "user", "question"), ("a", "u", "assistant", "answer")]
    element = chat(*rows)
    del element["mapping"]["a"]["parent"]
    element["mapping"]["u"]["parent"] = "gone"
    assert texts(read(element)[0]) == ["question", "answer"]


def test_missing_child_links_do_not_matter():
    element = simple("c")
    for node in element["mapping"].values():
        del node["children"]
    assert texts(read(element)[0]) == ["hello", "hi there"]


def test_fields_of_the_conversation():
    element = simple("c9") | {"gizmo_id": "g-123", "is_archived": True, "default_model_slug": "gpt-4o", "title": "T"}
    conversation, _ = read(element)
    assert (conversation.id, conversation.assistant_id, conversation.archived) == ("c9", "g-123", True)
    assert (conversation.model, conversation.title, conversation.time) == ("gpt-4o", "T", 1.7e9)


def test_minimal_trees_of_old_exports_are_enough():
    node = {"message": {"author": {"role": "user"}, "content": {"parts": ["hi"]}}}
    conversation, _ = read({"mapping": {"node-1": node}})
    assert texts(conversation) == ["hi"]
    assert conversation.id.startswith("chatgpt-")
    again, _ = read({"mapping": {"node-1": node}})
    other, _ = read({"mapping": {"node-1": {"message": message("user", "something else")}}})
    assert conversation.id == again.id != other.id


def test_do_not_remember_is_honoured():
    assert read(simple("c") | {"is_do_not_remember": True})[0] is None
    rows = [("u", None, "user", "secret", {"metadata": {"is_do_not_remember": True}}), ("v", "u", "user", "open")]
    conversation, report = read(chat(*rows))
    assert texts(conversation) == ["open"]
    assert report.skipped == {"message marked do-not-remember": 1}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.7e9, 1.7e9),
        (1700000000123, 1700000000.123),
        ("2023-11-14T22:13:20Z", 1.7e9),
        (None, None),
        (True, None),
        (float("nan"), None),
        (float("inf"), None),
        (10**400, None),
        (-5, None),
        ("soon", None),
        ([], None),
    ],
)
def test_times_of_every_kind(value, expected):
    conversation, _ = read(chat(("u", None, "user", "q", {"create_time": value})))
    assert conversation.turns[0].time == expected


@pytest.mark.parametrize(
    "element", [None, 3, [], {}, {"mapping": None}, {"mapping": []}, {"mapping": {"a": None, "b": 3}}]
)
def test_what_is_no_conversation_is_counted(element):
    conversation, report = read(element)
    assert conversation is None
    assert sum(report.skipped.values()) == 1


def test_a_hundred_thousand_turns_deep_is_linear():
    def deep(n):
        rows = [(str(i), str(i - 1) if i else None, "user" if i % 2 else "assistant", "x") for i in range(n)]
        return chat(*rows, current_node=None)

    def seconds(element):
        start = time.perf_counter()
        assert len(read(element)[0].turns) == len(element["mapping"])
        return time.perf_counter() - start

    small, large = deep(10_000), deep(100_000)
    assert seconds(large) < 40 * max(min(seconds(small), seconds(small)), 0.01)


def test_a_hundred_thousand_edits_are_linear():
    rows = [("r", None, None), *((str(i), "r", "user", "x") for i in range(100_000))]
    start = time.perf_counter()
    conversation, _ = read(chat(*rows))
    assert len(conversation.turns) == 100_000
    assert time.perf_counter() - start < 10
