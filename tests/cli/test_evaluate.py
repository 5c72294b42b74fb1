"""`innercouncil evaluate prompts` as a person runs it, with the offline scorer and with a real tiny model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from innercouncil.model.persona import Change
from innercouncil.store import database
from innercouncil.store.workspace import Workspace
from tiny_model import build_tiny_model


def innercouncil(*args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "innercouncil", *args]
    env = {**os.environ, "OLLAMA_HOST": "127.0.0.1:9", "COLUMNS": "120"}
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, env=env)


def measured(*args: object) -> dict:
    result = innercouncil("evaluate", "prompts", "--json", *args)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def own(discovered, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("evaluated") / "data"
    shutil.copytree(discovered[1], folder)
    return folder


def test_offline_prompts_find_their_own_messages_and_no_prompts_find_none(own):
    found = measured("--workspace", own)
    nobody, offline = found["sets"]
    assert nobody["attribution"]["value"] == nobody["attribution"]["chance"]
    assert offline["attribution"]["low"] > offline["attribution"]["chance"] + 0.1
    assert (nobody["prompt_distinctness"], offline["judged"], offline["style"]) == (0.0, None, None)
    assert offline["prompt_distinctness"] > 0.3
    assert found["differences"][0]["low"] > 0
    assert json.loads(Workspace(own).prompt_quality.read_text("utf-8")) == found
    assert measured("--workspace", own) == found, "the same command gives the same figures"
    assert measured("--workspace", own, "--seed", 1) != found


def test_held_out_words_never_enter_the_prompts(own):
    """A nonsense word said in every held-out message of one persona would give it away if prompts had read it."""
    from innercouncil.app.evaluate_prompts import split_messages, trained_personas
    from innercouncil.app.findings import load_discovery
    from innercouncil.app.labelling import load_scores

    ws = Workspace(own)
    discovery, scores = load_discovery(ws), load_scores(ws.label_scores)
    split = split_messages(ws, discovery, scores, 0)
    held = {m.id for m in split.messages}
    held_conversations = {m.conversation_id for m in split.held}
    assert not held & {i for i, t in zip(scores.ids, split.train, strict=True) if t}
    personas = trained_personas(ws, discovery, scores, split, lambda _done, _total: None)
    assert len(personas) == len(discovery.personas)
    cited = {
        i
        for p in personas
        for source in (p.prompt.lines, p.claims, p.phrases)
        for item in source
        for i in item.evidence
    } | {e.id for p in personas for e in p.exemplars}
    assert cited
    assert not cited & held
    where = {m.id: m.conversation_id for m in split.held}
    assert {where[i] for i in cited if i in where} & held_conversations == set()


def test_a_table_for_people_with_everything_a_model_adds(own, tmp_path):
    tiny = build_tiny_model(tmp_path / "tiny.gguf")
    model = ("--llm", "embedded", "--llm-model", tiny)
    asked = innercouncil("evaluate", "prompts", "--workspace", own, *model, "--llm-price", 1, 2)
    assert asked.returncode == 2
    assert "--yes" in asked.stderr
    assert "at your price at most 0." in asked.stderr
    assert "at its present speed at most" in asked.stderr
    done = innercouncil("evaluate", "prompts", "--workspace", own, *model, "--yes")
    assert done.returncode == 0, done.stderr
    for row in ("attribution, offline scorer", "attribution, the model", "style: Delta", "distinctness of the answers"):
        assert row in done.stdout
    assert "chance is" in done.stdout
    kept = json.loads(Workspace(own).prompt_quality.read_text("utf-8"))
    judged = kept["sets"][1]["judged"]
    assert judged["low"] <= judged["chance"] <= judged["high"], "a model of random weights cannot tell"
    assert kept["sets"][0]["answer_distinctness"] > 0, "sampling alone makes answers differ, and is the baseline"


def test_edited_prompts_are_measured_beside_the_written_ones(own):
    from innercouncil.app.findings import load_discovery

    ws = Workspace(own)
    slug = load_discovery(ws).personas[0].slug
    database.add_change(ws.database, Change(action="edit", slug=slug, value="Nothing of mine.\n"))
    try:
        from conftest import Quiet
        from innercouncil.app.discover import rebuild_personas
        from innercouncil.app.settings import Settings

        rebuild_personas(ws, Settings(bootstraps=4), Quiet())
        found = measured("--workspace", own)
    finally:
        database.undo_change(ws.database)
        rebuild_personas(ws, Settings(bootstraps=4), Quiet())
    names = [s["name"] for s in found["sets"]]
    assert names == ["no persona", "offline", "as edited"]
    assert found["sets"][2]["attribution"]["by_persona"][0] < found["sets"][1]["attribution"]["by_persona"][0]
    assert any("edited by you" in note for note in found["notes"])


def test_without_personas_or_with_too_few_messages_it_says_so(tmp_path, own):
    empty = innercouncil("evaluate", "prompts", "--workspace", tmp_path / "nothing")
    assert (empty.returncode, empty.stderr.count("\n")) == (1, 1)
    assert "discover EXPORT" in empty.stderr
    half = innercouncil("evaluate", "prompts", "--workspace", own, "--llm-model", "x")
    assert half.returncode == 2
