"""`discover --embedder` as a person runs it: real tiny models, a real server, interruptions."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from conftest import EXAMPLE, Quiet, contents, run
from embed_server import MODEL, EmbedServer
from innercouncil.app.discover import rebuild_personas
from innercouncil.app.embedding import BATCH, load_block
from innercouncil.app.findings import changed, load_discovery
from innercouncil.app.labelling import read_messages
from innercouncil.app.settings import Settings
from innercouncil.model.duplicates import near_key
from innercouncil.model.errors import NothingToDiscoverError
from innercouncil.model.persona import Change
from innercouncil.store import database
from innercouncil.store.workspace import Workspace
from llm.wire_server import failure
from tiny_embedder import build_tiny_onnx, not_a_model


def command(workspace: Path, *args: object, export: Path = EXAMPLE) -> list[str]:
    parts = [sys.executable, "-m", "innercouncil", "discover", export, "--workspace", workspace, *args]
    return list(map(str, parts))


def discover(
    workspace: Path, *args: object, url: str = "127.0.0.1:9", **more: Path
) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "OLLAMA_HOST": url}
    return subprocess.run(command(workspace, *args, **more), capture_output=True, text=True, check=False, env=env)


def files(folder: Path) -> dict[str, bytes]:
    """What a run made, but the cache, which keeps what earlier runs learnt too."""
    return {name: data for name, data in contents(folder).items() if not name.endswith("embedding_cache.db")}


def said(result: subprocess.CompletedProcess[str]) -> str:
    """The one sentence of a run that failed."""
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert (len(errors), "Traceback" in result.stderr, result.stdout) == (1, False, ""), result.stderr
    return errors[0]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return build_tiny_onnx(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def embedded(tmp_path_factory, model) -> Path:
    folder = tmp_path_factory.mktemp("embedded") / "data"
    result = discover(folder, "--embedder", f"onnx:{model}", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["k"] >= 2
    assert "Embedding your messages" in result.stderr
    return folder


def test_the_block_counts_and_the_analysis_says_so(embedded):
    ws = Workspace(embedded)
    block = load_block(ws)
    assert block.shape == (len(list(read_messages(ws.all_messages))), 12)
    settings = load_discovery(ws).analysis.settings
    assert settings["embedder"] == "onnx:tiny"
    assert settings["weights"]["embedding"] > 0
    with np.load(ws.modes) as z:
        assert z["centres"].shape[1] > 12 + 30


def test_a_second_run_elsewhere_gives_the_same_bytes_and_done_again_nothing_is_done(embedded, model, tmp_path):
    args = (tmp_path / "data", "--embedder", f"onnx:{model}", "--json")
    assert discover(*args).returncode == 0
    assert files(tmp_path / "data") == files(embedded)
    again = json.loads(discover(*args).stdout)
    assert again["resumed"] == ["read", "label", "embed", "cluster", "personas", "report"]
    assert files(tmp_path / "data") == files(embedded)


def test_another_model_is_another_run_from_there_on(embedded, tmp_path):
    shutil.copytree(embedded, tmp_path / "data")
    other = build_tiny_onnx(tmp_path / "other", seed=1)
    assert run(EXAMPLE, tmp_path / "data", embedder=f"onnx:{other}").resumed == ("read", "label")


def test_without_it_every_byte_is_as_if_there_had_never_been_one(embedded, discovered, tmp_path):
    shutil.copytree(embedded, tmp_path / "after")
    run(EXAMPLE, tmp_path / "after")
    mine = {n: d for n, d in files(tmp_path / "after").items() if "embed" not in n}
    assert mine == files(discovered[1])
    assert b"embed" not in (discovered[1] / "personas/clusters/cluster_analysis.json").read_bytes()


def test_changes_of_the_person_are_applied_on_the_same_evidence(embedded, model, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(embedded, folder)
    ws = Workspace(folder)
    largest = load_discovery(ws).personas[0].slug
    changed(ws, Change(action="split", slug=largest))
    rebuild_personas(ws, Settings(), Quiet())
    split = {p.slug for p in load_discovery(ws).personas}
    assert {f"{largest}-a", f"{largest}-b"} <= split
    assert load_discovery(ws).analysis.settings["embedder"] == "onnx:tiny"
    rebuilt = load_discovery(ws)
    run(EXAMPLE, folder, embedder=f"onnx:{model}", bootstraps=24, refresh=True)
    assert load_discovery(ws).analysis.assignments == rebuilt.analysis.assignments
    database.undo_change(ws.database)
    rebuild_personas(ws, Settings(), Quiet())
    assert load_discovery(ws) == load_discovery(Workspace(embedded))


def test_a_rebuild_without_the_vectors_says_what_to_run(embedded, tmp_path):
    shutil.copytree(embedded, tmp_path / "data")
    ws = Workspace(tmp_path / "data")
    ws.embeddings.unlink()
    with pytest.raises(NothingToDiscoverError, match="innercouncil discover EXPORT"):
        rebuild_personas(ws, Settings(), Quiet())


def test_what_cannot_embed_is_told_in_one_sentence(tmp_path):
    missing = discover(tmp_path / "data", "--embedder", f"onnx:{tmp_path / 'nowhere'}")
    assert (missing.returncode, "There is no folder" in said(missing)) == (2, True)
    empty = discover(tmp_path / "data", "--embedder", f"model2vec:{tmp_path}")
    assert (empty.returncode, "holds no" in said(empty)) == (2, True)
    other = discover(tmp_path / "data", "--embedder", "minilm")
    assert (other.returncode, "onnx:DIR" in said(other)) == (2, True)
    damaged = discover(tmp_path / "data", "--embedder", f"onnx:{not_a_model(tmp_path / 'model')}")
    assert (damaged.returncode, "damaged" in said(damaged)) == (1, True)
    silent = discover(tmp_path / "data", "--embedder", "ollama:tiny-embed")
    assert (silent.returncode, "start Ollama" in said(silent)) == (1, True)


def unique_texts(workspace: Path) -> int:
    return len({near_key(m.voice) for m in read_messages(Workspace(workspace).all_messages) if m.voice.strip()})


def test_killed_in_the_middle_it_goes_on_with_at_most_a_batch_lost_and_ends_the_same(tmp_path):
    running: list[subprocess.Popen[bytes]] = []

    def kill_once(_texts: list[str]) -> None:
        if running and len(server.texts) > BATCH:
            running.pop().send_signal(signal.SIGKILL)

    with EmbedServer(before=kill_once) as server:
        env = {**os.environ, "OLLAMA_HOST": server.url}
        args = ("--embedder", "ollama:tiny-embed")
        running.append(subprocess.Popen(command(tmp_path / "killed", *args), env=env, stderr=subprocess.DEVNULL))
        assert running[0].wait() == -signal.SIGKILL
        assert BATCH < len(server.texts) <= 3 * BATCH
        assert discover(tmp_path / "killed", *args, url=server.url).returncode == 0
        total = unique_texts(tmp_path / "killed")
        assert total <= len(server.texts) <= total + 2 * BATCH
        server.texts.clear()
        assert discover(tmp_path / "whole", *args, url=server.url).returncode == 0
        assert len(server.texts) == total, "every text once, near-duplicates together"
    assert files(tmp_path / "killed") == files(tmp_path / "whole")


def test_a_server_that_fails_is_told(tmp_path):
    with EmbedServer(before=lambda _: failure(400, {"error": "no"}) if len(server.texts) > BATCH else None) as server:
        result = discover(tmp_path / "data", "--embedder", f"ollama:{MODEL}", url=server.url)
    assert (result.returncode, "refused the request" in said(result)) == (1, True)


def test_elsewhere_needs_consent_and_gets_redacted_texts_only(tmp_path):
    chats = json.loads(EXAMPLE.read_text("utf-8"))
    for chat in chats:
        for node in chat["mapping"].values():
            if node["message"] and node["message"]["author"]["role"] == "user":
                node["message"]["content"]["parts"][0] += " Write to jo.doe@example.com about it."
    export = tmp_path / "conversations.json"
    export.write_text(json.dumps(chats), "utf-8")
    folder = tmp_path / "data"
    with EmbedServer(remote_host="https://ollama.example:443") as server:
        refused = discover(folder, "--embedder", f"ollama:{MODEL}", url=server.url, export=export)
        assert (refused.returncode, "innercouncil models allow ollama.example" in said(refused)) == (2, True)
        assert server.texts == []
        allow = [sys.executable, "-m", "innercouncil", "models", "allow", "ollama.example", "--workspace", str(folder)]
        subprocess.run(allow, check=True, capture_output=True)
        agreed = discover(folder, "--embedder", f"ollama:{MODEL}", url=server.url, export=export)
        assert agreed.returncode == 0, agreed.stderr
    assert len(server.texts) > 50
    assert not any("jo.doe" in text for text in server.texts)
    assert sum("[e-mail]" in text for text in server.texts) > 50
