"""Claude, Gemini, Open WebUI, LM Studio, llm and plain JSONL: recognised by content, read through the registry."""

from __future__ import annotations

import json
import sqlite3
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from innercouncil.model.conversation import Conversation, ImportReport
from innercouncil.model.errors import ImportFormatError
from innercouncil.readers import claude, gemini, lmstudio, openwebui
from innercouncil.readers.registry import read_export, read_messages


def read(path: Path) -> tuple[list[Conversation], ImportReport]:
    report = ImportReport(format="", source_name=path.name)
    return list(read_export(path, report)), report


def saved(folder: Path, name: str, data: object) -> Path:
    path = folder / name
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


def texts(conversation: Conversation) -> list[tuple[str, str]]:
    return [(t.role, t.text) for t in conversation.turns]


CLAUDE = [
    {
        "uuid": "c1", "name": "Bread", "created_at": "2025-01-02T03:04:05Z",
        "chat_messages": [
            {
                "uuid": "m1", "sender": "human", "text": "old text", "created_at": None,
                "content": [{"type": "text", "text": "Why is it flat?"}],
                "attachments": [{"file_name": "paste.txt", "extracted_content": "flour 500 g"}],
            },
            None,
            {"uuid": "m2", "sender": "assistant", "text": "", "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Old yeast."}]},
            {"uuid": "m3", "sender": "human", "text": "thanks", "content": []},
        ],
    }
]  # fmt: skip


def test_claude_blocks_are_read_and_attachments_are_no_voice(tmp_path):
    path = saved(tmp_path, "conversations.json", CLAUDE)
    (conversation,), report = read(path)
    assert report.format == "claude"
    assert texts(conversation) == [("user", "Why is it flat?"), ("assistant", "Old yeast."), ("user", "thanks")]
    messages = list(read_messages(path, ImportReport(format="", source_name="")))
    assert messages[0].voice == "Why is it flat?"
    assert "flour 500 g" in messages[0].text
    assert messages[0].attachments == ("paste.txt",)
    assert messages[1].context == "Old yeast."


def test_gemini_activities_close_in_time_are_one_conversation(tmp_path):
    def activity(title: str, minute: int) -> dict[str, Any]:
        return {
            "header": "Gemini Apps", "title": title, "time": f"2025-03-01T10:{minute:02d}:00Z",
            "safeHtmlItem": [{"html": "<p>Yes &amp; no</p><script>x</script>"}],
        }  # fmt: skip

    data = [
        activity("Prompted later", 55),
        activity("Prompted first", 0),
        activity("Prompted second", 5),
        activity("Used Gemini", 6),
    ]
    conversations, report = read(saved(tmp_path, "MyActivity.json", data))
    assert report.format == "gemini"
    assert [[t.text for t in c.turns if t.role == "user"] for c in conversations] == [["first", "second"], ["later"]]
    assert conversations[0].turns[1].text.startswith("Yes & no")
    assert report.skipped["activity that is no prompt"] == 1


def test_open_webui_follows_the_current_thread_and_keeps_edits(tmp_path):
    nodes = {
        "a": {"id": "a", "role": "user", "content": "first try", "parentId": None, "timestamp": 1},
        "b": {"id": "b", "role": "user", "content": "second try", "parentId": None, "timestamp": 2},
        "c": {"id": "c", "role": "assistant", "content": "ok", "parentId": "b", "model": "qwen", "timestamp": 3},
    }
    data = [{"id": "x", "title": "T", "chat": {"history": {"messages": nodes, "currentId": "c"}}}]
    (conversation,), report = read(saved(tmp_path, "chats.json", data))
    assert report.format == "openwebui"
    assert [(t.text, t.branch) for t in conversation.turns] == [
        ("first try", "edited"),
        ("second try", "active"),
        ("ok", "active"),
    ]


def test_open_webui_cycles_end(tmp_path):
    nodes = {
        "a": {"role": "user", "content": "x", "parentId": "b"},
        "b": {"role": "assistant", "content": "y", "parentId": "a"},
    }
    (conversation,), _ = read(
        saved(tmp_path, "c.json", [{"id": "x", "chat": {"history": {"messages": nodes, "currentId": "a"}}}])
    )
    assert len(conversation.turns) == 2


def test_lm_studio_takes_the_selected_version(tmp_path):
    def version(role: str, text: str) -> dict[str, Any]:
        return {"type": "singleStep", "role": role, "content": [{"type": "text", "text": text}]}

    steps = {
        "type": "multiStep",
        "role": "assistant",
        "steps": [{"type": "contentBlock", "content": [{"type": "text", "text": "answer"}]}],
    }
    data = {
        "name": "T", "createdAt": 1_700_000_000_000,
        "messages": [
            {"versions": [version("user", "old"), version("user", "new")], "currentlySelected": 1},
            {"versions": [steps], "currentlySelected": 0},
        ],
    }  # fmt: skip
    (conversation,), report = read(saved(tmp_path, "1.conversation.json", data))
    assert report.format == "lmstudio"
    assert [(t.role, t.text, t.branch) for t in conversation.turns] == [
        ("user", "old", "edited"), ("user", "new", "active"), ("assistant", "answer", "active"),
    ]  # fmt: skip
    assert conversation.time == 1_700_000_000.0


