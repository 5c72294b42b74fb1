"""Ollama: chat over POST /api/chat, and looking after its models."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from innercouncil.llm.complaints import Complaint, clean, read_complaint, redact
from innercouncil.llm.http import FIRST_TOKEN_S, STALL_S, Advice, BusyError, Feed, Server, as_count
from innercouncil.llm.remote_model import RemoteModel
from innercouncil.model.errors import BackendError, BackendGarbageError
from innercouncil.model.ports import ChatRequest, Chunk, Finish, Usage
from innercouncil.model.tokens import disarm

PORT: Final = 11434
_ADVICE: Final = Advice(
    start="start it (`ollama serve`, or the Ollama app)",
    key="run `ollama signin`, or choose a model that runs here",
    model="fetch it with `innercouncil models pull NAME`",
)


def default_url() -> str:
    """Where Ollama listens: OLLAMA_HOST in the forms that Ollama itself reads, else this machine's port 11434."""
    text = os.environ.get("OLLAMA_HOST", "").strip().strip("\"'").strip()
    scheme, found, rest = text.partition("://")
    port = {"http": 80, "https": 443}.get(scheme, PORT) if found else PORT
    if not found:
        rest = text
    if not found or scheme not in ("http", "https"):
        scheme = "http"
    if rest.count(":") > 1 and not rest.startswith("["):
        rest = f"[{rest}]"  # an IPv6 address without brackets has no port
    try:
        parts = urlsplit(f"//{rest}")
        host, path = parts.hostname or "127.0.0.1", parts.path.rstrip("/")
    except ValueError:
        return f"http://127.0.0.1:{PORT}"
    with suppress(ValueError):  # Ollama takes its default for a port that is none
        port = port if parts.port is None else parts.port
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - where it listens, seen from here
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}{path}"


class OllamaModelInfo(NamedTuple):
    """A model that Ollama has."""

    name: str
    size_bytes: int
    parameters: str
    """As Ollama puts it, e.g. `3.1B`."""
    quantization: str
    family: str
    remote_host: str = ""
    """Where the model really runs, for Ollama's cloud models: text sent to it leaves this machine."""
    digest: str = ""
    """Changes with the model's content, whatever its name."""


class LoadedModel(NamedTuple):
    """A model in Ollama's memory."""

    name: str
    size_bytes: int
    vram_bytes: int
    """How much of it is in the GPU's memory."""
    context_tokens: int
    """Context it was loaded with, 0 where Ollama does not say."""


class PullProgress(NamedTuple):
    """How far a download is; `total` is 0 for steps that have no size."""

    status: str
    digest: str
    completed: int
    total: int


