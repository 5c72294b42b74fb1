"""Properties that hold for every export, however strange."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise

from chatgpt_builder import elements, new_report
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from innercouncil.readers import json_scan
from innercouncil.readers.chatgpt import recognise, to_conversation
from innercouncil.readers.messages import messages_of

ROLES = st.sampled_from(["user", "user", "assistant", "assistant", "system", "tool"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def trees(draw):
    """A conversation whose nodes hang on earlier nodes in any shape; every text is unique."""
    count = draw(st.integers(1, 30))
    mapping = {"n0": {"id": "n0", "message": None, "parent": None, "children": []}}
    for i in range(1, count + 1):
        parent = f"n{draw(st.integers(0, i - 1))}"
        hidden = draw(st.integers(0, 9)) == 0
        body = {
            "id": f"n{i}",
            "author": {"role": draw(ROLES)},
            "content": {"content_type": "text", "parts": [f"text {i}"]},
            "create_time": draw(st.none() | st.integers(1, 100)),
            "metadata": {"is_visually_hidden_from_conversation": True} if hidden else {},
        }
        mapping[f"n{i}"] = {"id": f"n{i}", "message": body, "parent": parent, "children": []}
        mapping[parent]["children"].append(f"n{i}")
    order = draw(st.permutations(list(mapping)))
    return {
        "conversation_id": "c",
        "mapping": {k: mapping[k] for k in order},
        "current_node": f"n{draw(st.integers(0, count))}",
    }


def seen_path(element):
    path, node = [], element["current_node"]
    while node:
        entry = element["mapping"][node]
        message = entry["message"]
        if message and message["author"]["role"] in ("user", "assistant") and not message["metadata"]:
            path.append(node)
        node = entry["parent"]
    return path[::-1]


@given(trees())
def test_the_active_turns_are_the_path_to_current_node(element):
    conversation = to_conversation(element, new_report())
    path = seen_path(element)
    active = [t.id for t in conversation.turns if t.branch == "active"] if conversation else []
    if path:
        assert active == path
    else:
        assert all(element["mapping"][node]["message"]["author"]["role"] in ("user", "assistant") for node in active)


@given(trees())
def test_every_user_node_appears_at_most_once_and_edits_stand_before_what_replaced_them(element):
    report = new_report()
    conversation = to_conversation(element, report)
    turns = conversation.turns if conversation else ()
    assert all(n == 1 for n in Counter(t.id for t in turns).values())
    for turn, following in pairwise(turns):
        if turn.branch == "edited":
            assert turn.role == following.role == "user"
    assert not turns or turns[-1].branch == "active"
    nodes = element["mapping"].values()
    users = [
        n["id"]
        for n in nodes
        if n["message"] and n["message"]["author"]["role"] == "user" and not n["message"]["metadata"]
    ]
    kept = [t.id for t in turns if t.role == "user"]
    if conversation:
        assert len(users) == len(kept) + report.skipped.get("message on an abandoned branch", 0)


@st.composite
def vandalised(draw):
    """A conversation in which some fields anywhere were replaced by any JSON value."""
    element = draw(trees())
    for _ in range(draw(st.integers(1, 6))):
        at = element
        while True:
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(at[key], dict | list) and at[key] and draw(st.integers(0, 3)):
                at = at[key]
                continue
            at[key] = draw(JSON)
            break
    return element


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(vandalised() | JSON)
def test_no_type_anywhere_raises(element):
    report = new_report()
    recognise(element)
    conversation = to_conversation(element, report)
    if conversation is None:
        assert sum(report.skipped.values()) >= 1
        return
    for message in messages_of(conversation, report, analyse=False):
        (message.text + message.title + message.context + message.reply + message.id).encode()
        assert "\0" not in message.text + message.title + message.context


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(JSON, max_size=12), st.sampled_from([None, 1]), st.integers(1, 80), st.booleans())
def test_any_array_comes_back_whole_in_blocks_of_any_size(values, indent, size, ascii_only):
    text = json.dumps(values, indent=indent, ensure_ascii=ascii_only)
    before, json_scan.BLOCK_BYTES = json_scan.BLOCK_BYTES, size
    try:
        found = elements(text.encode("utf-8", "surrogatepass"))
    finally:
        json_scan.BLOCK_BYTES = before
    assert json.dumps(found) == json.dumps(values)
