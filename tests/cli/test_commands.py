"""The commands as a person types them: exit codes, one sentence for bad input, JSON for machines."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import EXAMPLE

ROOT = Path(__file__).parent.parent.parent


def innercouncil(*args: object, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "innercouncil", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", input=stdin, check=False)


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["discover"],
        ["personas"],
        *(["personas", c] for c in ["list", "show", "edit", "rename", "merge", "split", "drop", "undo"]),
    ],
)
def test_help_shows_an_example(args):
    result = innercouncil(*args, "--help")
    assert result.returncode == 0
    assert "Example" in result.stdout


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_the_line_of_evaluate_names_all_that_it_measures():
    from innercouncil.cli.evaluate import evaluate

    line = next(x for x in innercouncil("--help").stdout.split("\n\n") if " evaluate " in x)
    line = " ".join(line.partition(" evaluate ")[2].split("\n  serve")[0].split())
    for measured in evaluate.commands:
        assert measured in line


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.json", "", "is empty"),
        ("words.json", "hello", "not JSON"),
        ("array.json", "[]", "no conversation"),
        ("wrong.json", '[{"a": 1}]', "No chats were found"),
        ("short.json", None, "at least 30"),
    ],
)
def test_bad_input_gets_one_sentence_and_exit_code_1(tmp_path, name, content, says):
    if content is None:
        content = json.dumps(json.loads(EXAMPLE.read_text("utf-8"))[:1])
    result = innercouncil("discover", write(tmp_path / name, content), "--workspace", tmp_path / "data")
    error = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert (result.returncode, len(error), "Traceback" in result.stderr) == (1, 1, False)
    assert says in error[0]
    assert result.stdout == ""


def test_usage_errors_end_with_2(tmp_path):
    assert innercouncil("discover", tmp_path / "nowhere.zip", "--workspace", tmp_path / "d").returncode == 2
    assert innercouncil("discover", EXAMPLE, "--clusters", "many").returncode == 2
    assert innercouncil("personas", "show").returncode == 2


def test_a_truncated_export_keeps_its_whole_conversations(tmp_path):
    text = EXAMPLE.read_text("utf-8")
    export = write(tmp_path / "conversations.json", text[: len(text) * 9 // 10])
    result = innercouncil("discover", export, "--workspace", tmp_path / "data", "--json")
    data = json.loads(result.stdout)
    assert 35 < data["import"]["conversations"] < 47
    assert "breaks off" in data["import"]["warnings"][0]


def test_personas_as_a_user_would_chain_them(discovered, tmp_path):
    shutil.copytree(discovered[1], tmp_path / "data")
    at = ("--workspace", tmp_path / "data")
    first = json.loads(innercouncil("personas", "list", *at, "--json").stdout)[0]["slug"]
    assert innercouncil("personas", "rename", first, "The Maker", *at).returncode == 0
    assert innercouncil("personas", "edit", "the-maker", "--file", "-", *at, stdin="Say yes.\n").returncode == 0
    assert innercouncil("personas", "show", "the-maker", "--prompt", *at).stdout == "Say yes.\n"
    unknown = innercouncil("personas", "drop", "nobody", *at)
    assert unknown.returncode == 1
    assert "the-maker" in unknown.stderr


def test_the_plans_own_command_reads_raw_imports_and_writes_the_same_files(discovered, tmp_path):
    raw = tmp_path / "data" / "personas" / "raw_imports"
    raw.mkdir(parents=True)
    shutil.copy(EXAMPLE, raw / "conversations.json")
    command = [
        sys.executable,
        str(ROOT / "scripts" / "extract_personas.py"),
        "--mode",
        "16GB",
        "--clusters",
        "4",
        "--json",
    ]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", check=True)
    assert json.loads(result.stdout)["k"] == 4
    assert (tmp_path / "data" / "personas" / "prompts" / "generated_prompts.json").is_file()
