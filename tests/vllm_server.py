"""A local server that keeps to what vLLM documents for many adapters behind one port, and refuses what vLLM would not know.

After docs/features/lora.md and vllm/entrypoints/openai (models/serving.py, chat_completion/protocol.py) of vllm-project/vllm:
`/v1/models` lists the base (`parent` null) and each adapter (`parent` its base, `root` its folder); `model` of a request chooses;
an unknown one is a 404 of `NotFoundError`; `/v1/load_lora_adapter` and `/v1/unload_lora_adapter` answer with a sentence; a
stream begins with the role, ends with `finish_reason`, then the usage where it was asked for, then `[DONE]`.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

KNOWN: Final = frozenset(
    {"model", "messages", "stream", "stream_options", "temperature", "max_tokens", "seed", "response_format"}
)
"""Fields of a request that vLLM documents and we send; another one is an error of ours."""


class VllmServer:
    """`adapters`: name -> folder. Each answers in its own name. `at_once` requests must be under way before any is answered."""

    def __init__(self, base: str, adapters: dict[str, str], *, at_once: int = 1, lists: bool = True) -> None:
        self.base, self.adapters, self.lists = base, dict(adapters), lists
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.broken: dict[str, str] = {}
        """Name -> how its streams break: `cut` or `error`."""
        self._barrier, self._waiting, self._all = at_once, 0, asyncio.Event()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def __aenter__(self) -> VllmServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split(" ", 2)[1]
            lower = head.lower()
            length = int(lower.partition("content-length:")[2].split()[0]) if "content-length:" in lower else 0
            body = json.loads(await reader.readexactly(length) or b"{}")
            self.paths.append(path)
            if path == "/v1/models":
                _whole(writer, 200, {"object": "list", "data": self._cards()})
            elif path == "/v1/load_lora_adapter":
                self._load(writer, body)
            elif path == "/v1/unload_lora_adapter":
                self._unload(writer, body)
            elif path == "/v1/chat/completions":
                await self._chat(writer, body)
            else:
                _whole(writer, 404, {"detail": "Not Found"})
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _cards(self) -> list[dict[str, Any]]:
        common = {"object": "model", "created": 1, "owned_by": "vllm", "permission": []}
        cards = [{"id": self.base, "root": self.base, "parent": None, "max_model_len": 4096, **common}]
        if self.lists:
            cards += [
                {"id": n, "root": f, "parent": self.base, "max_model_len": None, **common}
                for n, f in self.adapters.items()
            ]
        return cards

    def _load(self, writer: asyncio.StreamWriter, body: dict[str, Any]) -> None:
        name = body["lora_name"]
        if name in self.adapters:
            _error(writer, 400, f"The lora adapter '{name}' has already been loaded.", "InvalidUserInput")
            return
        self.adapters[name] = body["lora_path"]
        _whole(writer, 200, f"Success: LoRA adapter '{name}' added successfully.")

    def _unload(self, writer: asyncio.StreamWriter, body: dict[str, Any]) -> None:
        name = body["lora_name"]
        if self.adapters.pop(name, None) is None:
            _error(writer, 404, f"The lora adapter '{name}' cannot be found.", "NotFoundError")
            return
        _whole(writer, 200, f"Success: LoRA adapter '{name}' removed successfully.")

    async def _chat(self, writer: asyncio.StreamWriter, body: dict[str, Any]) -> None:
        self.bodies.append(body)
        model = body["model"]
        if unknown := set(body) - KNOWN:
            _error(writer, 400, f"{sorted(unknown)}: extra fields not permitted", "BadRequestError")
            return
        if self.lists and model != self.base and model not in self.adapters:
            _error(writer, 404, f"The model `{model}` does not exist.", "NotFoundError", "model")
            return
        self._waiting += 1
        if self._waiting >= self._barrier:
            self._all.set()
        await asyncio.wait_for(self._all.wait(), 10)
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        head = {"id": f"chatcmpl-{self._waiting}", "object": "chat.completion.chunk", "created": 1, "model": model}

        def choice(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
            return {**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}

        _event(writer, choice({"role": "assistant", "content": ""}))
        text = answer_of(model, body)
        for start in range(0, len(text), 5):
            _event(writer, choice({"content": text[start : start + 5]}))
            await writer.drain()
            await asyncio.sleep(0)  # the others' pieces come in between
            if start and self.broken.get(model) == "cut":
                return
            if start and self.broken.get(model) == "error":
                inner = {
                    "message": "EngineCore encountered an issue.",
                    "type": "InternalServerError",
                    "param": None,
                    "code": 500,
                }
                _event(writer, {"error": inner})
                writer.write(_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
                return
        _event(writer, choice({}, "stop"))
        if body.get("stream_options", {}).get("include_usage"):
            _event(
                writer,
                {**head, "choices": [], "usage": {"prompt_tokens": 9, "total_tokens": 14, "completion_tokens": 5}},
            )
        writer.write(_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")


def answer_of(model: str, body: dict[str, Any]) -> str:
    """What it says: its name and the question, or, held to a schema, the first value the schema allows."""
    shape = body.get("response_format")
    if shape is None:
        return f"{model} on: {body['messages'][-1]['content'][-40:]}"
    properties = shape["json_schema"]["schema"]["properties"]
    return json.dumps(
        {field: spec["enum"][0] if "enum" in spec else "It is clearer." for field, spec in properties.items()}
    )


def _event(writer: asyncio.StreamWriter, value: object) -> None:
    writer.write(_chunk(b"data: " + json.dumps(value).encode() + b"\n\n"))


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _error(writer: asyncio.StreamWriter, status: int, words: str, kind: str, about: str | None = None) -> None:
    _whole(writer, status, {"error": {"message": words, "type": kind, "param": about, "code": status}})


def _whole(writer: asyncio.StreamWriter, status: int, body: object) -> None:
    data = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + data)
