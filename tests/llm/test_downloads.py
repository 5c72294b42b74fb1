"""llm.downloads: a registry on this machine that speaks the OCI protocol, breaks off and lies."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from innercouncil.llm.downloads import Fetching, ModelFolder
from innercouncil.model.errors import BackendBusyError, BackendGarbageError, BackendUnreachableError, ModelMissingError

MODEL = bytes(range(256)) * 20_000
DIGEST = hashlib.sha256(MODEL).hexdigest()
LAYER = {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{DIGEST}", "size": len(MODEL)}


class Registry(ThreadingHTTPServer):
    """Serves one model; `cuts` are byte counts after which a download breaks off, `busy` answers 503 so often."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.body, self.ranges, self.cuts, self.busy = MODEL, list[str | None](), list[int](), 0
        self.manifest: object = {"schemaVersion": 2, "layers": [{"mediaType": "x", "digest": "y", "size": 1}, LAYER]}
        self.takes_ranges = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Registry

    def do_GET(self) -> None:
        if self.path == "/v2/library/qwen2.5/manifests/3b":
            return self._send(200, json.dumps(self.server.manifest).encode())
        if self.path != f"/v2/library/qwen2.5/blobs/sha256:{DIGEST}":
            return self._send(404, b"{}")
        self.server.ranges.append(self.headers["Range"])
        if self.server.busy:
            self.server.busy -= 1
            return self._send(503, b"")
        asked = self.headers["Range"] if self.server.takes_ranges else None
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        return self._send(206 if asked else 200, self.server.body[start:], breakable=True)

    def _send(self, status: int, body: bytes, *, breakable: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut = self.server.cuts.pop(0) if breakable and self.server.cuts else None
        with contextlib.suppress(OSError):
            self.wfile.write(body[:cut])

    def log_message(self, *args: object) -> None:
        del args


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def folder(tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> ModelFolder:
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "ollama"))
    return ModelFolder(tmp_path / "models", registry=registry.url)


def fetch(folder: ModelFolder, name: str = "qwen2.5:3b") -> list[Fetching]:
    async def steps() -> list[Fetching]:
        return [step async for step in folder.fetch(name)]

    return asyncio.run(steps())


def test_a_model_arrives_with_progress_and_is_found_by_its_name(folder: ModelFolder) -> None:
    assert folder.find("qwen2.5:3b") is None
    steps = fetch(folder)
    found = folder.find("qwen2.5:3b")
    assert found is not None
    assert found.read_bytes() == MODEL
    assert found.suffix == ".gguf"
    assert not list(folder.root.glob("*.part"))
    assert steps[0] == (0, len(MODEL))
    assert steps[-1] == (len(MODEL), len(MODEL))
    assert [s.done for s in steps] == sorted(s.done for s in steps)
    assert len(steps) > 3


def test_what_broke_off_goes_on_where_it_stopped(folder: ModelFolder, registry: Registry) -> None:
    registry.cuts = [2_000_000, 1_500_000]
    assert fetch(folder)[-1].done == len(MODEL)
    asked = [int(r.removeprefix("bytes=").rstrip("-")) if r else 0 for r in registry.ranges]
    assert asked[0] == 0
    assert 0 < asked[1] <= 2_000_000
    assert asked[1] < asked[2] <= 3_500_000
    assert folder.path("qwen2.5:3b").read_bytes() == MODEL


def test_left_in_the_middle_the_next_call_goes_on(folder: ModelFolder, registry: Registry) -> None:
    async def leave() -> None:
        async with contextlib.aclosing(folder.fetch("qwen2.5:3b")) as steps:
            async for step in steps:
                if step.done > 1_000_000:
                    return

    asyncio.run(leave())
    assert folder.find("qwen2.5:3b") is None, "half a file is no model"
    assert fetch(folder)[0].done > 1_000_000
    assert registry.ranges[1] is not None
    assert folder.path("qwen2.5:3b").read_bytes() == MODEL


def test_a_server_without_ranges_starts_from_the_beginning(folder: ModelFolder, registry: Registry) -> None:
    registry.takes_ranges = False
    registry.cuts = [2_000_000]
    fetch(folder)
    assert folder.path("qwen2.5:3b").read_bytes() == MODEL


def test_damaged_bytes_are_deleted_and_the_next_try_is_clean(folder: ModelFolder, registry: Registry) -> None:
    registry.body = MODEL[:-1] + b"?"
    with pytest.raises(BackendGarbageError, match="checksum is wrong"):
        fetch(folder)
    assert not list(folder.root.iterdir())
    registry.body = MODEL
    fetch(folder)
    assert folder.path("qwen2.5:3b").read_bytes() == MODEL


def test_busy_is_retried_and_given_up_in_the_end(folder: ModelFolder, registry: Registry) -> None:
    registry.busy = 2
    assert fetch(folder)[-1].done == len(MODEL)
    folder.path("qwen2.5:3b").unlink()
    registry.busy = 99
    with pytest.raises(BackendBusyError, match="503"):
        fetch(folder)


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b/c:d", "", "x y", "qwen2.5:..", "http://x/y"])
def test_what_is_no_name_is_refused_before_anything_is_asked(
    folder: ModelFolder, registry: Registry, name: str
) -> None:
    with pytest.raises(ModelMissingError, match="not the name"):
        fetch(folder, name)
    assert not registry.ranges


def test_an_unknown_model_and_no_network_are_told(folder: ModelFolder, tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match="no model called nothing"):
        fetch(folder, "nothing:1b")
    with pytest.raises(BackendUnreachableError, match="check the network"):
        fetch(ModelFolder(tmp_path, registry="http://127.0.0.1:9"))


@pytest.mark.parametrize(
    "manifest",
    [[], {}, {"layers": []}, {"layers": [{**LAYER, "digest": "md5:1"}]}, {"layers": [{**LAYER, "digest": "sha256:../x"}]},
     {"layers": [{**LAYER, "size": -1}]}],
)  # fmt: skip
def test_a_manifest_that_is_none_is_refused(folder: ModelFolder, registry: Registry, manifest: object) -> None:
    registry.manifest = manifest
    with pytest.raises(BackendGarbageError, match="manifest"):
        fetch(folder)


def test_ollamas_own_file_is_used_as_it_is(folder: ModelFolder, tmp_path: Path, registry: Registry) -> None:
    store = tmp_path / "ollama"
    manifest = store / "manifests" / "registry.ollama.ai" / "library" / "qwen2.5" / "3b"
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps(registry.manifest))
    assert folder.find("qwen2.5:3b") is None, "the manifest alone is not the model"
    blob = store / "blobs" / f"sha256-{DIGEST}"
    blob.parent.mkdir()
    blob.write_bytes(MODEL)
    assert folder.find("qwen2.5:3b") == blob
