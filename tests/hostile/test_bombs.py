"""Files made to exhaust the machine: read or refused by a process that has little memory and little time."""

from __future__ import annotations

import io
import json
import stat
import struct
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

from innercouncil.model.conversation import ImportReport
from innercouncil.readers.registry import read_messages
from innercouncil.readers.source import open_source
from innercouncil.store.workspace import Workspace

MEGABYTE = 1 << 20
CHILD = textwrap.dedent(
    """
    import resource, sys
    from pathlib import Path
    from innercouncil.model.conversation import ImportReport
    from innercouncil.model.errors import ImportFormatError
    from innercouncil.readers.registry import read_messages
    resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
    report = ImportReport(format="", source_name="x")
    try:
        print("read", sum(1 for _ in read_messages(Path(sys.argv[1]), report)))
    except ImportFormatError as error:
        print("refused", error)
    """
)


def outcome(path: Path) -> str:
    """What a process with 3 GB and 60 s of processor time makes of the file."""
    pytest.importorskip("resource", reason="Windows has no such limits")
    done = subprocess.run([sys.executable, "-c", CHILD, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("\n") == 1
    return done.stdout


def packed(path: Path, *members: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def chat(text: str = "Hello", **more: object) -> dict[str, object]:
    body = {"uuid": "m", "sender": "human", "text": text, "created_at": "2024-05-01T10:00:00Z", **more}
    return {"uuid": "u", "name": "A chat", "chat_messages": [body], "created_at": "2024-05-01T10:00:00Z"}


def test_a_long_run_of_one_byte_is_refused(tmp_path: Path) -> None:
    path = packed(tmp_path / "x.zip", ("conversations.json", b"[" + b" " * (300 * MEGABYTE)))
    assert path.stat().st_size < MEGABYTE
    assert "would unpack" in outcome(path)


def test_members_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    """Fifield, "A better zip bomb" (2019): a thousand entries of the directory name one piece of data."""
    data = packed(tmp_path / "one.zip", ("conversations.json", b"[" + b" " * (20 * MEGABYTE))).read_bytes()
    at = data.index(b"PK\x01\x02")
    entry, local = data[at : data.index(b"PK\x05\x06")], data[:at]
    count = 1_000
    end = b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, count, count, len(entry) * count, at, 0)
    path = tmp_path / "x.zip"
    path.write_bytes(local + entry * count + end)
    assert "would unpack" in outcome(path)


@pytest.mark.parametrize("size", [300 * MEGABYTE, 40 << 30])
def test_what_is_not_read_counts_for_nothing(tmp_path: Path, size: int) -> None:
    """A recording of a screen that stood still packs as well as a bomb, and one in full quality is as large as a disk."""
    path = packed(tmp_path / "x.zip", ("conversations.json", json.dumps([chat()]).encode()), ("screen.mp4", b"v" * 99))
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<L", min(size, 0xFFFFFFFF))
    if size > 0xFFFFFFFF:  # in a field of its own, as ZIP64 has it
        field = struct.pack("<HHQ", 1, 8, size)
        data[at + 30 : at + 32] = struct.pack("<H", len(field))
        named = at + 46 + len("screen.mp4")
        data[named:named] = field
        end = data.rindex(b"PK\x05\x06")
        data[end + 12 : end + 16] = struct.pack("<L", end - data.index(b"PK\x01\x02"))
    path.write_bytes(data)
    with open_source(path) as source:
        assert max(m.size for m in source.members) == size
    assert outcome(path) == "read 1\n"


@pytest.mark.parametrize("claimed", [10, 1 << 31])
def test_a_member_that_lies_about_its_size_is_not_believed(tmp_path: Path, claimed: int) -> None:
    data = bytearray(
        packed(tmp_path / "x.zip", ("conversations.json", json.dumps([chat()] * 50).encode())).read_bytes()
    )
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<L", data, data.index(mark) + offset, claimed)
    (tmp_path / "x.zip").write_bytes(data)
    assert outcome(tmp_path / "x.zip").startswith("refused")


def test_an_archive_in_an_archive_is_not_opened(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("conversations.json", json.dumps([chat()]))
    assert "No chats" in outcome(packed(tmp_path / "x.zip", ("conversations.zip", inner.getvalue())))
    renamed = packed(tmp_path / "y.zip", ("conversations.json", inner.getvalue()))
    assert outcome(renamed).startswith("refused")


def test_very_many_members_are_read(tmp_path: Path) -> None:
    members = [(f"{n}.json", b"[]") for n in range(20_000)]
    assert "read 1" in outcome(packed(tmp_path / "x.zip", *members, ("z.json", json.dumps([chat()]).encode())))


def test_a_link_in_an_archive_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text(json.dumps([chat("secret")]))
    link = zipfile.ZipInfo("conversations.json")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(link, str(tmp_path / "secret.json"))
    assert outcome(tmp_path / "x.zip").startswith("refused")


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_out_of_an_export_folder_is_neither_read_nor_kept(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text(json.dumps([chat("secret")]))
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "conversations.json").write_text(json.dumps([chat("mine")]))
    (folder / "stolen.json").symlink_to(tmp_path / "secret.json")
    (folder / "within.json").symlink_to(folder / "conversations.json")
    with open_source(folder) as source:
        assert [m.name for m in source.members] == ["conversations.json", "within.json"]
    workspace = Workspace(tmp_path / "data")
    workspace.prepare()
    kept, _ = workspace.keep_import(folder)
    assert sorted(p.name for p in kept.iterdir()) == ["conversations.json", "within.json"]


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 5_000_000,
        b'{"a":' * 3_000_000,
        b'[{"mapping":' + b"[" * 3_000_000,
        b"[" + b"9" * 5_000_000 + b"]",
        b'[{"uuid":"u","chat_messages":[{"sender":"human","text":"x","created_at":' + b"9" * 1_000_000 + b"}]}]",
        b'["' + b"a" * (100 * MEGABYTE) + b'"]',
        b'["' + b"\\ud800" * 1_000_000 + b'"]',
        b'["' + b"\\u0000" * 1_000_000 + b'"]',
        b"[" + b"1e999999999," * 500_000 + b"1]",
        b"\xff\xfe" + b"[\0" * 1_000_000,
        b"\xed\xa0\x80" * 1_000_000,
    ],
    ids=["arrays", "objects", "mapping", "digits", "date", "string", "surrogates", "nul", "exponents", "utf-16", "bytes"],
)  # fmt: skip
def test_json_made_to_exhaust_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "conversations.json"
    path.write_bytes(data)
    assert not outcome(path).startswith("read 0")


def read(tmp_path: Path, value: object) -> list[str]:
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps(value))
    return [m.text for m in read_messages(path, ImportReport(format="", source_name="x"))]


