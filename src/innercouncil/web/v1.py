"""The OpenAI-compatible endpoint: the council and each persona as models for other programs on this machine."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import time
from collections.abc import AsyncGenerator
from typing import Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from innercouncil.app.council import House, options_from
from innercouncil.model.council import (
    Answered,
    Attachment,
    Event,
    Exchange,
    Finished,
    SynthesisDelta,
    Synthesised,
    Voted,
)
from innercouncil.model.errors import BackendError, DeclinedError, InnerCouncilError, PersonaNotFoundError, UsageError
from innercouncil.model.ports import ChatRequest, ChatTurn, Usage
from innercouncil.web.http import json_response, read_json, status_of

COUNCIL = "council"


class _Part(msgspec.Struct):
    type: str
    text: str = ""


class _Message(msgspec.Struct):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[_Part] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            if any(p.type != "text" for p in self.content):
                raise UsageError("Only text can be sent to the council, no pictures and no sound.")
            return "\n".join(p.text for p in self.content)
        return self.content or ""


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False


class _Request(msgspec.Struct):
    model: str
    messages: list[_Message]
    stream: bool = False
    stream_options: _StreamOptions | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    seed: int | None = None


def routes() -> list[Route]:
    """/v1/models and /v1/chat/completions."""
    return [Route("/v1/models", _models), Route("/v1/chat/completions", _completions, methods=["POST"])]


async def _models(request: Request) -> Response:
    house: House = request.app.state.house
    names = [COUNCIL, *(p.slug for p in house.cards.all() if p.enabled)]
    data = [{"id": n, "object": "model", "created": 0, "owned_by": "innercouncil"} for n in names]
    return json_response({"object": "list", "data": data})


async def _completions(request: Request) -> Response:
    house: House = request.app.state.house
    asked: _Request = await read_json(request, _Request)
    pieces = await _pieces(house, asked)
    if asked.stream:
        first = await anext(pieces, None)
        usage = asked.stream_options is not None and asked.stream_options.include_usage
        lines = _lines(asked.model, first, pieces, usage=usage)
        return StreamingResponse(lines, media_type="text/event-stream", headers={"cache-control": "no-store"})
    text, finish, used = "", "stop", Usage(0, 0)
    async with contextlib.aclosing(pieces):
        async for piece in pieces:
            text += piece if isinstance(piece, str) else ""
            if isinstance(piece, tuple):
                finish, used = piece
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": finish,
        "logprobs": None,
    }
    return json_response({**_head(asked.model, "chat.completion"), "choices": [choice], "usage": _usage(used)})


async def _pieces(house: House, asked: _Request) -> AsyncGenerator[Any, None]:
    """Texts, and at the end (finish reason, usage). Raises InnerCouncilError before anything was sent."""
    if not asked.messages or asked.messages[-1].role != "user":
        raise UsageError("The last message must be the user's.")
    if asked.model == COUNCIL:
        return _council(house, asked)
    try:
        card = house.cards.get(asked.model).card
    except PersonaNotFoundError:
        raise PersonaNotFoundError(f"There is no model {asked.model[:80]!r}; /v1/models lists them.") from None
    worker, adapter = await house.speaker(asked.model)
    options = house.default_options()
    extra = [m.text for m in asked.messages if m.role in ("system", "developer")]
    turns = [ChatTurn("system", "\n\n".join([card.system, *extra]))]
    turns += [ChatTurn(m.role, m.text) for m in asked.messages if m.role in ("user", "assistant")]
    temperature = asked.temperature if asked.temperature is not None else card.temperature
    request = ChatRequest(
        turns=tuple(turns), temperature=options.temperature if temperature is None else temperature,
        max_tokens=_most(asked) or options.answer_tokens, seed=asked.seed or 0, adapter=adapter,
    )  # fmt: skip

    async def persona() -> AsyncGenerator[Any, None]:
        finish, used = "stop", Usage(0, 0)
        async with contextlib.aclosing(worker.stream(request)) as chunks:
            async for chunk in chunks:
                used = chunk.usage or used
                finish = {"length": "length", "refusal": "content_filter"}.get(chunk.finish or "", finish)
                if chunk.text:
                    yield chunk.text
        yield finish, used

    return persona()


async def _council(house: House, asked: _Request) -> AsyncGenerator[Any, None]:
    """A session of the council, kept like any other: its final answer, whole or as it is written.

    Where the synthesizer broke off, a stream goes on with a sentence that says so and the answer that is kept in its place.
    Raises BackendError where nobody gave an answer, DeclinedError where the person stopped the session before the final one.
    """
    said = [m for m in asked.messages if m.role in ("user", "assistant")]
    history = [
        Exchange(a.text, b.text) for a, b in itertools.pairwise(said) if a.role == "user" and b.role == "assistant"
    ]
    system = [m.text for m in asked.messages if m.role in ("system", "developer") and m.text.strip()]
    given: dict[str, Any] = {}
    if asked.seed is not None:
        given["seed"] = abs(asked.seed) % 2**31
    if _most(asked):
        given["synthesis_tokens"] = max(16, min(_most(asked) or 0, 16384))
    session = await house.ask(
        said[-1].text, options=options_from(given, house.default_options()), history=history[-8:],
        attachments=[Attachment("instructions", text) for text in system],
    )  # fmt: skip
    used, finish, finished, streamed = Usage(0, 0), "stop", False, False
    try:
        async with contextlib.aclosing(house.events(session)) as events:
            async for event in events:
                used = _sum(used, _usage_of(event))
                if isinstance(event, SynthesisDelta) and event.part == "council" and asked.stream:
                    streamed |= not event.text.isspace()
                    yield event.text
                elif isinstance(event, Synthesised) and event.synthesis.part == "council":
                    final = event.synthesis
                    finish = "length" if final.status == "cut" else finish
                    if not asked.stream or final.status not in ("ok", "cut"):
                        yield f"\n\n{final.problem}\n\n{final.text}" if streamed else final.text
                elif isinstance(event, Finished):
                    finished = True
                    if not house.sessions.get(session).final:
                        raise _no_final(event)
    finally:
        if not finished and session in house.running():
            house.stop(session)
    yield finish, used


def _no_final(end: Finished) -> InnerCouncilError:
    if end.status == "stopped":  # no server error: clients ask again by themselves after those
        return DeclinedError("The session was stopped before there was a final answer; resume it in innercouncil.")
    return BackendError(end.problem or "The session ended without a final answer; ask again.")


def _usage_of(event: Event) -> Usage | None:
    if isinstance(event, Answered):
        return event.answer.usage
    if isinstance(event, Voted):
        return event.ballot.usage
    return event.synthesis.usage if isinstance(event, Synthesised) else None


def _sum(first: Usage, second: Usage | None) -> Usage:
    if second is None:
        return first
    return Usage(first.prompt_tokens + second.prompt_tokens, first.completion_tokens + second.completion_tokens)


async def _lines(
    model: str, first: Any, pieces: AsyncGenerator[Any, None], *, usage: bool
) -> AsyncGenerator[bytes, None]:
    head = _head(model, "chat.completion.chunk")

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        return _data({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    yield chunk({"role": "assistant", "content": ""})
    try:
        async with contextlib.aclosing(pieces):
            piece = first
            while piece is not None:
                if isinstance(piece, str):
                    yield chunk({"content": piece})
                else:
                    yield chunk({}, piece[0])
                    if usage:
                        yield _data({**head, "choices": [], "usage": _usage(piece[1])})
                piece = await anext(pieces, None)
    except InnerCouncilError as error:
        yield _data(_error(error))
    yield b"data: [DONE]\n\n"


def _head(model: str, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{secrets.token_hex(12)}", "object": kind, "created": int(time.time()), "model": model}


def _most(asked: _Request) -> int | None:
    return asked.max_completion_tokens or asked.max_tokens


def _usage(used: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": used.prompt_tokens, "completion_tokens": used.completion_tokens,
        "total_tokens": used.prompt_tokens + used.completion_tokens,
    }  # fmt: skip


def _error(error: InnerCouncilError) -> dict[str, Any]:
    kind = "invalid_request_error" if status_of(error) < 500 else "server_error"
    return {"error": {"message": str(error), "type": kind, "code": None, "param": None}}


def problem(error: InnerCouncilError) -> Response:
    """An error in the form of OpenAI's."""
    return json_response(_error(error), status_of(error))


def _data(data: Any) -> bytes:
    return b"data: " + msgspec.json.encode(data) + b"\n\n"