class Ollama:
    """The Ollama server itself."""

    def __init__(
        self, url: str | None = None, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:  # fmt: skip
        self._server = ollama_server(url or default_url(), sleep=sleep)

    def __repr__(self) -> str:
        return f"Ollama({self._server.place!r})"

    @property
    def url(self) -> str:
        """Its address."""
        return self._server.url

    @property
    def is_remote(self) -> bool:
        """Whether it runs on another machine."""
        return self._server.is_remote

    async def aclose(self) -> None:
        """Close what is open in the running event loop."""
        await self._server.aclose()

    async def version(self) -> str | None:
        """Its version; None where nothing listens, or something that is not Ollama."""
        try:
            data = await self._server.fetch("/api/version")
            version = msgspec.json.decode(data, type=dict[str, Any]).get("version")
        except (BackendError, msgspec.MsgspecError, UnicodeError):
            return None
        return clean(version, 40) if isinstance(version, str) and version else None

    async def models(self) -> list[OllamaModelInfo]:
        """The models it has, by name. Raises BackendError."""
        found = await self._list("/api/tags")
        return sorted(_info(model) for model in found)

    async def digest(self, name: str) -> str | None:
        """Digest of a model's contents, "" where Ollama does not say; None where it has no such model. Raises BackendError."""
        tagged = name if ":" in name else f"{name}:latest"
        return next((m.digest for m in await self._list("/api/tags") if m.name == tagged), None)

    async def loaded(self) -> list[LoadedModel]:
        """The models in its memory now, by name. Raises BackendError."""
        found = await self._list("/api/ps")
        return sorted(LoadedModel(m.name, m.size, m.size_vram, m.context_length) for m in found)

    async def pull(self, name: str) -> AsyncGenerator[PullProgress, None]:
        """Download a model; Ollama itself goes on where an earlier download was broken off. Raises BackendError."""
        first, rest = await self._server.begin(lambda: self._pull(name))
        async with aclosing(rest):
            yield first
            async for progress in rest:
                yield progress

    async def _pull(self, name: str) -> AsyncGenerator[PullProgress, None]:
        async with (
            self._server.open("POST", "/api/pull", {"model": name, "stream": True}, subject=name) as feed,
            aclosing(feed.lines()) as lines,
        ):
            async for line in lines:
                data = feed.parse(line)
                if "error" in data:
                    words = clean(read_complaint(data).words).rstrip(".")
                    raise BackendError(f"Ollama could not fetch {name}: {words}; check the name and the connection.")
                status = data.get("status")
                status, digest = status if isinstance(status, str) else "", data.get("digest")
                yield PullProgress(
                    clean(status, 100), digest if isinstance(digest, str) else "",
                    as_count(data.get("completed")), as_count(data.get("total")),
                )  # fmt: skip
                if status == "success":
                    return
            raise feed.garbage("the download ended before it was complete")

    async def _list(self, path: str) -> list[_Model]:
        data = await self._server.fetch(path, tries=2)
        try:
            return list(msgspec.json.decode(data, type=_Models).models or ())
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise BackendGarbageError(
                f"What answers at {self.url}{path} is not Ollama's list of models; check OLLAMA_HOST."
            ) from error


class OllamaModel(RemoteModel):
    """A model served by Ollama.

    Every persona must ask with the same `num_ctx`: Ollama loads the model anew where it differs.
    """

    path = "/api/chat"

    def __init__(
        self, model: str, *, url: str = f"http://127.0.0.1:{PORT}", num_ctx: int = 4096, keep_alive: str | int = "10m",
        first_token_s: float = FIRST_TOKEN_S, stall_s: float = STALL_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:  # fmt: skip
        super().__init__(model, ollama_server(url, first_token_s=first_token_s, stall_s=stall_s, sleep=sleep))
        self._num_ctx, self._keep_alive = num_ctx, keep_alive

    @property
    def is_remote(self) -> bool:
        """Whether text leaves this machine: Ollama is elsewhere, or passes the model's work on to its cloud."""
        return super().is_remote or self.name.endswith((":cloud", "-cloud"))

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": turn.role, "content": disarm(turn.content)} for turn in request.turns],
            "stream": True,
            "keep_alive": self._keep_alive,
            "options": {
                "num_ctx": self._num_ctx,
                "temperature": request.temperature,
                "seed": request.seed,
                "num_predict": request.max_tokens,
            },
            # Else Ollama leaves out messages, or forgets the beginning, without a word (older versions ignore these).
            "truncate": False,
            "shift": False,
        }
        if request.schema is not None:
            body["format"] = request.schema
        return body

    async def _chunks(self, feed: Feed) -> AsyncGenerator[Chunk, None]:
        async with aclosing(feed.lines()) as lines:
            async for line in lines:
                data = feed.parse(line)
                if "error" in data:
                    raise self._failure(feed, read_complaint(data))
                message = data.get("message")
                text = message.get("content") if isinstance(message, dict) else None
                text = text if isinstance(text, str) else ""
                if data.get("done") is not True:
                    yield Chunk(text)
                    continue
                reason = data.get("done_reason")
                if reason in ("load", "unload") and not (text or feed.started):
                    raise BusyError(f"Ollama has loaded {self._model} but did not answer yet; try again.")
                finish: Finish = "length" if reason == "length" else "stop"
                yield Chunk(text, finish, _usage(data))
                return

    def _failure(self, feed: Feed, complaint: Complaint) -> BackendError:
        """The error for a failure told in the middle of the stream."""
        error = feed.problem(500, complaint)
        if not error.retryable:  # too little memory
            return error
        words = clean(redact(complaint.words, feed.private)).rstrip(".")
        return BackendError(f"Ollama failed while {self._model} answered: {words}; try again, or look into its log.")


def ollama_server(
    url: str,
    *,
    first_token_s: float = FIRST_TOKEN_S,
    stall_s: float = STALL_S,
    sleep: Callable[[float], Awaitable[None]],
) -> Server:
    """The HTTP server at `url`, with what a person can do about Ollama's errors."""
    return Server(
        url, name="Ollama", first_token_s=first_token_s, stall_s=stall_s, sleep=sleep,
        advice=_ADVICE,
    )  # fmt: skip


def _info(model: _Model) -> OllamaModelInfo:
    details = model.details or _Details()
    return OllamaModelInfo(
        model.name, model.size, details.parameter_size, details.quantization_level, details.family, model.remote_host,
        model.digest,
    )  # fmt: skip


def _usage(data: dict[str, Any]) -> Usage | None:
    """Tokens as Ollama counted them; it leaves the prompt out where all of it was cached."""
    if "eval_count" not in data and "prompt_eval_count" not in data:
        return None
    return Usage(as_count(data.get("prompt_eval_count")), as_count(data.get("eval_count")))


class _Details(msgspec.Struct):
    parameter_size: str = ""
    quantization_level: str = ""
    family: str = ""


class _Model(msgspec.Struct):
    name: str
    size: int = 0
    details: _Details | None = None
    size_vram: int = 0
    context_length: int = 0
    remote_host: str = ""
    digest: str = ""


class _Models(msgspec.Struct):
    models: list[_Model] | None = None
