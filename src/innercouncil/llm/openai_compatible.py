"""Servers that speak OpenAI's chat completions: hosted ones, and vLLM, llama.cpp, LM Studio and others at home.

They differ in what they know. What a server refuses by name is left out, or said in another way, from then on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import Any, Final

import msgspec

from innercouncil.llm.complaints import read_complaint
from innercouncil.llm.http import FIRST_TOKEN_S, STALL_S, Advice, Feed, Server, as_count, checked_key
from innercouncil.llm.remote_model import RemoteModel
from innercouncil.llm.select import is_loopback
from innercouncil.model.errors import BackendError, BackendGarbageError, ModelMissingError
from innercouncil.model.ports import ChatRequest, ChatTurn, Chunk, Finish, Usage
from innercouncil.model.tokens import disarm

_OPTIONAL: Final = (
    "stream_options", "response_format", "max_tokens", "max_completion_tokens", "seed", "temperature",
)  # fmt: skip
_LONGEST_SCHEMA: Final = 2000
"""Characters of a schema worth telling in words; a longer one crowds out the question."""
_FINISH: Final[dict[str, Finish]] = {"length": "length", "content_filter": "refusal"}
_STATUS: Final = {
    "rate_limit": 429, "overloaded": 503, "unavailable": 503, "timeout": 504, "server_error": 500, "internal": 500,
    "authentication": 401, "invalid_api_key": 401, "permission": 403, "not_found": 404,
}  # fmt: skip
"""HTTP statuses for kinds of errors told in the middle of a stream."""


class OpenAIModel(RemoteModel):
    """A model behind POST {url}/chat/completions."""

    path = "/chat/completions"

    def __init__(
        self, model: str, *, url: str, key: str | None = None,
        first_token_s: float = FIRST_TOKEN_S, stall_s: float = STALL_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:  # fmt: skip
        url = url.rstrip("/").removesuffix(self.path)
        host = Server(url).host
        ask = "set INNERCOUNCIL_API_KEY"
        if not is_loopback(host):  # for this machine, none is looked up
            ask += f", or keep a key with `innercouncil models key {host}`"
        key = checked_key(key, ask)
        advice = Advice(key=ask, model=f"check the model's name, and that the address without {self.path} is right")
        headers = {"authorization": f"Bearer {key}"} if key else {}
        server = Server(
            url, key=key, headers=headers, advice=advice, first_token_s=first_token_s, stall_s=stall_s, sleep=sleep
        )
        super().__init__(model, server)
        self._listed: frozenset[str] = frozenset()

    async def list_models(self) -> list[str]:
        """Names of the models this server has. Raises BackendError."""
        data = await self._server.fetch("/models", subject="a list of models", tries=2)
        try:
            return sorted({entry.id for entry in msgspec.json.decode(data, type=_Models).data})
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise BackendGarbageError(
                f"{self._server.place} has no list of models as OpenAI's servers do; check the address."
            ) from error

    async def _has_adapter(self, name: str) -> None:
        """An adapter is asked for as the model of its name, as vLLM has it, and only where the server lists that name: others
        answer with the one model they have, whatever they are asked for.
        """
        if name not in self._listed:
            self._listed = frozenset(await self.list_models())
        if name not in self._listed:
            raise ModelMissingError(
                f"{self._server.place} does not serve the adapter {name}; `innercouncil tune vllm` prints how vLLM is started with it, "
                f"or take it away with `innercouncil tune unseat --persona {name.rpartition('-')[0]}`."
            )

    async def _attempts(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        try:
            async with aclosing(super()._attempts(request)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except ModelMissingError:
            self._listed = frozenset()  # it was unloaded meanwhile
            if request.adapter is not None:
                await self._has_adapter(request.adapter)
            raise

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        turns = request.turns
        body: dict[str, Any] = {
            "model": request.adapter or self._model,
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": request.temperature,
            "max_tokens": request.max_tokens,
            "seed": request.seed,
        }
        if request.schema is not None:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": request.schema},
            }
            if "response_format" in self._refused:
                turns = _with_schema(turns, request.schema)
        body["messages"] = [{"role": turn.role, "content": disarm(turn.content)} for turn in turns]
        if "max_tokens" in self._refused:  # hosted newer models know it by another name
            body["max_completion_tokens"] = body["max_tokens"]
        for field in self._refused:
            body.pop(field, None)
        return body

    def _optional(self) -> Iterable[str]:
        return _OPTIONAL

    async def _chunks(self, feed: Feed) -> AsyncGenerator[Chunk, None]:
        finish: Finish | None = None
        usage: Usage | None = None
        refused = False
        async with aclosing(feed.events()) as events:
            try:
                async for event in events:
                    if event.data.strip() == "[DONE]":
                        finish = finish or "stop"
                        break
                    if not event.data:
                        continue
                    data = feed.parse(event.data)
                    if data.get("error"):
                        raise _failure(feed, data)
                    usage = _usage(data) or usage
                    choice = _choice(data)
                    for field, text in _texts(choice.get("delta")):
                        refused = refused or field == "refusal"
                        yield Chunk(text)
                    reason = choice.get("finish_reason")
                    if reason == "error":
                        raise _failure(feed, choice)
                    if isinstance(reason, str) and reason:
                        finish = _FINISH.get(reason, "stop")
            except BackendError:
                # Only the usage was still to come.
                if finish is None:
                    raise
        if finish is not None:
            yield Chunk("", "refusal" if refused else finish, usage)


def _choice(data: dict[str, Any]) -> dict[str, Any]:
    """The first of the choices, where there is one (the chunk with the usage has none)."""
    choices = data.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and choice.get("index", 0) == 0:
            return choice
    return {}


def _texts(delta: object) -> list[tuple[str, str]]:
    """Answer and refusal in a piece; thoughts (`reasoning_content`) are neither."""
    delta = delta if isinstance(delta, dict) else {}
    return [(field, text) for field in ("content", "refusal") if isinstance(text := delta.get(field), str) and text]


def _usage(data: dict[str, Any]) -> Usage | None:
    usage = data.get("usage")
    if not isinstance(usage, dict):
        return None
    return Usage(as_count(usage.get("prompt_tokens")), as_count(usage.get("completion_tokens")))


def _failure(feed: Feed, data: dict[str, Any]) -> BackendError:
    """The error for a failure told in the middle of the stream."""
    complaint = read_complaint(data)
    inner = data.get("error")
    kind = f"{complaint.code} {inner.get('type')}" if isinstance(inner, dict) else complaint.code
    status = int(complaint.code) if complaint.code.isascii() and complaint.code.isdigit() else 0
    if not 400 <= status < 600:
        status = next((number for word, number in _STATUS.items() if word in kind), 400)
    return feed.problem(status, complaint)


def _with_schema(turns: tuple[ChatTurn, ...], schema: dict[str, Any]) -> tuple[ChatTurn, ...]:
    """The turns with the schema in words, for a server that cannot be held to it."""
    told = msgspec.json.encode(schema).decode()
    ask = "Answer with one JSON object and nothing else."
    if len(told) <= _LONGEST_SCHEMA:
        ask += f" Its JSON Schema: {told}"
    if turns and turns[-1].role == "user":
        return (*turns[:-1], ChatTurn("user", f"{turns[-1].content}\n\n{ask}"))
    return (*turns, ChatTurn("user", ask))


class _ListedModel(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_ListedModel]
