"""`tune check`, `tune train` and scripts/train_lora.py where torch is not installed: one sentence says what to do."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

if importlib.util.find_spec("torch") is not None:
    pytest.skip("these are about a machine without torch", allow_module_level=True)

ROOT = Path(__file__).parent.parent.parent
SCRIPT = [sys.executable, str(ROOT / "scripts" / "train_lora.py")]
TUNE = [sys.executable, "-m", "innercouncil", "tune"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with rows of one persona."""
    root = tmp_path_factory.mktemp("tune")
    rows = root / "data" / "personas" / "lora_training"
    rows.mkdir(parents=True)
    row = {
        "messages": [{"role": "user", "content": "How?"}, {"role": "assistant", "content": "Step by step, secretly."}]
    }
    for part in ("train", "eval"):
        (rows / f"persona_architect_{part}.jsonl").write_text((json.dumps(row) + "\n") * 5, "utf-8")
    return root


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "200"}
    )


def test_a_check_shows_the_arithmetic_and_what_to_install(folder: Path) -> None:
    done = run(folder, *SCRIPT, "--check-only", "--persona", "architect", "--mode", "16GB")
    assert done.returncode == 1
    # In how many bits depends on the memory of the machine that runs this.
    assert re.search(r"2,774,532,096 numbers x (4|2) bytes", done.stdout)
    assert 'uv tool install ".[tune]"' in done.stdout
    assert "not for commercial use" in done.stdout
    data = json.loads(
        run(folder, *TUNE, "check", "--persona", "architect", "--base-model", "qwen2.5:0.5b", "--json").stdout
    )
    assert data[0]["need"] == sum(t["size"] for t in data[0]["terms"])
    assert data[0]["data"]["rows"] == 5


def test_training_says_in_one_sentence_what_is_missing(folder: Path) -> None:
    done = run(
        folder,
        *SCRIPT,
        "--persona",
        "architect",
        "--base_model",
        "qwen2.5:0.5b",
        "--epochs",
        "3",
        "--batch_size",
        "1",
        "--lora_r",
        "16",
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: torch, ")
    assert 'uv tool install ".[tune]"' in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "loras").exists()


def test_a_script_can_be_written_for_another_machine(folder: Path) -> None:
    done = run(folder, *SCRIPT, "--persona", "architect", "--generate-script")
    assert done.returncode == 0
    text = (folder / "train_architect_lora.py").read_text("utf-8")
    compile(text, "train_architect_lora.py", "exec")
    assert "secretly" not in text
    assert '"Qwen/Qwen2.5-3B-Instruct"' in text.replace("'", '"')


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--persona", "architect", "--dora"], "DoRA is refused"),
        (["--persona", "architect", "--modules_to_save", "lm_head"], "low-rank pairs"),
        (["--persona", "nobody"], "rows for architect"),
        ([], "Say whom to train"),
        (["--data", "missing.jsonl", "--base-model", "gpt"], "is not a base that can be trained"),
    ],
)
def test_wrong_use_is_exit_code_2_with_the_reason(folder: Path, options: list[str], reason: str) -> None:
    done = run(folder, *TUNE, "train", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert reason in done.stderr
