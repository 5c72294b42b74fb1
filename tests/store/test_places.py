"""Folders and object stores that hold many exports: what counts as one, and what never leaves its place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import fsspec
import fsspec.implementations.memory
import pytest

from innercouncil.model.errors import WorkspaceError
from innercouncil.store.places import Place


@pytest.fixture
def store() -> Any:
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]
    return memory


def fill(folder: Path) -> None:
    (folder / "dov").mkdir(parents=True)
    for name in ("ann.json", "ben.ZIP", "dov/a.json", "dov/photo.png", "notes.txt", ".hidden.json"):
        (folder / name).write_bytes(b"1")


def test_zips_files_and_folders_are_exports_and_the_rest_is_counted(tmp_path, store):
    fill(tmp_path / "in")
    store.put(str(tmp_path / "in"), "/bucket/in", recursive=True)
    for place in (Place(str(tmp_path / "in")), Place("memory://bucket/in")):
        entries, left_out = place.entries()
        assert ([e.name for e in entries], left_out) == (["ann.json", "ben.ZIP", "dov"], 1)


def test_a_mark_changes_with_the_content_and_only_of_that_export(tmp_path, store):
    fill(tmp_path / "in")
    place = Place(str(tmp_path / "in"))
    before = {e.name: e.mark for e in place.entries()[0]}
    assert before == {e.name: e.mark for e in place.entries()[0]}
    (tmp_path / "in" / "dov" / "a.json").write_bytes(b"22")
    os.utime(tmp_path / "in" / "ann.json", (1, 1))
    after = {e.name: e.mark for e in place.entries()[0]}
    assert [n for n in before if before[n] != after[n]] == ["ann.json", "dov"]


def test_records_are_written_whole_and_read_back_together(tmp_path, store):
    for place in (Place(str(tmp_path / "out")), Place("memory://bucket/out")):
        assert place.read_records() == {} and place.read_record("ann.json") is None and place.names() == set()
        place.write_record("ann.json", b"1")
        place.write_record("ann.json", b"2")
        place.write_record("ben", b"3")
        assert place.read_records() == {"ann.json": b"2", "ben": b"3"}
        assert place.read_record("ann.json") == b"2"
    assert {p.name for p in (tmp_path / "out" / ".many").iterdir()} == {"ann.json.json", "ben.json"}


def test_a_key_that_leads_elsewhere_is_passed_over(tmp_path, store):
    store.store["/bucket/in/dov/a.json"] = fsspec.implementations.memory.MemoryFile(
        store, "/bucket/in/dov/a.json", b"1"
    )
    for key in (
        "/bucket/in/dov/../../out.json",
        "/bucket/in/dov/..\\out.json",
        "/bucket/in/dov/x/../../../../out.json",
    ):
        store.store[key] = fsspec.implementations.memory.MemoryFile(store, key, b"evil")
    got = Place("memory://bucket/in").fetch("dov", tmp_path / "deep" / "er")
    assert [p.relative_to(tmp_path).as_posix() for p in sorted(tmp_path.rglob("*")) if p.is_file()] == [
        "deep/er/dov/a.json"
    ]
    assert got == tmp_path / "deep" / "er" / "dov"


def test_put_leaves_nothing_of_what_was_there_before(tmp_path, store):
    (tmp_path / "ws" / "sub").mkdir(parents=True)
    (tmp_path / "ws" / "sub" / "new.json").write_bytes(b"new")
    (tmp_path / "ws" / "lock").write_bytes(b"")
    store.pipe("/bucket/out/ann/old.json", b"old")
    store.pipe("/bucket/out/anna/other.json", b"another person's")
    Place("memory://bucket/out").put(tmp_path / "ws", "ann")
    assert store.find("/bucket/out") == ["/bucket/out/ann/sub/new.json", "/bucket/out/anna/other.json"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs an account that may not write everywhere")
def test_a_store_that_takes_nothing_is_told_in_one_sentence(tmp_path):
    (tmp_path / "shut").mkdir(mode=0o500)
    with pytest.raises(WorkspaceError, match="did not take or give a file"):
        Place(f"file://{tmp_path}/shut").write_record("ann", b"1")
