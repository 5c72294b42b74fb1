"""`innercouncil run-questions` as a person runs it, with a real tiny model in the real llama.cpp."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tiny_model import build_tiny_model

ENV = {**os.environ, "OLLAMA_HOST": "127.0.0.1:9", "COLUMNS": "120"}
SHORT = ("--option", "answer_tokens=30", "--option", "synthesis_tokens=30")


def command(workspace: Path, *args: object) -> list[str]:
    return [sys.executable, "-m", "innercouncil", *map(str, args), "--workspace", str(workspace)]


def types(workspace: Path, *args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(workspace, *args), capture_output=True, text=True, check=False, env=ENV)


@pytest.fixture(scope="module")
def seated(discovered: tuple[object, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("batch")
    shutil.copytree(discovered[1], folder / "data")
    model = build_tiny_model(folder / "tiny.gguf", ending=4.5)
    assert types(folder / "data", "models", "use", "--worker", model, "--lite", "--context", 8192).returncode == 0
    return folder / "data"


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent there")
def test_ctrl_c_stops_cleanly_says_how_to_go_on_and_the_same_command_does(seated: Path) -> None:
    slugs = [p["slug"] for p in json.loads(types(seated, "personas", "list", "--json").stdout)][:3]
    args = ("run-questions", "--from-history", 3, "--personas", ",".join(slugs), "--json", *SHORT)
    with subprocess.Popen(
        command(seated, *args), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENV
    ) as child:
        assert child.stderr is not None
        while not child.stderr.readline().startswith("1 of 3"):
            assert child.poll() is None
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=60)
    assert child.returncode == 130, said
    assert "run the same command to go on" in said
    assert "Traceback" not in said
    rest = types(seated, *args)
    assert rest.returncode == 0, rest.stderr
    summary = json.loads(rest.stdout)
    assert summary["done"] == summary["questions"] == len(set(summary["sessions"])) == 3
    assert summary["done_before"] >= 1
    kept = json.loads(types(seated, "sessions", "list", "--json").stdout)
    assert kept["total"] == 3, "nothing was asked twice"
    again = types(seated, *args[:-5], *SHORT)
    assert "3 of 3 questions answered (3 before), 0 failed" in again.stdout


def test_bad_input_gets_one_sentence(seated: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"question": 3}\n')
    for args, says in (
        ([], "--bundled"),
        ([tmp_path / "bad.jsonl"], "line 1"),
        ([tmp_path / "missing.txt"], "cannot be read"),
        (["--bundled", "--option", "nonsense=1"], "nonsense"),
    ):
        result = types(seated, "run-questions", *args)
        errors = [line for line in result.stderr.splitlines() if line.startswith("Error")]
        assert (result.returncode, len(errors)) == (2, 1), result.stderr
        assert says in result.stderr
        assert "Traceback" not in result.stderr
