"""The demo as a stranger runs it: without a model, with one, twice, and in a folder that is somebody else's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from conftest import contents
from innercouncil.app.demo import example_export
from tiny_model import build_tiny_model

ENV = {k: v for k, v in os.environ.items() if not k.startswith(("INNERCOUNCIL_", "OLLAMA_", "ANTHROPIC_", "OPENAI_"))}
Result = subprocess.CompletedProcess[str]


def command(folder: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "innercouncil", "demo", "--workspace", str(folder), *more]


def environment(folder: Path) -> dict[str, str]:
    return {
        **ENV,
        "OLLAMA_HOST": "127.0.0.1:9",
        "OLLAMA_MODELS": str(folder / "no-ollama"),
        "BROWSER": "true",
        "COLUMNS": "100",
    }


def tries(folder: Path) -> Result:
    """The demo without a browser, in a folder beside its workspace, so that no model lies about."""
    return subprocess.run(
        command(folder, "--no-browser"), capture_output=True, text=True, encoding="utf-8", check=False, env=environment(folder.parent),
        cwd=folder.parent,
    )  # fmt: skip


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    folder = tmp_path_factory.mktemp("stranger") / "demo"
    return tries(folder), folder


def test_without_a_model_it_shows_what_needs_none_and_says_what_to_get(shown: tuple[Result, Path]) -> None:
    result, folder = shown
    assert result.returncode == 0, result.stderr
    kept = json.loads((folder / "personas" / "clusters" / "personas.json").read_text("utf-8"))
    assert 3 <= len(kept) <= 6
    for persona in kept:
        assert persona["name"] in result.stdout
    assert "The system prompt of" in result.stdout
    assert "innercouncil models pull qwen2.5:3b" in result.stdout
    assert (folder / "report.html").is_file()


def test_a_second_time_nothing_is_made_again(shown: tuple[Result, Path]) -> None:
    first, folder = shown
    before = contents(folder)
    again = tries(folder)
    assert (again.returncode, again.stdout) == (0, first.stdout)
    assert contents(folder) == before


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "beach.jpg").write_bytes(b"sand")
    result = tries(folder)
    assert result.returncode == 2
    assert "holds files of something else; give the demo a new folder" in result.stderr
    assert [p.name for p in folder.iterdir()] == ["beach.jpg"]


def test_with_a_model_the_council_is_really_asked_once(shown: tuple[Result, Path], tmp_path: Path) -> None:
    del shown
    folder = tmp_path / "demo"
    build_tiny_model(tmp_path / "tiny.gguf", ending=4.5)
    result = tries(folder)
    assert result.returncode == 0, result.stderr
    assert "as a council, with" in result.stdout
    assert "models pull" not in result.stdout
    assert tries(folder).returncode == 0
    listed = subprocess.run(
        [sys.executable, "-m", "innercouncil", "sessions", "list", "--json", "--workspace", str(folder)], capture_output=True, text=True,
        encoding="utf-8", check=True, env=environment(tmp_path),
    )  # fmt: skip
    sessions = json.loads(listed.stdout)["sessions"]
    assert [s["status"] for s in sessions] == ["done"]


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_with_a_browser_it_serves_the_workspace_until_it_is_interrupted(shown: tuple[Result, Path]) -> None:
    folder = shown[1]
    with subprocess.Popen(
        command(folder), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, encoding="utf-8", env=environment(folder.parent),
        cwd=folder.parent,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        address = next(line.split()[3] for line in process.stderr if line.startswith("innercouncil is at "))
        with urllib.request.urlopen(address, timeout=20) as page:
            assert page.status == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert "Traceback" not in process.stderr.read()


def test_the_example_of_the_source_tree_is_the_one_in_the_wheel() -> None:
    assert example_export().is_file()
    project = (Path(__file__).parent.parent.parent / "pyproject.toml").read_text("utf-8")
    assert '"examples/conversations.json" = "innercouncil/example/conversations.json"' in project
