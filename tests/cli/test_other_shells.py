"""What other shells do differently: a `~` that stays as it is, files in UTF-16, pipes whose encoding is not the console's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROMPT = "Answer as in Zürich: short, and to the point.\nSay “no” where it is no."


def innercouncil(*args: object, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "innercouncil", *map(str, args)], input=stdin, capture_output=True, check=False,
        env=os.environ | environment,
    )  # fmt: skip


@pytest.fixture
def home(discovered: tuple[object, Path], tmp_path: Path) -> Path:
    """A home folder with a workspace in it."""
    shutil.copytree(discovered[1], tmp_path / "chats")
    return tmp_path


def prompt_of(workspace: Path) -> str:
    shown = innercouncil("personas", "show", "software-builder", "--prompt", "--workspace", workspace)
    return shown.stdout.decode("utf-8").replace("\r\n", "\n").strip()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-8"])
def test_a_prompt_is_read_as_any_editor_or_shell_wrote_it(home: Path, encoding: str) -> None:
    (home / "prompt.md").write_bytes(PROMPT.replace("\n", "\r\n").encode(encoding))
    done = innercouncil(
        "personas", "edit", "software-builder", "--file", home / "prompt.md", "--workspace", home / "chats"
    )
    assert done.returncode == 0, done.stderr
    assert prompt_of(home / "chats") == PROMPT


def test_a_prompt_that_is_no_text_is_refused_in_one_sentence(home: Path) -> None:
    (home / "prompt.md").write_bytes("Zürich".encode("latin-1"))
    for file, stdin in ((home / "prompt.md", b""), ("-", b"Z\xfcrich")):
        done = innercouncil(
            "personas", "edit", "software-builder", "--file", file, "--workspace", home / "chats", stdin=stdin
        )
        assert done.returncode == 2
        assert done.stderr.decode().startswith("Error: ")
        assert "is not UTF-8 text; save it as such." in done.stderr.decode()
        assert len(done.stderr.splitlines()) == 1


def test_what_is_piped_in_is_utf8_whatever_the_console_speaks(home: Path) -> None:
    done = innercouncil(
        "personas", "edit", "software-builder", "--file", "-", "--workspace", home / "chats", stdin=PROMPT.encode(),
        PYTHONIOENCODING="cp1252",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert prompt_of(home / "chats") == PROMPT


def test_the_home_folder_is_found_where_the_shell_leaves_the_tilde(home: Path) -> None:
    done = innercouncil("personas", "list", "--workspace", "~/chats", HOME=str(home), USERPROFILE=str(home))
    assert done.returncode == 0, done.stderr
    assert b"software-builder" in done.stdout
