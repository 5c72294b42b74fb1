"""Anthropic's Messages API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import Any, Final

from innercouncil.llm.complaints import Complaint, read_complaint
from innercouncil.llm.http import FIRST_TOKEN_S, STALL_S, Advice, Feed, Server, as_count, checked_key
from innercouncil.llm.remote_model import RemoteModel
from innercouncil.model.ports import ChatRequest, ChatTurn, Chunk, Finish, Usage

URL: Final = "https://api.anthropic.com"
VERSION: Final = "2023-06-01"
_ASKS_KEY: Final = "set ANTHROPIC_API_KEY, or keep a key with `innercouncil models key api.anthropic.com`"
_FINISH: Final[dict[str, Finish]] = {
    "max_tokens": "length", "model_context_window_exceeded": "length", "refusal": "refusal",
}  # fmt: skip
_STATUS: Final = {
    "authentication_error": 401, "permission_error": 403, "not_found_error": 404, "rate_limit_error": 429,
    "api_error": 500, "timeout_error": 504, "overloaded_error": 529,
}  # fmt: skip
_TOOL: Final = "answer"
_SCHEMA_WORDS: Final = ("output_config", "output_format", "schema", "structured output", "json_schema")
"""Words by which a refusal of structured outputs is known; it does not always name the field."""
_KNOWN: Final = frozenset(
    {
        "$defs", "$ref", "additionalProperties", "allOf", "anyOf", "const", "default", "description", "enum", "items",
        "properties", "required", "title", "type",
    }
)  # fmt: skip
"""JSON Schema keywords that structured outputs take; the others are refused."""


class AnthropicModel(RemoteModel):
    """A model behind POST {url}/v1/messages.

    A schema goes into structured outputs. Models that do not have them are made to call a single tool, whose input is
    then the answer. There is no seed.
    """

    path = "/v1/messages"

    def __init__(
        self, model: str, *, key: str, url: str = URL, first_token_s: float = FIRST_TOKEN_S, stall_s: float = STALL_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:  # fmt: skip
        checked = checked_key(key, _ASKS_KEY)
        headers = {"anthropic-version": VERSION} | ({"x-api-key": checked} if checked else {})
        advice = Advice(start="check your connection", key=_ASKS_KEY, model="check the model's name")
        server = Server(
            url, name="Anthropic", key=checked, headers=headers, advice=advice,
            first_token_s=first_token_s, stall_s=stall_s, sleep=sleep,
        )  # fmt: skip
        super().__init__(model, server)

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._model,
            "max_tokens": request.max_tokens,
            "messages": _messages(request.turns),
            "stream": True,
        }
        system = "\n\n".join(turn.content for turn in request.turns if turn.role == "system" and turn.content.strip())
        if system:
            body["system"] = system
        if "temperature" not in self._refused:  # newer models have none
            body["temperature"] = min(max(request.temperature, 0.0), 1.0)
        if request.schema is not None and "output_config" not in self._refused:
            body["output_config"] = {"format": {"type": "json_schema", "schema": _plain(request.schema)}}
        elif request.schema is not None:
            body["tools"] = [{"name": _TOOL, "description": "Give your answer.", "input_schema": request.schema}]
            body["tool_choice"] = {"type": "tool", "name": _TOOL}
        return body

    def _optional(self) -> Iterable[str]:
        return ("temperature",)

    def _unwanted(self, complaint: Complaint, body: dict[str, Any]) -> str | None:
        field = super()._unwanted(complaint, body)
        if field is None and "output_config" in body and any(word in complaint.words.lower() for word in _SCHEMA_WORDS):
            return "output_config"
        return field

    async def _chunks(self, feed: Feed) -> AsyncGenerator[Chunk, None]:
        finish: Finish | None = None
        prompt = completion = 0
        tool = False
        async with aclosing(feed.events()) as events:
            async for event in events:
                data = feed.parse(event.data) if event.data else {}
                kind = data.get("type")
                if kind == "error":
                    complaint = read_complaint(data)
                    raise feed.problem(_STATUS.get(complaint.code, 400), complaint)
                if kind == "message_start":
                    message = data.get("message")
                    prompt, completion = _counts(message, prompt, completion)
                elif kind == "content_block_start":
                    block = data.get("content_block")
                    tool = isinstance(block, dict) and block.get("type") == "tool_use"
                elif kind == "content_block_delta":
                    yield Chunk(_delta(data, tool=tool))
                elif kind == "message_delta":
                    prompt, completion = _counts(data, prompt, completion)
                    delta = data.get("delta")
                    reason = delta.get("stop_reason") if isinstance(delta, dict) else None
                    if isinstance(reason, str):
                        finish = _FINISH.get(reason, "stop")
                elif kind == "message_stop":
                    break
        if finish is not None:
            yield Chunk("", finish, Usage(prompt, completion) if prompt or completion else None)


def _delta(data: dict[str, Any], *, tool: bool) -> str:
    """The answer's text in a piece of a block; thoughts are none."""
    delta = data.get("delta")
    delta = delta if isinstance(delta, dict) else {}
    kind, field = ("input_json_delta", "partial_json") if tool else ("text_delta", "text")
    text = delta.get(field) if delta.get("type") == kind else None
    return text if isinstance(text, str) else ""


def _counts(data: object, prompt: int, completion: int) -> tuple[int, int]:
    """Tokens of prompt and answer so far; later counts replace earlier ones."""
    usage = data.get("usage") if isinstance(data, dict) else None
    if not isinstance(usage, dict):
        return prompt, completion
    parts = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    return sum(as_count(usage.get(p)) for p in parts) or prompt, as_count(usage.get("output_tokens")) or completion


def _messages(turns: Iterable[ChatTurn]) -> list[dict[str, str]]:
    """The turns but the system's, as the API wants them: by turns, the person first, none empty."""
    messages: list[dict[str, str]] = []
    for turn in turns:
        if turn.role == "system" or not turn.content.strip():
            continue
        if messages and messages[-1]["role"] == turn.role:
            messages[-1]["content"] += f"\n\n{turn.content}"
        else:
            messages.append({"role": turn.role, "content": turn.content})
    if not messages or messages[0]["role"] != "user":
        messages.insert(0, {"role": "user", "content": "Please begin."})
    return messages


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with what structured outputs do not know moved into descriptions; objects take no other fields."""
    plain: dict[str, Any] = {}
    hints = []
    for key, value in schema.items():
        if key in ("properties", "$defs") and isinstance(value, dict):
            plain[key] = {name: _plain(inner) if isinstance(inner, dict) else inner for name, inner in value.items()}
        elif key in ("anyOf", "allOf", "oneOf") and isinstance(value, list):
            inner = [_plain(part) if isinstance(part, dict) else part for part in value]
            plain["anyOf" if key == "oneOf" else key] = inner
        elif key == "items" and isinstance(value, dict):
            plain[key] = _plain(value)
        elif key in _KNOWN or (key == "minItems" and value in (0, 1)):
            plain[key] = value
        else:
            hints.append(f"{key}: {value}")
    if plain.get("type") == "object" or "properties" in plain:
        plain["additionalProperties"] = False
    if hints:
        plain["description"] = " ".join(filter(None, [plain.get("description"), f"({', '.join(hints)})"]))
    return plain
