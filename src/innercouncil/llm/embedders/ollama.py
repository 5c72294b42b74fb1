"""Embeddings of a model at Ollama, over POST /api/embed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

import msgspec
import numpy as np

from innercouncil.llm.embedders.folder import FloatArray, unit_rows
from innercouncil.llm.http import FIRST_TOKEN_S, TRIES
from innercouncil.llm.ollama import Ollama, default_url, ollama_server
from innercouncil.model.errors import BackendGarbageError, ModelMissingError
from innercouncil.model.ports import Progress

BATCH: Final = 16
"""Texts in a request."""
KEEP_ALIVE: Final = "10m"
"""How long Ollama keeps the model in memory."""
T = TypeVar("T")


class _Embeddings(msgspec.Struct):
    embeddings: list[list[float]]


class OllamaEmbedder:
    """An Embedder at an Ollama server; texts longer than the model's context are cut there.

    `sleep` waits between tries.
    """

    def __init__(
        self, model: str, *, url: str | None = None, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:  # fmt: skip
        self._model = model
        self._url = url or default_url()
        self._server = ollama_server(self._url, sleep=sleep)
        self._width: int | None = None

    @property
    def name(self) -> str:
        """Kind and model."""
        return f"ollama:{self._model}"

    def identity(self) -> str:
        """Kind and the digest by which Ollama knows the model. Raises BackendError."""
        ollama = Ollama(self._url)
        digest = asyncio.run(_and_close(ollama.digest(self._model), ollama.aclose))
        if digest is None:
            raise ModelMissingError(
                f"Ollama runs but does not have {self._model}; run `innercouncil models pull {self._model}`."
            )
        return f"ollama:{self._model}:{digest}"

    def embed(self, texts: Sequence[str], progress: Progress | None = None) -> FloatArray:
        """Unit vectors of the texts, see Embedder. Raises BackendError."""
        return asyncio.run(_and_close(self._embed(texts, progress), self._server.aclose))

    async def _embed(self, texts: Sequence[str], progress: Progress | None) -> FloatArray:
        parts = []
        for start in range(0, len(texts), BATCH):
            parts.append(await self._ask(list(texts[start : start + BATCH])))
            if progress:
                progress(min(start + BATCH, len(texts)), len(texts))
        return np.concatenate(parts)

    async def _ask(self, texts: list[str]) -> FloatArray:
        body = {"model": self._model, "input": texts, "truncate": True, "keep_alive": KEEP_ALIVE}
        data = await self._server.fetch(
            "/api/embed", body, subject=self._model, private=texts, patience=FIRST_TOKEN_S, tries=TRIES
        )
        source = f"{self._model} at {self._server.place}"
        try:
            rows = np.array(msgspec.json.decode(data, type=_Embeddings).embeddings)
        except (msgspec.MsgspecError, UnicodeError, ValueError) as error:
            raise BackendGarbageError(
                f"{source} did not answer with a vector a text; update Ollama, or choose another model."
            ) from error
        vectors = unit_rows(rows, len(texts), source)
        self._width = self._width or vectors.shape[1]
        if vectors.shape[1] != self._width:
            raise BackendGarbageError(f"{source} gives vectors of different lengths; choose another model.")
        return vectors


async def _and_close(work: Coroutine[Any, Any, T], close: Callable[[], Awaitable[None]]) -> T:
    try:
        return await work
    finally:
        await close()
