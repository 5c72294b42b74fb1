"""`discover --llm` with a real tiny model in the real llama.cpp: what it says is valid, kept, merged and resumed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from conftest import EXAMPLE
from innercouncil.app.helper_model import model_name
from innercouncil.app.labelling import load_scores, read_labelled
from innercouncil.discovery.labeller import Labeller
from innercouncil.discovery.model_labels import FIELDS
from innercouncil.model.errors import UsageError
from innercouncil.store.workspace import Workspace
from tiny_model import build_tiny_model

INJECTIONS = (Path(__file__).parent / "injections.txt").read_text("utf-8").split("\n---\n")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("model") / "tiny.gguf")


def discover(export: Path, workspace: Path, *args: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "innercouncil", "discover", export, "--workspace", workspace, *args]
    env = {**os.environ, "OLLAMA_HOST": "127.0.0.1:9"}
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, input=stdin, check=False, env=env)


@pytest.fixture(scope="module")
def helped(discovered, tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> tuple[Path, dict[str, object]]:
    folder = tmp_path_factory.mktemp("helped") / "data"
    result = discover(EXAMPLE, folder, "--llm", "embedded", "--llm-model", tiny, "--llm-budget", 24, "--yes", "--json")
    assert result.returncode == 0, result.stderr
    said = json.loads(result.stdout)
    assert f"will be asked about {24 + said['model_labels']['checks']} messages in " in result.stderr
    return folder, said


def test_every_label_is_in_its_set_and_the_count_is_told(helped, discovered):
    folder, said = helped
    report = said["model_labels"]
    assert report["asked"] == 24
    assert report["accepted"] + report["rejected"] == 24
    assert report["accepted"] > 0
    assert report["checks"] > 5
    assert max(report["trust"].values()) < 0.7, "a model that answers at random is found out"
    offline = {m.id: m for m in read_labelled(Workspace(discovered[1]).categorized_messages)}
    messages = list(read_labelled(Workspace(folder).categorized_messages))
    changed = [m for m in messages if any(getattr(m, f) != getattr(offline[m.id], f) for f in FIELDS)]
    assert len(changed) == report["changed"]
    touched = [m for m in messages if m.labelled_by != "offline"]
    assert len(touched) >= report["accepted"]
    for m in messages:
        assert all(getattr(m, f) in FIELDS[f] for f in FIELDS)
        assert m in touched or m == offline[m.id]


def test_scores_agree_with_the_merged_labels(helped):
    ws = Workspace(helped[0])
    scores, heads = load_scores(ws.label_scores), Labeller.load().heads
    for row, m in enumerate(read_labelled(ws.categorized_messages)):
        for field in FIELDS:
            p = scores.probabilities[field][row]
            assert (
                heads[field].labels[int(p.argmax())] == getattr(m, field)
                or p.max() - p[heads[field].labels.index(getattr(m, field))] < 2e-3
            )
            assert abs(float(p.sum()) - 1) < 0.01
            assert np.isfinite(p).all()


def test_answers_are_kept_one_by_one_and_not_asked_for_again(helped, tiny, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(helped[0], folder)
    ws = Workspace(folder)
    lines = ws.model_answers.read_bytes().splitlines(keepends=True)
    assert len(lines) == 24 + helped[1]["model_labels"]["checks"]
    ws.model_answers.write_bytes(b"".join(lines[:-4]) + lines[-4][:11])  # killed in the middle of a line
    again = ("--llm", "embedded", "--llm-model", tiny, "--llm-budget", 24, "--yes", "--refresh", "--json")
    result = discover(EXAMPLE, folder, *again)
    assert result.returncode == 0, result.stderr
    assert "asked about 4 messages in 1 call" in result.stderr
    assert len(ws.model_answers.read_bytes().splitlines()) == len(lines)
    assert f"{tiny.name} took 1 call, " in result.stderr
    third = discover(EXAMPLE, folder, *again)
    assert "asked about" not in third.stderr.replace("it was asked about", "")
    assert json.loads(third.stdout)["model_labels"]["asked"] == 24


def test_another_model_under_the_same_name_is_asked_anew(helped, tiny, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(helped[0], folder)
    other = build_tiny_model(tmp_path / tiny.name, seed=1)
    result = discover(
        EXAMPLE, folder, "--llm", "embedded", "--llm-model", other, "--llm-budget", 24, "--llm-price", 1, 1
    )
    assert result.returncode == 2
    assert f"asked about {24 + helped[1]['model_labels']['checks']} messages" in result.stderr
    assert "at your price at most 0.0" in result.stderr


def test_without_a_terminal_it_wants_yes_and_nothing_is_asked(tiny, tmp_path):
    result = discover(EXAMPLE, tmp_path / "data", "--llm", "embedded", "--llm-model", tiny, "--llm-budget", 8)
    assert result.returncode == 2
    assert "--yes" in result.stderr
    assert not Workspace(tmp_path / "data").model_answers.exists()
    assert discover(EXAMPLE, tmp_path / "data").returncode == 0, "without --llm the run goes on"


def test_a_model_elsewhere_needs_consent_and_one_that_is_not_there_is_told(tmp_path):
    far = discover(EXAMPLE, tmp_path / "data", "--llm", "https://api.example.invalid/v1", "--llm-model", "m", "--yes")
    assert far.returncode == 2
    assert "models allow api.example.invalid" in far.stderr
    gone = discover(EXAMPLE, tmp_path / "data", "--llm", "embedded", "--llm-model", "nothing.gguf", "--yes")
    assert gone.returncode == 1
    assert "no model file" in gone.stderr


@pytest.mark.parametrize(
    ("llm", "name", "meant"),
    [
        ("ollama", None, "ollama:qwen2.5:3b"), ("ollama", "llama3", "ollama:llama3"), ("embedded", None, "qwen2.5:3b"),
        ("embedded", "/x/y.gguf", "/x/y.gguf"), ("anthropic", "claude", "anthropic:claude"),
        ("http://127.0.0.1:8000/v1#qwen", None, "http://127.0.0.1:8000/v1#qwen"),
    ],
)  # fmt: skip
def test_what_llm_and_its_model_mean(llm, name, meant):
    assert model_name(llm, name) == meant


@pytest.mark.parametrize("given", [("cloud", None), ("anthropic", None), ("http://127.0.0.1:8000/v1", None)])
def test_half_a_name_is_told(given):
    with pytest.raises(UsageError):
        model_name(*given)


def test_messages_that_give_orders_are_labelled_like_any_other(tiny, tmp_path):
    chats = json.loads(EXAMPLE.read_text("utf-8"))
    places = [
        node["message"] for chat in chats for node in chat["mapping"].values()
        if node.get("message") and node["message"]["author"]["role"] == "user"
    ]  # fmt: skip
    for message, text in zip(places[:: len(places) // len(INJECTIONS)], INJECTIONS, strict=False):
        message["content"]["parts"] = [text]
    export = tmp_path / "conversations.json"
    export.write_text(json.dumps(chats), "utf-8")
    folder = tmp_path / "data"
    result = discover(export, folder, "--llm", "embedded", "--llm-model", tiny, "--llm-budget", 500, "--yes", "--json")
    assert result.returncode == 0, result.stderr
    messages = list(read_labelled(Workspace(folder).categorized_messages))
    texts = {" ".join(m.text.split()) for m in messages}
    assert sum(" ".join(text.split()) in texts for text in INJECTIONS) > 10
    assert all(getattr(m, f) in FIELDS[f] for m in messages for f in FIELDS)
    for line in Workspace(folder).model_answers.read_bytes().splitlines():
        _model, _key, labels = msgspec.json.decode(line)
        assert labels is None or all(labels[f] in FIELDS[f] for f in FIELDS)
