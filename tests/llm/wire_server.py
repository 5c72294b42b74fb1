"""A real server on this machine that speaks the three wire formats, one scripted answer per request."""

from __future__ import annotations

import asyncio
import json
import select
import socket
import threading
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from innercouncil.llm.anthropic import AnthropicModel
from innercouncil.llm.ollama import OllamaModel
from innercouncil.llm.openai_compatible import OpenAIModel
from innercouncil.llm.remote_model import RemoteModel
from innercouncil.model.ports import ChatRequest, ChatTurn, Chunk, Reply, complete

KEY: Final = "sk-very-secret-0123456789"
QUESTION: Final = "Should I move to the coast with my sister's dog?"
REQUEST: Final = ChatRequest(
    turns=(ChatTurn("system", "You are the planner."), ChatTurn("user", QUESTION)),
    temperature=0.5, max_tokens=64, seed=7,
)  # fmt: skip
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"ranking": {"enum": ["A > B", "B > A"]}, "reason": {"type": "string", "maxLength": 80}},
    "required": ["ranking", "reason"],
    "additionalProperties": False,
}

HANG: Final = "hang"
"""Send nothing more until the client leaves or the test ends."""
CUT: Final = "cut"
"""Close the connection in the middle of the body."""


@dataclass
class Answer:
    """A response: every step is sent by itself."""

    steps: list[bytes | str] = field(default_factory=list)
    media: str = "application/json"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def failure(status: int, body: object, **headers: str) -> Answer:
    """An HTTP error with a JSON body, or with a text."""
    data = body if isinstance(body, str) else json.dumps(body)
    return Answer([data.encode()], status=status, headers={k.replace("_", "-"): v for k, v in headers.items()})


@dataclass
class Recorded:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Listener

    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["content-length"]))))

    def _answer(self, body: dict[str, Any]) -> None:
        wire = self.server.wire
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = wire.next(Recorded(self.command, self.path, headers, body))
        self.close_connection = True
        if answer.steps[:1] == [CUT]:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if answer.status == 0:  # not even a status line
            self._hang()
            return
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.media)
        self.send_header("Transfer-Encoding", "chunked")
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            for step in answer.steps:
                if step == HANG:
                    self._hang()
                    return
                if step == CUT:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                assert isinstance(step, bytes)
                self.wfile.write(b"%x\r\n%b\r\n" % (len(step), step))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            wire.left.set()

    def _hang(self) -> None:
        wire = self.server.wire
        while not wire.closing.is_set():
            readable, _, _ = select.select([self.connection], [], [], 0.01)
            if readable:
                wire.left.set()
                return

    def log_message(self, *_: object) -> None:
        pass


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    wire: WireServer


class WireServer:
    """Answers requests in the order they come; the last answer is given again and again."""

    def __init__(self, *answers: Answer) -> None:
        self.requests: list[Recorded] = []
        self.left = threading.Event()
        """A client went away in the middle of an answer."""
        self.closing = threading.Event()
        self._answers, self._lock = list(answers), threading.Lock()
        self._listener = _Listener(("127.0.0.1", 0), _Handler)
        self._listener.wire = self
        self.url = f"http://127.0.0.1:{self._listener.server_port}"
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.005,))

    def next(self, request: Recorded) -> Answer:
        with self._lock:
            self.requests.append(request)
            return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    def __enter__(self) -> WireServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._listener.shutdown()
        self._thread.join()
        self._listener.server_close()


class Dialect:
    """One of the wire formats."""

    name: str
    media = "text/event-stream"

    def model(self, url: str, **options: Any) -> RemoteModel:
        raise NotImplementedError

    def text(self, text: str) -> bytes:
        raise NotImplementedError

    def end(self, finish: str = "stop") -> bytes:
        raise NotImplementedError

    def error(self, words: str) -> bytes:
        raise NotImplementedError

    def stream(self, *steps: bytes | str) -> Answer:
        """A response made of raw steps."""
        return Answer(list(steps), self.media)

    def answer(self, *texts: str, finish: str = "stop") -> Answer:
        """A whole answer."""
        return self.stream(*map(self.text, texts), self.end(finish))


