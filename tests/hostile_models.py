"""A model server of a stranger: it speaks as Ollama and as OpenAI's servers do, and every text it says is an attack."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

PIECE: Final = 7
"""Characters of a piece of every other answer: shorter than any tag, so that none arrives whole."""


class HostileModels:
    """`says` is the attack: every answer, reason, error, version and status; `names` are the models it claims to have.

    While held, answers stop after their first half until `go_on`. A persona whose prompt says BREAK gets half an answer and
    an error, one whose prompt says REFUSE an error alone.
    """

    def __init__(self, says: str, names: tuple[str, ...], plain: str = "plain:latest", elsewhere: str = "") -> None:
        self.says, self.names, self.plain, self.elsewhere = says, names, plain, elsewhere
        self.bodies: list[dict[str, Any]] = []
        """The requests it was sent, oldest first."""
        self.fails = False
        """Whether every request for text is refused, with the attack for a reason."""
        self._free, self._lock, self._streams = threading.Event(), threading.Lock(), itertools.count()
        self._free.set()
        self._listener = _Listener(("127.0.0.1", 0), _Handler)
        self._listener.models = self
        self.host = f"127.0.0.1:{self._listener.server_port}"
        self.url = f"http://{self.host}"
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.01,))

    def __enter__(self) -> HostileModels:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._free.set()
        self._listener.shutdown()
        self._thread.join()
        self._listener.server_close()

    def hold(self) -> None:
        """Let answers stop halfway from now on."""
        self._free.clear()

    def go_on(self) -> None:
        """Let them be finished."""
        self._free.set()

    def answer_to(self, body: dict[str, Any]) -> str:
        """The whole text: the attack, in the form that was asked for."""
        with self._lock:
            self.bodies.append(body)
            number = len(self.bodies)
        schema = _schema(body)
        return json.dumps(_instance(schema, schema, self.says)) if schema else f"{self.says} {number}"

    def halves(self, text: str) -> Iterator[str]:
        """The text in pieces, small ones or its halves; where it is held, it waits in the middle."""
        size = PIECE if next(self._streams) % 2 else len(text) // 2 + 1
        for at in range(0, len(text), size):
            if at > len(text) // 2:
                self._free.wait(60)
            yield text[at : at + size]

    def listed(self) -> dict[str, Any]:
        """What `/api/tags` says."""
        details = {"parameter_size": self.says, "quantization_level": self.says, "family": self.says}
        models = [{"name": n, "model": n, "size": 5, "digest": self.says, "details": details} for n in self.names]
        return {"models": [*models, {"name": self.plain, "size": 5, "details": details, "remote_host": self.elsewhere}]}


def _schema(body: dict[str, Any]) -> Any:
    return body.get("response_format", {}).get("json_schema", {}).get("schema") or body.get("format")


def _instance(schema: Any, whole: Any, says: str) -> Any:
    """Something that the schema allows, with the attack for every text."""
    if "$ref" in schema:
        return _instance(whole["$defs"][schema["$ref"].rpartition("/")[2]], whole, says)
    if "anyOf" in schema:
        return _instance(schema["anyOf"][0], whole, says)
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type", "string")
    if kind == "object":
        return {name: _instance(part, whole, says) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        return [_instance(schema["items"], whole, says) for _ in range(max(1, schema.get("minItems", 1)))]
    return says[: schema.get("maxLength", 1000)] if kind == "string" else schema.get("minimum", 1)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Listener

    def do_GET(self) -> None:
        models = self.server.models
        answers: dict[str, Any] = {
            "/api/version": {"version": models.says},
            "/api/tags": models.listed(),
            "/api/ps": {"models": [{"name": n, "size": 5, "size_vram": 5} for n in models.names]},
            "/v1/models": {"data": [{"id": n} for n in models.names]},
        }
        found = answers.get(self.path)
        self._whole(200 if found else 404, found or {"error": models.says})

    def do_POST(self) -> None:
        models = self.server.models
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        own = "" if _schema(body) else str(body.get("messages", [{}])[0].get("content"))
        if self.path == "/api/pull":
            told_of = {"status": models.says, "completed": 1, "total": 2}
            self._lines(itertools.chain([told_of], ({**told_of, "digest": p} for p in models.halves(models.says)),
                                        [{"error": models.says}]))  # fmt: skip
        elif models.fails or "REFUSE" in own:
            self._whole(400, {"error": {"message": models.says, "type": models.says, "code": models.says}})
        elif self.path == "/api/chat":
            self._chat(models.answer_to(body))
        else:
            self._completion(models.answer_to(body), broken="BREAK" in own)

    def _chat(self, text: str) -> None:
        pieces = self.server.models.halves(text)
        end = {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop", "eval_count": 3}
        said = ({"message": {"role": "assistant", "content": p}, "done": False} for p in pieces)
        self._lines(itertools.chain(said, [end]))

    def _completion(self, text: str, *, broken: bool) -> None:
        self._start("text/event-stream")
        for at, piece in enumerate(self.server.models.halves(text)):
            if broken and at > 20:
                self._event({"error": {"message": self.server.models.says, "type": "invalid_request_error"}})
                return
            self._event({"choices": [{"index": 0, "delta": {"content": piece}}]})
        self._event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        self._send(b"data: [DONE]\n\n")

    def _start(self, media: str, status: int = 200) -> None:
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Type", media)
        self.send_header("Connection", "close")
        self.end_headers()

    def _whole(self, status: int, data: object) -> None:
        self._start("application/json", status)
        self._send(json.dumps(data, ensure_ascii=False).encode())

    def _lines(self, lines: Iterable[object]) -> None:
        self._start("application/x-ndjson")
        for line in lines:
            self._send(json.dumps(line, ensure_ascii=False).encode() + b"\n")

    def _event(self, data: object) -> None:
        self._send(b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n")

    def _send(self, data: bytes) -> None:
        try:
            self.wfile.write(data)
            self.wfile.flush()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    models: HostileModels
