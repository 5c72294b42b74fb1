"""docs/howto/delete.md tells the truth: what it deletes is all there is, but for what its table names."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from docs_commands import commands

from conftest import EXAMPLE
from tiny_model import build_tiny_model

WORD = "quincunx"
"""Only the question has it."""


class Person(NamedTuple):
    """Someone with a home folder, a folder for temporary files and a folder they work in, all empty at first."""

    folder: Path

    def types(self, line: str) -> str:
        """Type a line into bash; what it says."""
        environment = {
            k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "INNERCOUNCIL_", "OLLAMA_", "HF_"))
        }
        places = {"HOME": "home", "USERPROFILE": "home", "LOCALAPPDATA": "home", "TMPDIR": "tmp", "TEMP": "tmp"}
        environment |= {k: str(self.folder / v) for k, v in places.items()} | {"OLLAMA_HOST": "127.0.0.1:9"}
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        done = subprocess.run(
            ["bash", "-c", line], cwd=self.folder / "work", env=environment, capture_output=True, text=True, encoding="utf-8",
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def files(self) -> set[Path]:
        """Every file there is."""
        return {p for p in self.folder.rglob("*") if p.is_file()}


@pytest.fixture
def person(tmp_path: Path) -> Person:
    for name in ("home", "tmp", "work"):
        (tmp_path / name).mkdir()
    return Person(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="the commands are typed into bash")
def test_deleting_as_the_page_says_leaves_only_what_its_table_names(person: Person) -> None:
    model = build_tiny_model(person.folder / "work" / "some-model.gguf", ending=7.0, speaks=True)
    person.types(f"innercouncil discover '{EXAMPLE}'")
    person.types("innercouncil models use --worker some-model.gguf --lite")
    person.types(f"innercouncil ask 'Is {WORD} a word?' --option answer_tokens=40")
    person.types("innercouncil backup make")
    assert any(WORD.encode() in p.read_bytes() for p in person.files())
    typed = (c.text for c in commands("docs/howto/delete.md") if c.shell == "bash")
    one, *everything = (line for line in typed if line.startswith(("innercouncil sessions delete", "rm ")))
    person.types(one)
    assert not [p for p in person.files() if WORD.encode() in p.read_bytes()]
    person.types("innercouncil tune prepare --mode 8GB")
    named = re.search(r"The demo's workspace is (.+);", person.types("innercouncil demo --no-browser"))
    assert named
    for line in everything:
        person.types(line)
    left = person.files() - {model}
    assert left, "the demo keeps a folder of its own"
    assert not [p for p in left if Path(named[1]) not in p.parents]
