"""`innercouncil evaluate adherence` as a person runs it: killed and resumed, on scripted servers and a real tiny model."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adherence_speakers import SYSTEM, judged, spoken
from innercouncil.app.personas import create_persona
from innercouncil.model.card import PersonaCard
from innercouncil.model.ports import ChatTurn
from innercouncil.store.cards import CardStore
from innercouncil.store.database import Database
from innercouncil.store.workspace import Workspace
from scripted_author import serving
from tiny_model import build_tiny_model

ENV = {**os.environ, "OLLAMA_HOST": "127.0.0.1:9", "COLUMNS": "160"}
SHORT = ("--questions", 5, "--turns", 2, "--conversations", 2, "--yes")


def command(workspace: Path, *args: object) -> list[str]:
    every = ("evaluate", "adherence", *args, "--workspace", workspace)
    return [sys.executable, "-m", "innercouncil", *map(str, every)]


def types(workspace: Path, *args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(workspace, *args), capture_output=True, text=True, check=False, env=ENV)


class Served:
    """Two servers: one speaks, one judges. `hold` lets the judge wait after so many calls."""

    def __init__(self) -> None:
        self.spoken, self.judged = 0, 0
        self.hold_at, self.held, self.go = 10**6, threading.Event(), threading.Event()

    def speak(self, read: str, _schema: dict[str, Any] | None) -> str:
        self.spoken += 1
        turns = tuple(ChatTurn(m["role"], m["content"]) for m in json.loads(read))
        return spoken(turns, len(read))

    def judge(self, read: str, _schema: dict[str, Any] | None) -> str:
        self.judged += 1
        if self.judged > self.hold_at:
            self.held.set()
            self.go.wait(60)
        return judged(read)


@pytest.fixture
def served() -> Iterator[tuple[Served, tuple[str, ...]]]:
    model = Served()
    with serving(model.speak, json.dumps) as speaker, serving(model.judge) as judge:
        yield model, ("--llm", speaker, "--judge", judge)
        model.go.set()


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    Workspace(folder).prepare()
    database = Database(Workspace(folder).database)
    create_persona(CardStore(database), PersonaCard(name="Ada", system=SYSTEM))
    database.close()
    return folder


def test_a_table_for_people_and_the_same_as_json(workspace: Path, served: tuple[Served, tuple[str, ...]]) -> None:
    model, where = served
    told = types(workspace, *where, "--personas", "ada", "--questions", 14, "--conversations", 0, "--yes")
    assert told.returncode == 0, told.stderr
    assert "keeps to its prompt: yes to" in told.stdout
    assert "The judge can be used" in told.stdout
    assert told.stderr.index("is held to:") < told.stderr.index("Asking the personas")
    assert "adherence_checklists.json" in told.stderr
    before = (model.spoken, model.judged)
    data = types(workspace, *where, "--personas", "ada", "--questions", 14, "--conversations", 0, "--json")
    assert data.returncode == 0, "nothing is left to ask, so no yes is needed"
    assert (model.spoken, model.judged) == before
    found = json.loads(data.stdout)
    assert found == json.loads((workspace / "personas/prompts/adherence.json").read_bytes())
    assert found["personas"][0]["verdict"] == "keeps"


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent there")
@pytest.mark.parametrize("how", [signal.SIGINT, getattr(signal, "SIGKILL", signal.SIGTERM)])
def test_stopped_in_the_middle_nothing_finished_is_lost(
    workspace: Path, served: tuple[Served, tuple[str, ...]], how: int
) -> None:
    model, where = served
    args = (*where, "--personas", "ada", *SHORT, "--json")
    model.hold_at = 6
    with subprocess.Popen(command(workspace, *args), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENV) as child:  # fmt: skip
        assert model.held.wait(60), "it never came to judging"
        child.send_signal(how)
        _, said = child.communicate(timeout=60)
    assert child.returncode in (130, -how), said
    assert "Traceback" not in said
    model.go.set()
    first = (model.spoken, model.judged)
    kept = (workspace / ".innercouncil/adherence_judgements.jsonl").read_bytes().splitlines()
    rest = types(workspace, *args)
    assert rest.returncode == 0, rest.stderr
    assert model.spoken == first[0], "of the answers nothing is asked again"
    assert kept
    whole = (workspace / ".innercouncil/adherence_judgements.jsonl").read_bytes().splitlines()
    assert whole[: len(kept)] == kept
    keys = [json.loads(line)["key"] for line in whole]
    assert len(keys) == len(set(keys))


def test_a_real_model_end_to_end(discovered: tuple[object, Path], tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(discovered[1], folder)
    model = build_tiny_model(tmp_path / "tiny.gguf", ending=6.5)
    where = ("--llm", "embedded", "--llm-model", model, "--judge", "embedded", "--judge-model", model)
    asked = types(folder, *where, "--personas", "story-writer", "--questions", 5, "--conversations", 0)
    assert asked.returncode == 2
    assert "--yes" in asked.stderr
    assert "story-writer is held to:" in asked.stderr
    done = types(
        folder, *where, "--personas", "story-writer", "--questions", 5, "--conversations", 0, "--yes", "--json"
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["judge"]["judged"] + found["judge"]["unjudged"] in range(5, 11), "but for the empty ones"
    assert not found["judge"]["usable"], "a model of random weights does not read"
    assert found["personas"][0]["verdict"] == "not judged"


def test_bad_input_gets_one_sentence(workspace: Path) -> None:
    for args, says in (
        (["--judge-model", "x"], "--judge"),
        (["--no-judge", "--judge", "ollama"], "exclude"),
        (["--personas", "nobody", "--llm", "http://127.0.0.1:9/v1#m", "--no-judge"], "nobody"),
    ):
        result = types(workspace, *args)
        errors = [line for line in result.stderr.splitlines() if line.startswith("Error")]
        assert result.returncode in (1, 2), result.stderr
        assert len(errors) == 1, result.stderr
        assert says in errors[0]
        assert "Traceback" not in result.stderr


def test_help_shows_an_example(workspace: Path) -> None:
    assert "Example: innercouncil evaluate adherence" in types(workspace, "--help").stdout
