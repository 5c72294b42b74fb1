"""An adapter worked into its base says what the base says with the adapter beside it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import gguf
import numpy as np
import pytest
from tiny_gguf_adapters import make_adapter, request

from innercouncil.app.personas import create_persona, open_personas
from innercouncil.app.tune_export import modelfile
from innercouncil.llm.embedded import EmbeddedHost, EmbeddedModel, EmbeddedServer
from innercouncil.model.card import PersonaCard
from innercouncil.model.errors import UsageError
from innercouncil.model.ports import complete
from innercouncil.store.workspace import Workspace
from innercouncil.tuning.gguf import write_gguf
from innercouncil.tuning.merging import merge_gguf
from tiny_adapter import TINY
from tiny_model import LAYERS, build_tiny_model


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return build_tiny_model(tmp_path / "tiny.gguf")


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    make_adapter(tmp_path / "a", use_rslora=True)
    write_gguf(tmp_path / "a", TINY, tmp_path / "a" / "adapter.gguf", outtype="f32")
    return tmp_path / "a" / "adapter.gguf"


@contextlib.contextmanager
def versioned(version: str) -> Iterator[str]:
    """The address of a server that tells Ollama's version, as its API documents it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = json.dumps({"version": version}).encode()
            self.send_response(200 if self.path == "/api/version" else 404)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def quiet(_done: int, _total: int) -> None: ...


def said(file: Path, adapters: dict[str, Path], adapter: str | None) -> list[str]:
    host = EmbeddedHost()
    model = EmbeddedModel("m", host.add(EmbeddedServer(file, slots=1, context_tokens=1024, adapters=adapters)), host)

    async def work() -> list[str]:
        return [(await complete(model, request(n, adapter))).text for n in range(4)]

    try:
        return asyncio.run(work())
    finally:
        host.stop()


def test_merged_it_says_what_base_and_adapter_say(base: Path, adapter: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    merged = tmp_path / "merged.gguf"
    assert merge_gguf(base, adapter, merged, outtype="f16", progress=lambda *at: seen.append(at)) == 7 * LAYERS
    assert seen[-1][0] == seen[-1][1] == len(gguf.GGUFReader(base).tensors)
    beside = said(base, {"voice": adapter}, "voice")
    assert said(merged, {}, None) == beside
    assert said(base, {"voice": adapter}, None) != beside


def test_eight_bits_stay_close_and_what_is_not_merged_stays_as_it_is(base: Path, adapter: Path, tmp_path: Path) -> None:
    merge_gguf(base, adapter, tmp_path / "f.gguf", outtype="f16", progress=quiet)
    merge_gguf(base, adapter, tmp_path / "q.gguf", progress=quiet)
    exact, rounded = ({t.name: t for t in gguf.GGUFReader(tmp_path / f"{x}.gguf").tensors} for x in "fq")
    before = {t.name: t for t in gguf.GGUFReader(base).tensors}
    kinds = set()
    for name, t in rounded.items():
        if name.startswith("blk.") and name.endswith(("_q.weight", "_up.weight", "_down.weight")):
            kinds.add(t.tensor_type.name)
            a, b = (gguf.quants.dequantize(x.data, x.tensor_type) for x in (exact[name], t))
            assert np.abs(a - b).max() < 0.02 * np.abs(a).max()
        elif "norm" in name or name.startswith("token_embd"):
            assert t.tensor_type == before[name].tensor_type
            np.testing.assert_array_equal(t.data, before[name].data)
    assert kinds == {"Q8_0"}


def test_files_that_do_not_belong_together_are_refused_and_leave_nothing(
    base: Path, adapter: Path, tmp_path: Path
) -> None:
    other = build_tiny_model(tmp_path / "other.gguf", feed_forward=96)
    (tmp_path / "no.gguf").write_bytes(b"GGUX")
    there = set(tmp_path.iterdir())
    for model, lora, reason in (
        (other, adapter, "does not fit"), (tmp_path / "no.gguf", adapter, "not a readable GGUF"), (base, other, "not a LoRA adapter"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=reason):
            merge_gguf(model, lora, tmp_path / "out.gguf", progress=quiet)
    assert set(tmp_path.iterdir()) == there


def test_the_command_merges_and_writes_a_modelfile_with_the_persona_s_prompt(base: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "data")
    workspace.prepare()
    _, database, cards = open_personas(workspace)
    create_persona(cards, PersonaCard(name="Captain", system='You say "arr".', temperature=0.4))
    database.close()
    folder = workspace.loras / "persona_captain"
    make_adapter(folder)
    write_gguf(folder, TINY, folder / "adapter.gguf")

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "innercouncil", "tune", "export", "--workspace", str(workspace.root), *args]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = run("--persona", "captain", "--merge", str(base), "--modelfile")
    assert done.returncode == 0, done.stderr
    assert f"{7 * LAYERS} modules" in done.stdout
    text = (folder / "Modelfile").read_text("utf-8")
    assert "FROM ./merged-q8_0.gguf" in text
    assert 'You say "arr".' in text
    assert "temperature 0.4" in text
    assert "ADAPTER" not in text
    for args, reason in (
        (("--adapter", str(folder), "--modelfile"), "needs --persona"), (("--persona", "captain", "--outtype", "q8_0"), "only for --merge"),
        (("--persona", "nobody", "--merge", str(base)), "is missing"),
    ):  # fmt: skip
        refused = run(*args)
        assert refused.returncode == 2
        assert reason in " ".join(refused.stderr.split())


@pytest.mark.parametrize(("version", "taken"), [("0.33.0", True), ("0.34.1", False), ("0.40.0-rc1", False)])
def test_ollama_gets_adapter_only_where_it_takes_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, taken: bool
) -> None:
    workspace = Workspace(tmp_path / "data")
    workspace.prepare()
    _, database, cards = open_personas(workspace)
    create_persona(cards, PersonaCard(name="Captain", system="Arr.", base_model="qwen2.5:3b"))
    database.close()
    folder = workspace.loras / "persona_captain"
    make_adapter(folder)
    write_gguf(folder, TINY, folder / "adapter.gguf")
    with versioned(version) as address:
        monkeypatch.setenv("OLLAMA_HOST", address)
        if not taken:
            with pytest.raises(UsageError, match="takes no adapters; merge"):
                modelfile(workspace, "captain", folder, None)
            return
        path, found = modelfile(workspace, "captain", folder, None)
    assert found == version
    lines = path.read_text("utf-8").splitlines()
    assert lines.index("ADAPTER ./adapter.gguf") == lines.index("FROM qwen2.5:3b") + 1
