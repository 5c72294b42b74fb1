"""A model whose right answers are known: it writes personas out of the material it is shown, word for word.

`answer_of` reads a request as a model would; `Author` is a `ChatModel` on top of it, and `serving()` puts it behind a real
server on this machine that speaks OpenAI's wire format.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from innercouncil.model.ports import ChatRequest, Chunk

_PIECE = re.compile(r"^(E\d+) \(([a-z ]+)\): (.+)$", re.MULTILINE)
SECTIONS = ("Do", "Think", "Sound", "Do not")


def pieces_of(request: str) -> list[tuple[str, str, str]]:
    """(label, kind, text) of every numbered piece of material in a request."""
    return _PIECE.findall(request)


def written(request: str, name: str = "Careful Maker") -> dict[str, Any]:
    """A persona out of the material: six lines and two sentences, each with its piece and words copied from it."""
    found = pieces_of(request)
    lines = [
        {"section": SECTIONS[n % 4], "text": f"Keep to this habit, number {'abcdef'[n]}.", "support": [label], "quote": _words(text)}
        for n, (label, _kind, text) in enumerate(found[:6])
    ]  # fmt: skip
    told = [{"text": f"This mode does thing {'xy'[n]} often.", "support": [found[n][0]]} for n in range(2)]
    return {"name": name, "description": told, "lines": lines}


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text)[:4])


def verdicts(schema: dict[str, Any], say: str = "yes") -> dict[str, str]:
    """One verdict on every sentence that is asked about."""
    return dict.fromkeys(schema["required"], say)


def answer_of(request: str, schema: dict[str, Any] | None) -> str:
    """What a good author says to a request."""
    if schema is None:
        return "One step at a time."
    if "lines" in schema["properties"]:
        return json.dumps(written(request))
    if "profile" in schema["properties"]:
        return json.dumps({"profile": "A"})
    return json.dumps(verdicts(schema))


class Author:
    """Answers by `answer`; keeps what it was asked."""

    name = "scripted"

    def __init__(self, answer: Callable[[str, dict[str, Any] | None], str] = answer_of) -> None:
        self.answer, self.asked = answer, list[str]()

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        self.asked.append(request.turns[-1].content)
        yield Chunk(self.answer(request.turns[-1].content, request.schema))
        yield Chunk(finish="stop")


@contextlib.contextmanager
def serving(
    answer: Callable[[str, dict[str, Any] | None], str] = answer_of,
    read: Callable[[list[dict[str, str]]], str] = lambda messages: messages[-1]["content"],
) -> Iterator[str]:
    """The address of a server, as `--llm` takes it, that answers by `answer` what it reads of the messages."""

    def schema_too(body: dict[str, Any]) -> str:
        wanted = body.get("response_format", {}).get("json_schema", {}).get("schema")
        return answer(read(body["messages"]), wanted)

    with speaking(schema_too) as address:
        yield address


@contextlib.contextmanager
def speaking(answer: Callable[[dict[str, Any]], str]) -> Iterator[str]:
    """The same, answering by the whole body of a request."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            text = answer(body)
            events: list[Any] = [
                {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]},
                {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
                {"choices": [], "usage": {"prompt_tokens": len(body["messages"][-1]["content"]) // 4, "completion_tokens": len(text) // 4}},
            ]  # fmt: skip
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            for event in events:
                self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
            self.wfile.write(b"data: [DONE]\n\n")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1#author"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