@pytest.mark.parametrize("parents", [["a"], ["b", "a"], ["b", "c", "a"], ["b", "b", "b"]])
def test_messages_that_are_their_own_ancestors_end(tmp_path: Path, parents: list[str]) -> None:
    keys = "abc"[: len(parents)]
    message = {"author": {"role": "user"}, "content": {"content_type": "text", "parts": ["Hello there"]}}
    nodes = {
        k: {"id": k, "message": {"id": k, **message}, "parent": p, "children": list(keys)}
        for k, p in zip(keys, parents, strict=True)
    }
    sound = {"r": {"id": "r", "message": {"id": "r", **message}, "parent": None, "children": []}}
    chats = [
        {"title": "t", "conversation_id": name, "current_node": at, "mapping": mapping, "create_time": 1.0}
        for name, at, mapping in (("bad", "a", nodes), ("good", "r", sound))
    ]
    assert "Hello there" in read(tmp_path, chats)
    openwebui = {
        k: {"id": k, "parentId": p, "childrenIds": list(keys), "role": "user", "content": "Hello there", "timestamp": 1}
        for k, p in zip(keys, parents, strict=True)
    }
    chat_ = {"title": "t", "history": {"messages": openwebui, "currentId": "a"}, "messages": []}
    assert set(read(tmp_path, [{"id": "o", "title": "t", "chat": chat_, "created_at": 1}])) == {"Hello there"}


def test_a_message_of_a_hundred_megabytes_is_read_within_bounds(tmp_path: Path) -> None:
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps([chat("word " * (20 * MEGABYTE))]))
    assert outcome(path) == "read 1\n"