class _Ollama(Dialect):
    name, media = "ollama", "application/x-ndjson"

    def model(self, url: str, **options: Any) -> RemoteModel:
        return OllamaModel("qwen2.5:3b", url=url, **options)

    def text(self, text: str) -> bytes:
        return line({"model": "qwen2.5:3b", "message": {"role": "assistant", "content": text}, "done": False})

    def end(self, finish: str = "stop") -> bytes:
        message = {"role": "assistant", "content": ""}
        return line({"message": message, "done": True, "done_reason": finish, "prompt_eval_count": 11, "eval_count": 5})

    def error(self, words: str) -> bytes:
        return line({"error": words})


class _OpenAI(Dialect):
    name = "openai"

    def model(self, url: str, **options: Any) -> RemoteModel:
        return OpenAIModel("gpt-x", url=url + "/v1", key=KEY, **options)

    def text(self, text: str) -> bytes:
        return event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})

    def end(self, finish: str = "stop") -> bytes:
        last = event({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
        return last + event({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 5}}) + DONE

    def error(self, words: str) -> bytes:
        return event({"error": {"message": words, "type": "invalid_request_error", "code": None}})


class _Anthropic(Dialect):
    name = "anthropic"

    def model(self, url: str, **options: Any) -> RemoteModel:
        return AnthropicModel("claude-x", url=url, key=KEY, **options)

    def text(self, text: str) -> bytes:
        return typed("content_block_delta", index=0, delta={"type": "text_delta", "text": text})

    def end(self, finish: str = "stop") -> bytes:
        reason = {"stop": "end_turn", "length": "max_tokens"}.get(finish, finish)
        last = typed("message_delta", delta={"stop_reason": reason}, usage={"output_tokens": 5})
        return last + typed("message_stop")

    def error(self, words: str) -> bytes:
        return typed("error", error={"type": "invalid_request_error", "message": words})

    def stream(self, *steps: bytes | str) -> Answer:
        start = typed("message_start", message={"usage": {"input_tokens": 11, "output_tokens": 1}})
        start += typed("content_block_start", index=0, content_block={"type": "text", "text": ""})
        return super().stream(start, *steps)


def line(value: object) -> bytes:
    """A line of NDJSON, letters as they are."""
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


def event(value: object) -> bytes:
    """A server-sent event without a type."""
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def typed(kind: str, **fields: object) -> bytes:
    """A server-sent event of Anthropic's."""
    return b"event: " + kind.encode() + b"\n" + event({"type": kind, **fields})


DONE: Final = b"data: [DONE]\n\n"
OLLAMA: Final = _Ollama()
OPENAI: Final = _OpenAI()
ANTHROPIC: Final = _Anthropic()
DIALECTS: Final[tuple[Dialect, ...]] = (OLLAMA, OPENAI, ANTHROPIC)


class Naps:
    """A `sleep` that does not, and keeps for how long it should have."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run in a fresh event loop."""
    return asyncio.run(work)


def ask(model: RemoteModel, request: ChatRequest = REQUEST) -> Reply:
    """The whole answer."""
    return asyncio.run(complete(model, request))


def ask_each(model: RemoteModel, requests: Iterable[ChatRequest]) -> list[Reply]:
    """Answers to several requests at once."""

    async def all_() -> list[Reply]:
        return await asyncio.gather(*(complete(model, request) for request in requests))

    return asyncio.run(all_())


async def gather_until_error(
    model: RemoteModel, request: ChatRequest = REQUEST
) -> tuple[list[Chunk], Exception | None]:
    """The chunks that came, and the error that ended them."""
    chunks: list[Chunk] = []
    try:
        async for chunk in model.stream(request):
            chunks.append(chunk)
    except Exception as error:
        return chunks, error
    return chunks, None
