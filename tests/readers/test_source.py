from __future__ import annotations

import zipfile

import pytest

from innercouncil.model.errors import ImportFormatError
from innercouncil.readers import source
from innercouncil.readers.source import open_source


def zipped(path, files, **options):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data, **options)
    return path


def read_all(opened):
    result = {}
    for member in opened.members:
        with member.open() as stream:
            result[member.name] = stream.read()
    return result


def test_a_file_a_folder_and_a_zip_look_the_same(tmp_path):
    files = {"conversations-2.json": b"two", "conversations-10.json": b"ten", "sub/other.json": b""}
    folder = tmp_path / "export"
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    archive = zipped(tmp_path / "export.zip", files)
    for path, kind in ((folder, "folder"), (archive, "zip")):
        with open_source(path) as opened:
            assert opened.kind == kind
            assert [m.name for m in opened.members] == list(files)
            assert [m.size for m in opened.members] == [3, 3, 0]
            assert read_all(opened) == files
    with open_source(folder / "conversations-2.json") as opened:
        assert (opened.kind, opened.members[0].suffix, opened.members[0].path) == (
            "file",
            ".json",
            folder / "conversations-2.json",
        )
        assert read_all(opened) == {"conversations-2.json": b"two"}


def test_litter_of_systems_is_no_member(tmp_path):
    files = {"__MACOSX/._conversations.json": b"x", ".DS_Store": b"x", "a/conversations.json": b"[]", "a/": b""}
    with open_source(zipped(tmp_path / "x.zip", files)) as opened:
        assert [m.name for m in opened.members] == ["a/conversations.json"]


def test_nothing_is_written_whatever_the_names_say(tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    archive = zipped(inner / "x.zip", {"../../evil.json": b"[]", "/abs.json": b"[]", "C:\\evil.json": b"[]"})
    with open_source(archive) as opened:
        read_all(opened)
    assert [p.name for p in tmp_path.rglob("*")] == ["inner", "x.zip"]


@pytest.mark.parametrize("name", ["absent.json", "nul\0name"])
def test_a_missing_path_is_one_sentence(tmp_path, name):
    with pytest.raises(ImportFormatError, match=r"check"):
        open_source(tmp_path / name)


def test_a_zip_that_breaks_off_says_so(tmp_path):
    whole = zipped(tmp_path / "x.zip", {"conversations.json": b"[1, 2, 3]" * 1000})
    broken = tmp_path / "broken.zip"
    broken.write_bytes(whole.read_bytes()[:-30])
    with pytest.raises(ImportFormatError, match="download the export again"):
        open_source(broken)


def test_damage_within_a_zip_is_an_import_error(tmp_path):
    path = zipped(tmp_path / "x.zip", {"conversations.json": bytes(range(256)) * 100})
    data = bytearray(path.read_bytes())
    data[60:90] = b"\xff" * 30
    path.write_bytes(data)
    with open_source(path) as opened, pytest.raises(ImportFormatError, match="cannot be read"):
        read_all(opened)


def test_an_encrypted_member_is_refused_when_opened(tmp_path):
    path = zipped(tmp_path / "x.zip", {"conversations.json": b"[]"})
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    path.write_bytes(data)
    with open_source(path) as opened, pytest.raises(ImportFormatError, match="password"):
        opened.members[0].open()


def test_a_bomb_is_refused_by_its_declared_size(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "RATIO_FREE_BYTES", 1000)
    monkeypatch.setattr(source, "MAX_RATIO", 100)
    monkeypatch.setattr(source, "MAX_ARCHIVE_RATIO", 10**9)
    path = zipped(tmp_path / "x.zip", {"a.json": b"0" * 1_000_000})
    with open_source(path) as opened, pytest.raises(ImportFormatError, match="would unpack"):
        opened.members[0].open()


def test_a_bomb_that_lies_about_its_size_is_stopped_while_reading(tmp_path, monkeypatch):
    path = tmp_path / "long.json"
    path.write_bytes(b"0" * 100_000)
    with open_source(path) as opened:
        monkeypatch.setattr(source, "MAX_MEMBER_BYTES", 100_000)
        small = opened.members[0]
        path.write_bytes(b"0" * 200_000)
        with small.open() as stream, pytest.raises(ImportFormatError, match="not read"):
            stream.read()


def test_a_watched_member_tells_how_far_it_is(tmp_path):
    path = tmp_path / "x.json"
    path.write_bytes(b"0" * 300_000)
    seen = []
    with open_source(path) as opened, opened.members[0].watched(seen.append).open() as stream:
        stream.read()
    assert sum(seen) == 300_000


def test_a_zip_member_without_a_name_is_passed_over(tmp_path):
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", b"[]")
        archive.writestr("conversations.json", b"[]")
    # The name of the first member is made empty in place: in its own header and in the directory.
    data = path.read_bytes().replace(b"x[]", b"\0[]", 1)
    at = data.index(b"PK\x01\x02")
    path.write_bytes(data[: at + 46] + b"\0" + data[at + 47 :])
    with open_source(path) as source:
        assert [m.name for m in source.members] == ["conversations.json"]
