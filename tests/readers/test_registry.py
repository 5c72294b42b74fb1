from __future__ import annotations

import json
import zipfile

import pytest
from chatgpt_builder import simple, write

from innercouncil.model.conversation import ImportReport
from innercouncil.model.errors import ImportFormatError
from innercouncil.readers.registry import BROKEN, DUPLICATE, NO_CHATS, read_export, read_messages

CHATS = [simple(f"c{i}", f"question {i}") for i in range(6)]


def read(path, **options):
    report = ImportReport(format="", source_name=path.name)
    return [c.id for c in read_export(path, report, **options)], report


def test_every_vintage_of_a_chatgpt_export_reads_the_same(tmp_path):
    ids = [c["conversation_id"] for c in CHATS]
    whole = write(tmp_path / "conversations.json", CHATS)
    shards, singles = tmp_path / "shards", tmp_path / "singles"
    shards.mkdir()
    singles.mkdir()
    write(shards / "conversations-000.json", CHATS[:2])
    write(shards / "conversations-001.json", CHATS[2:5])
    write(shards / "conversations-002.json", CHATS[5:])
    for n, chat in enumerate(CHATS):
        write(singles / f"{n}.json", chat)
    archive = tmp_path / "export.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.write(whole, "conversations.json")
        packed.writestr("user.json", '{"id": "user-1"}')
        packed.writestr("message_feedback.json", "[]")
        packed.writestr("shared_conversations.json", json.dumps([{"id": "s", "title": "t"}]))
        packed.writestr("chat.html", "<html></html>")
        packed.writestr("picture.png", b"\x89PNG")
    wrapped = write(tmp_path / "wrapped.json", {"conversations": CHATS})
    for path in (whole, shards, singles, archive, wrapped):
        found, report = read(path)
        assert found == ids, path
        assert (report.format, report.conversations, report.messages) == ("chatgpt", 6, 12)
        assert report.warnings == []
    assert read(archive)[1].skipped == {NO_CHATS: 4}
    assert read(write(tmp_path / "one.txt", CHATS[0]))[0] == ["c0"]


def test_the_first_of_two_conversations_with_one_id_is_kept(tmp_path):
    write(tmp_path / "conversations-000.json", CHATS[:3])
    write(tmp_path / "conversations-001.json", [CHATS[2], CHATS[3]])
    found, report = read(tmp_path)
    assert found == ["c0", "c1", "c2", "c3"]
    assert report.skipped == {DUPLICATE: 1}


def test_progress_ends_at_the_whole(tmp_path):
    path = write(tmp_path / "conversations.json", CHATS)
    steps = []
    read(path, progress=lambda done, total: steps.append((done, total)))
    size = path.stat().st_size
    assert steps[-1] == (size, size)
    assert steps == sorted(steps)


def test_bytes_and_instructions_are_reported(tmp_path):
    context = {"content_type": "user_editable_context", "user_profile": "Sam", "user_instructions": "Brief"}
    chats = json.loads(json.dumps(CHATS))
    for chat in chats[:3]:
        chat["mapping"]["root"]["message"] = {"author": {"role": "user"}, "content": context}
    path = write(tmp_path / "conversations.json", chats)
    _, report = read(path)
    assert report.instructions == ["Sam\nBrief"]
    assert report.bytes == path.stat().st_size


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "empty"),
        ("[]", "holds no conversation"),
        ("<html>", "web page"),
        ("hello", "not JSON"),
        ('{"a": 1}', "ChatGPT"),
        ("[1, 2, 3]", "ChatGPT"),
        ('[{"mapping": {"a": null}}]', "no conversation in it"),
        ('[{"mapping": {', "breaks off"),
        ("[" * 200_000, "breaks off"),
        ("[" * 200_000 + "]" * 200_000, "holds no conversation"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path, content, says):
    path = tmp_path / "conversations.json"
    path.write_text(content)
    with pytest.raises(ImportFormatError, match=says) as caught:
        read(path)
    assert "conversations.json" in str(caught.value)


def test_an_empty_folder_is_one_sentence(tmp_path):
    with pytest.raises(ImportFormatError, match="No chats were found"):
        read(tmp_path)


def test_a_broken_shard_does_not_lose_the_others(tmp_path):
    write(tmp_path / "conversations-000.json", CHATS[:3])
    (tmp_path / "conversations-001.json").write_text("")
    write(tmp_path / "conversations-002.json", CHATS[3:])
    found, report = read(tmp_path)
    assert len(found) == 6
    assert "conversations-001.json is empty" in report.warnings[0]


def test_a_truncated_file_keeps_what_is_whole(tmp_path):
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps(CHATS)[:-100])
    found, report = read(path)
    assert found == ["c0", "c1", "c2", "c3", "c4"]
    assert "breaks off" in report.warnings[0]


def test_conversations_without_a_tree_among_others_are_counted(tmp_path):
    found, report = read(write(tmp_path / "x.json", [None, {"title": "x"}, *CHATS, 3]))
    assert len(found) == 6
    assert sum(report.skipped.values()) == 3
    assert BROKEN not in report.skipped


def test_messages_of_a_whole_export_have_unique_ids(tmp_path):
    path = write(tmp_path / "conversations.json", CHATS)
    report = ImportReport(format="", source_name=path.name)
    found = list(read_messages(path, report))
    assert [m.text for m in found] == [f"question {i}" for i in range(6)]
    assert len({m.id for m in found}) == 6
    assert {m.source for m in found} == {"chatgpt"}
    assert report.user_messages == 6
