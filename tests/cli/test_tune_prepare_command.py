"""`innercouncil tune prepare` and scripts/prepare_lora_data.py as a person runs them; killed, they go on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import contents
from rewriter import rewrite
from scripted_author import serving
from tiny_model import build_tiny_model

ENV = {**os.environ, "OLLAMA_HOST": "127.0.0.1:9", "COLUMNS": "120"}
ROOT = Path(__file__).parent.parent.parent
QUESTIONS = 52
"""Of the example's messages, those that can be asked by themselves and got an answer."""
PREPARE = [sys.executable, "-m", "innercouncil", "tune", "prepare"]


def ran(command: list[object], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False, env=ENV, cwd=cwd)


@pytest.fixture
def own(discovered, tmp_path) -> Path:
    shutil.copytree(discovered[1], tmp_path / "data")
    return tmp_path / "data"


def made(workspace: Path) -> dict[str, bytes]:
    return {n: b for n, b in contents(workspace).items() if "lora_training" in n}


def test_the_script_and_the_command_make_the_same_files(own):
    script = ran([sys.executable, ROOT / "scripts/prepare_lora_data.py", "--mode", "16GB", "--json"], cwd=own.parent)
    assert script.returncode == 0, script.stderr
    said = json.loads(script.stdout)
    assert said["personas"][0]["slug"] == "software-builder"
    by_script = made(own)
    command = ran([*PREPARE, "--workspace", own])
    assert command.returncode == 0, command.stderr
    assert made(own) == by_script
    assert "Rows for qwen2.5:3b, at most 1024 tokens (tokens by an estimate" in command.stdout
    assert "story-writer" in command.stdout


def test_a_model_file_counts_the_tokens(own, tmp_path):
    model = build_tiny_model(tmp_path / "tiny.gguf")
    said = ran([*PREPARE, "--workspace", own, "--tokenizer", model, "--max-length", "8192", "--json"])
    assert said.returncode == 0, said.stderr
    report = json.loads(said.stdout)
    assert not report["tokens_estimated"]
    assert "tiny.gguf" in report["tokens_by"]
    assert report["personas"][0]["train"]["tokens"]["median"] > 1500, "it reads letter by letter"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--sources", "mine"], "name some of own, model, hand"),
        (["--sources", "own", "--llm", "ollama"], "leaves models out"),
        (["--synthesizer", "--llm", "ollama"], "Name one model"),
        (["--tokenizer", "nowhere.gguf"], "There is no file nowhere.gguf"),
        (["--mode", "4GB"], "'4GB' is not one of"),
    ],
)
def test_wrong_calls_are_said_plainly(own, options, said):
    result = ran([*PREPARE, "--workspace", own, *options])
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_a_model_needs_a_yes_and_says_what_it_takes(own):
    with serving(rewrite) as url:
        asked = ran([*PREPARE, "--workspace", own, "--llm", url])
        assert asked.returncode == 2
        assert f"{QUESTIONS} questions of yours in {QUESTIONS} calls" in asked.stderr
        assert "add --yes" in asked.stderr
        paid = ran([*PREPARE, "--workspace", own, "--llm", url, "--yes", "--llm-price", "1", "2"])
    assert paid.returncode == 0, paid.stderr
    assert "at your price at most" in paid.stderr
    assert f"took {QUESTIONS} calls" in paid.stderr
    assert "sound more like you than the plain ones" in paid.stdout


def test_the_synthesizer_can_write(own, tmp_path):
    model = build_tiny_model(tmp_path / "tiny.gguf")
    use = ran([sys.executable, "-m", "innercouncil", "models", "use", "--workspace", own, "--synthesizer", model])
    assert use.returncode == 0, use.stderr
    said = ran([*PREPARE, "--workspace", own, "--synthesizer", "--yes", "--questions", "3", "--json"])
    assert said.returncode == 0, said.stderr
    report = json.loads(said.stdout)
    taken = sum(n for p in report["personas"] for k, n in p["train"]["kinds"].items() if k.startswith("local model"))
    assert taken + sum(n for p in report["personas"] for n in p["refused"].values()) > 0


def test_killed_while_a_model_writes_it_asks_only_for_the_rest(own):
    calls = []

    def slow(request: str, schema: object) -> str:
        if "You rewrite an answer" in request:
            calls.append(request)
            time.sleep(0.05)
        return rewrite(request, None)

    with serving(slow) as url:
        command = [*PREPARE, "--workspace", str(own), "--llm", url, "--yes"]
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENV, start_new_session=True
        )
        kept = own / ".innercouncil" / "training_answers.jsonl"
        while process.poll() is None and (not kept.exists() or kept.read_bytes().count(b"\n") < 8):
            time.sleep(0.01)
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
        before = kept.read_bytes().count(b"\n")
        assert 8 <= before < QUESTIONS
        kept.write_bytes(kept.read_bytes() + b'{"key":"cut sh')
        calls.clear()
        done = ran(command)
        assert done.returncode == 0, done.stderr
        assert len(calls) == QUESTIONS - before
        whole = made(own)
        calls.clear()
        assert ran([*PREPARE, "--workspace", own, "--llm", url]).returncode == 0, (
            "nothing is asked, so no yes is needed"
        )
        assert calls == []
        assert made(own) == whole