def llm_log(path: Path, *, old: bool) -> Path:
    connection = sqlite3.connect(path)
    if old:
        connection.execute("CREATE TABLE responses (id TEXT, model TEXT, prompt TEXT, response TEXT)")
        connection.execute("INSERT INTO responses VALUES ('r1', 'm', 'why', 'because')")
    else:
        connection.execute("CREATE TABLE conversations (id TEXT PRIMARY KEY, name TEXT, model TEXT)")
        connection.execute(
            "CREATE TABLE responses (id TEXT, model TEXT, prompt TEXT, system TEXT, response TEXT, conversation_id TEXT, datetime_utc TEXT)"
        )
        connection.execute("INSERT INTO conversations VALUES ('c1', 'Talk', 'm')")
        rows = [
            ("r2", "m", "second", None, "two", "c1", "2025-01-01T00:02:00"), ("r1", "m", "first", "s", "one", "c1", "2025-01-01T00:01:00"),
            ("r3", "m", "alone", None, "three", "c2", "2025-01-01T00:01:30"),
        ]  # fmt: skip
        connection.executemany("INSERT INTO responses VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    connection.commit()
    connection.close()
    return path


def test_llms_log_is_read_by_conversation_also_inside_a_zip(tmp_path):
    path = llm_log(tmp_path / "logs.db", old=False)
    before = path.read_bytes()
    conversations, report = read(path)
    assert report.format == "llm"
    assert [(c.id, c.title, [t.text for t in c.turns]) for c in conversations] == [
        ("c1", "Talk", ["first", "one", "second", "two"]), ("c2", "", ["alone", "three"]),
    ]  # fmt: skip
    assert path.read_bytes() == before
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as z:
        z.write(path, "logs.db")
    assert len(read(tmp_path / "x.zip")[0]) == 2


def test_an_old_llm_log_without_conversations_is_read(tmp_path):
    (conversation,), _ = read(llm_log(tmp_path / "logs.db", old=True))
    assert texts(conversation) == [("user", "why"), ("assistant", "because")]


def test_another_sqlite_file_is_refused_with_a_hint(tmp_path):
    connection = sqlite3.connect(tmp_path / "other.db")
    connection.execute("CREATE TABLE t (x)")
    connection.commit()
    connection.close()
    with pytest.raises(ImportFormatError, match="llm logs path"):
        read(tmp_path / "other.db")


def test_plain_jsonl_groups_lines_by_conversation(tmp_path):
    lines = [
        {
            "conversation": "c1",
            "title": "T",
            "role": "user",
            "text": "a\u2028b",
            "time": "2024-03-01T08:30:00Z",
            "id": "m1",
        },
        {"conversation": "c1", "role": "assistant", "text": "b"},
        {"conversation": 2, "role": "user", "text": "c", "attachments": ["x.pdf", 3]},
    ]
    path = saved(
        tmp_path, "mine.jsonl", "\n".join([*(json.dumps(x, ensure_ascii=False) for x in lines), "not json", "{}"])
    )
    conversations, report = read(path)
    assert report.format == "jsonl"
    assert [(c.id, len(c.turns)) for c in conversations] == [("c1", 2), ("2", 1)]
    assert conversations[1].turns[0].attachments == ("x.pdf",)
    assert sum(report.skipped.values()) == 2


def test_a_line_may_hold_a_whole_conversation(tmp_path):
    line = json.dumps(
        {
            "messages": [
                {"role": "system", "content": "s"},
                {"role": "user", "content": "q"},
                {"role": "assistant", "content": "a"},
            ]
        }
    )
    conversations, _ = read(saved(tmp_path, "tuning.jsonl", f"{line}\n{line}\n"))
    assert [texts(c) for c in conversations] == [[("user", "q"), ("assistant", "a")]] * 2
    assert len({c.id for c in conversations}) == 2


KEYS = st.sampled_from(
    [
        "uuid",
        "name",
        "chat_messages",
        "sender",
        "text",
        "content",
        "type",
        "attachments",
        "extracted_content",
        "chat",
        "history",
        "messages",
        "currentId",
        "role",
        "parentId",
        "versions",
        "currentlySelected",
        "steps",
        "createdAt",
        "files",
        "id",
        "title",
        "models",
        "timestamp",
        "style",
    ]
) | st.text(max_size=5)

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["user", "human", "text"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)


@pytest.mark.parametrize("reader", [claude, openwebui, lmstudio])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.dictionaries(KEYS, anything, max_size=8))
def test_values_of_any_type_raise_nothing(reader, data):
    report = ImportReport(format="", source_name="")
    if reader.recognise(data):
        reader.to_conversation(data, report)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    data=st.lists(
        st.dictionaries(st.sampled_from(["title", "time", "safeHtmlItem", "header", "attachedFiles"]), anything),
        max_size=5,
    )
)
def test_gemini_of_any_type_raises_nothing_else(tmp_path, data):
    head = b'[{"header": "Gemini Apps"'
    assert gemini.recognise_file(head, "x")
    path = saved(tmp_path, "a.json", json.dumps([{"header": "Gemini Apps", "title": "Prompted hi"}, *data]))
    read(path)
