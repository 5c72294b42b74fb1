"""A real server on this machine that embeds as Ollama's /api/embed is documented: vectors are made out of the letters."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import numpy as np

from llm.wire_server import Answer, Recorded, WireServer, failure

MODEL = "tiny-embed:latest"
WIDTH = 8


def vector(text: str) -> list[float]:
    """The same text gives the same vector."""
    seed = int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:8], "big")
    return [round(float(x), 6) for x in np.random.default_rng(seed).standard_normal(WIDTH)]


class EmbedServer(WireServer):
    """Knows one model; `before` sees every request for vectors and may answer in its place."""

    def __init__(
        self, *, digest: str = "d1", remote_host: str = "", before: Callable[[list[str]], Answer | None] | None = None
    ) -> None:
        super().__init__(failure(404, "no such page"))
        self.model = {"name": MODEL, "digest": digest, "remote_host": remote_host}
        self.before = before
        self.texts: list[str] = []
        """Everything that was embedded, in the order it came."""

    def next(self, request: Recorded) -> Answer:
        if request.path == "/api/version":
            return Answer([b'{"version": "0.12.6"}'])
        if request.path == "/api/tags":
            return Answer([json.dumps({"models": [self.model]}).encode()])
        if request.path != "/api/embed":
            return super().next(request)
        super().next(request)
        if request.body["model"] != MODEL:
            return failure(404, {"error": f'model "{request.body["model"]}" not found, try pulling it first'})
        texts = request.body["input"]
        instead = self.before(texts) if self.before else None
        if instead is not None:
            return instead
        self.texts += texts
        return Answer([json.dumps({"model": MODEL, "embeddings": [vector(t) for t in texts]}).encode()])
