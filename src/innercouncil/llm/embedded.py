"""llama.cpp without an installation: a GGUF file served by a child process that is started, watched and restarted."""

from __future__ import annotations

import asyncio
import atexit
import collections
import contextlib
import re
import secrets
import ssl
import subprocess
import sys
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import httpx_sse
import msgspec
import psutil

from innercouncil.llm.embedded_server import READY, ServerConfig
from innercouncil.llm.waiting import LoopCondition
from innercouncil.model.errors import (
    BackendError,
    BackendGarbageError,
    BackendRejectedError,
    BackendStalledError,
    BackendUnreachableError,
    ModelMissingError,
)
from innercouncil.model.ports import ChatRequest, Chunk, Usage
from innercouncil.model.tokens import disarm

START_SECONDS: Final = 600
"""Longest time to load a model from a slow disk."""
_TRIES: Final = 3
_NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts nobody: the child speaks plain HTTP, and reading the system's certificates for each call takes 30 ms."""


class EmbeddedServer:
    """One GGUF file in a child process.

    `slots` answers run at the same time, each with `context_tokens`. The process starts with the first request and is
    started again when it is found dead.
    """

    def __init__(
        self, path: Path, *, slots: int, context_tokens: int, gpu_layers: int = -1,
        adapters: Mapping[str, Path] | None = None,
    ) -> None:  # fmt: skip
        self.path, self.slots, self.context_tokens = path, slots, context_tokens
        self.adapters = dict(adapters or {})
        """Name -> GGUF LoRA, all loaded at the start and silent until a request names one; another one needs a new server."""
        self.starts = 0
        """How often the process was started."""
        self.busy = 0
        """Requests under way."""
        self._gpu_layers = gpu_layers
        self._process: subprocess.Popen[bytes] | None = None
        self._url = ""
        self._key = ""
        self._lock = threading.Lock()
        self._chatter: collections.deque[str] = collections.deque(maxlen=60)
        _ALIVE.add(self)

    @property
    def running(self) -> bool:
        """Whether the child lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Process id of the child, None while there is none."""
        return self._process.pid if self.running and self._process else None

    def start(self) -> tuple[str, str]:
        """URL and API key of the running server; starts it where it does not run. Blocks while the model loads.

        Raises ModelMissingError where there is no such file, BackendUnreachableError where llama.cpp cannot load it.
        """
        with self._lock:
            if self.running:
                return self._url, self._key
            if not self.path.is_file():
                raise ModelMissingError(f"There is no model file {self.path}; give the path of a .gguf file.")
            for name, file in self.adapters.items():
                if not file.is_file():
                    raise ModelMissingError(
                        f"There is no adapter file {file} for {name}; `innercouncil tune export` makes it."
                    )
            self.stop()  # one that died leaves its pipes
            self._key = secrets.token_hex(16)
            config = ServerConfig(
                path=str(self.path), slots=self.slots, context_tokens=self.context_tokens, threads=_threads(),
                gpu_layers=self._gpu_layers, api_key=self._key,
                adapters=tuple(str(a) for a in self.adapters.values()),
            )  # fmt: skip
            self.starts += 1
            self._chatter.clear()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "innercouncil.llm.embedded_server"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
            self._url = self._handshake(self._process, config)
            return self._url, self._key

    def _handshake(self, process: subprocess.Popen[bytes], config: ServerConfig) -> str:
        assert process.stdin and process.stdout and process.stderr
        threading.Thread(target=self._listen, args=(process.stderr,), daemon=True).start()
        timer = threading.Timer(START_SECONDS, process.kill)
        timer.start()
        try:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(msgspec.json.encode(config) + b"\n")
                process.stdin.flush()
            line = process.stdout.readline().decode("utf-8", "replace")
        finally:
            timer.cancel()
        if not line.startswith(READY):
            self.stop()
            raise BackendUnreachableError(f"llama.cpp could not load {self.path.name}: {self._why()}")
        return str(msgspec.json.decode(line[len(READY) :])["url"])

    def _listen(self, stream: object) -> None:
        """Keep the last lines of the server's own talk, for one sentence about why it could not start."""
        with contextlib.suppress(ValueError, OSError):
            for line in stream:  # type: ignore[attr-defined]
                self._chatter.append(line.decode("utf-8", "replace").rstrip())

    def _why(self) -> str:
        lines = [line for line in self._chatter if re.search(r"\berror\b|failed|invalid|Error", line)]
        text = re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", lines[-1] if lines else "it ended without a word")
        return text[:300] + "; check that the file is a complete GGUF model and that memory is free."

    def stop(self) -> None:
        """End the child; the next request starts it again."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin:
            with contextlib.suppress(OSError):
                process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=2)
        if process.poll() is None:
            process.kill()
            process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()


class EmbeddedHost:
    """The models of this process. With `together=False` only one is in memory at a time (phases).

    A request for another model then waits until the present one's answers are finished. A host that is given up with
    `retire` still serves whoever holds one of its models, and frees the memory whenever nobody does.
    """

    def __init__(self, *, together: bool = True) -> None:
        self.together = together
        self._servers: list[EmbeddedServer] = []
        self._retired = False
        self._changed = LoopCondition()

    def add(self, server: EmbeddedServer) -> EmbeddedServer:
        """Take a server into this host."""
        self._servers.append(server)
        return server

    @contextlib.asynccontextmanager
    async def use(self, server: EmbeddedServer) -> AsyncIterator[None]:
        """Hold `server` in memory while the block runs."""
        changed = self._changed.here()
        async with changed:
            others = [s for s in self._servers if s is not server]
            if not self.together:
                await changed.wait_for(lambda: not any(s.busy for s in others))
                for other in others:
                    await asyncio.to_thread(other.stop)
            server.busy += 1
        try:
            yield
        finally:
            async with changed:
                server.busy -= 1
                if self._retired and not server.busy:
                    await asyncio.to_thread(server.stop)
                changed.notify_all()

    def retire(self) -> None:
        """Free the memory: idle models now, busy ones when their last answer is finished."""
        self._retired = True
        for server in self._servers:
            if not server.busy:
                server.stop()

    def stop(self) -> None:
        """End all children."""
        for server in self._servers:
            server.stop()


class EmbeddedModel:
    """A `ChatModel` over an `EmbeddedServer`.

    Uses the server's `/completion` rather than its chat endpoint: the latter parses what was written once more, for
    tools and thinking, and answers with an error where it finds text it did not expect.
    """

    def __init__(self, name: str, server: EmbeddedServer, host: EmbeddedHost, *, stall_s: float = 120.0) -> None:
        self._name, self.server, self._host, self._stall = name, server, host, stall_s

    @property
    def name(self) -> str:
        """Name of the model as the person knows it."""
        return self._name

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Answer; a child that died before the first text is started again, up to twice."""
        if request.adapter is not None and request.adapter not in self.server.adapters:
            raise BackendRejectedError(
                f"{self._name} was started without the adapter {request.adapter}; train or export it."
            )
        async with self._host.use(self.server):
            for attempt in range(1, _TRIES + 1):
                begun = False
                url, key = await asyncio.to_thread(self.server.start)
                try:
                    async with contextlib.aclosing(self._complete(url, key, request)) as chunks:
                        async for chunk in chunks:
                            begun = begun or bool(chunk.text)
                            yield chunk
                except httpx.ReadTimeout:
                    raise BackendStalledError(
                        f"{self._name} sent nothing for {self._stall:.0f} seconds; the machine may be short of memory: "
                        "close other programs or choose a smaller model."
                    ) from None
                except httpx.TransportError as error:
                    await asyncio.sleep(0.1)
                    if begun or attempt == _TRIES:
                        raise BackendError(
                            f"The process that serves {self._name} died while answering; it is started again with the next "
                            "question."
                        ) from error
                else:
                    return

    async def _complete(self, url: str, key: str, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        timeout = httpx.Timeout(self._stall, connect=5.0)
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(
            base_url=url, headers=headers, timeout=timeout, trust_env=False, verify=_NO_TLS
        ) as client:
            turns = [{"role": t.role, "content": disarm(t.content)} for t in request.turns]
            template = _checked(await client.post("/apply-template", json={"messages": turns}), self._name)
            body = {
                "prompt": template.json()["prompt"], "stream": True, "n_predict": request.max_tokens,
                "temperature": request.temperature, "seed": request.seed,
                # Without adapters no stored prompt can come from another one, so a slot's own prompt may be reused.
                "cache_prompt": not (self.server.adapters or request.fresh),
            }  # fmt: skip
            if self.server.adapters:
                # Every one by number: a field that names only some is mixed with what the server was last told.
                body["lora"] = [
                    {"id": i, "scale": float(name == request.adapter)} for i, name in enumerate(self.server.adapters)
                ]
            if request.schema is not None:
                # Compact JSON: a weak model could otherwise spend its whole allowance on blanks between the fields.
                body["json_schema"] = {**request.schema, "x-guidance": {"whitespace_flexible": False}}
            async with httpx_sse.aconnect_sse(client, "POST", "/completion", json=body) as source:
                if source.response.status_code != 200:
                    await source.response.aread()
                    _checked(source.response, self._name)
                async for event in source.aiter_sse():
                    chunk = _chunk(event.data, self._name)
                    if chunk.text or chunk.finish:
                        yield chunk
                    if chunk.finish:
                        return
        raise BackendGarbageError(f"The answer of {self._name} broke off in the middle; ask again.")


class _Piece(msgspec.Struct):
    content: str = ""
    stop: bool = False
    stop_type: str = ""
    tokens_evaluated: int = 0
    tokens_predicted: int = 0
    error: dict[str, Any] | None = None


def _chunk(data: str, name: str) -> Chunk:
    try:
        piece = msgspec.json.decode(data, type=_Piece)
    except msgspec.MsgspecError as error:
        raise BackendGarbageError(f"The server of {name} sent something unreadable ({error}); ask again.") from None
    if piece.error is not None:
        raise BackendError(f"The server of {name} failed: {_said(piece.error)}.")
    if not piece.stop:
        return Chunk(piece.content)
    usage = Usage(piece.tokens_evaluated, piece.tokens_predicted)
    return Chunk(piece.content, "length" if piece.stop_type == "limit" else "stop", usage)


def _checked(response: httpx.Response, name: str) -> httpx.Response:
    if response.status_code == 200:
        return response
    try:
        said = _said(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        said = f"HTTP {response.status_code}"
    error = BackendRejectedError(f"The server of {name} refused the request: {said}.")
    error.too_long = "exceeds the available context" in said
    raise error


def _said(error: Any) -> str:
    text = error.get("message") if isinstance(error, dict) else error
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", str(text))[:300].rstrip(". ")


def _threads() -> int:
    return psutil.cpu_count(logical=False) or psutil.cpu_count() or 1


_ALIVE: weakref.WeakSet[EmbeddedServer] = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    for server in list(_ALIVE):
        server.stop()
