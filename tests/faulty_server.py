"""A local server in OpenAI's wire format that fails at random, by seed: it answers, votes, dies, stalls and babbles."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

FAULTS = ("500", "429", "drop", "cut", "garbage", "empty", "refusal", "slow", "")
HANGS = ("hang", "stall")
"""It never answers, or says no more in the middle; and never closes."""


class _HangsError(Exception):
    pass


class FaultyServer:
    """Fails a share of its requests; `plan(body)` may say which fault a request meets instead."""

    def __init__(self, share: float, seed: int = 0, plan: Any = None, faults: Sequence[str] = FAULTS) -> None:
        self._share, self._random, self._plan, self._faults = share, random.Random(seed), plan, faults
        self.requests = 0
        self.met: Counter[str] = Counter()
        self.port = 0
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> FaultyServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.partition("content-length:")[2].split()[0]) if "content-length:" in head else 0
            await self._answer(json.loads(await reader.readexactly(length) or b"{}"), writer)
        except _HangsError:
            await reader.read()  # until whoever asked has had enough
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # whoever asked went away, or the server ends
        finally:
            writer.close()

    async def _answer(self, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        self.requests += 1
        if self._plan is not None:
            fault = self._plan(body)
        else:
            fault = self._random.choice(self._faults) if self._random.random() < self._share else ""
        self.met[fault] += 1
        if fault == "drop":
            return
        if fault == "hang":
            raise _HangsError
        if fault in ("500", "429"):
            extra = "Retry-After: 0\r\n" if fault == "429" else ""
            writer.write(f"HTTP/1.1 {fault} Oh\r\n{extra}Content-Length: 2\r\nConnection: close\r\n\r\n{{}}".encode())
            await writer.drain()
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        text = self._text(body, fault)
        pieces = [text[i : i + 12] for i in range(0, len(text), 12)]
        for at, piece in enumerate(pieces):
            if fault == "cut" and at == len(pieces) // 2:
                return
            if fault == "stall" and at == len(pieces) // 2:
                await writer.drain()
                raise _HangsError
            if fault == "slow":
                await asyncio.sleep(0.01)
            writer.write(
                b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": piece}}]}).encode() + b"\n\n"
            )
        if fault == "garbage":
            writer.write(b"data: {]]]\n\n")
        writer.write(b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n')
        writer.write(
            b'data: {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 5}}\n\ndata: [DONE]\n\n'
        )
        await writer.drain()

    def _text(self, body: dict[str, Any], fault: str) -> str:
        if fault == "empty":
            return ""
        if fault == "refusal":
            return "I'm sorry, but I can't help with that."
        schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
        if schema is None:
            return f"The answer of request {self.requests} is to begin with the smallest step. Then look again."
        field = "ranking" if "ranking" in schema["properties"] else "choice"
        value = self._random.choice(schema["properties"][field]["enum"])
        return json.dumps({"reason": "It is clearer.", field: value} if field == "ranking" else {field: value})


@contextlib.contextmanager
def beside(server: FaultyServer) -> Iterator[FaultyServer]:
    """The server in a thread of its own, for a test that is not asynchronous."""
    ready, ends = threading.Event(), list[tuple[asyncio.AbstractEventLoop, asyncio.Event]]()

    async def run() -> None:
        async with server:
            ends.append((asyncio.get_running_loop(), asyncio.Event()))
            ready.set()
            await ends[0][1].wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    ready.wait(10)
    try:
        yield server
    finally:
        loop, end = ends[0]
        loop.call_soon_threadsafe(end.set)
        thread.join()
