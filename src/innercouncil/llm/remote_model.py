"""The ChatModel port over a server: what a backend of one wire format builds on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Any

from innercouncil.llm.complaints import Complaint
from innercouncil.llm.http import Feed, RefusedError, Server
from innercouncil.model.errors import BackendRejectedError
from innercouncil.model.ports import ChatRequest, Chunk


class RemoteModel(ABC):
    """A ChatModel behind HTTP; a backend says what to send and how to read the answer."""

    path: str
    """Where answers are asked for."""

    def __init__(self, model: str, server: Server) -> None:
        self._model, self._server = model, server
        self._refused: set[str] = set()

    @property
    def name(self) -> str:
        """Name of the model at its server."""
        return self._model

    @property
    def is_remote(self) -> bool:
        """Whether text that is sent leaves this machine: nobody may be asked then without consent."""
        return self._server.is_remote

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._model!r}, {self._server.place!r})"

    async def aclose(self) -> None:
        """Close what is open in the running event loop."""
        await self._server.aclose()

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Answer `request` piece by piece (see ChatModel)."""
        if request.adapter is not None:
            await self._has_adapter(request.adapter)
        first, rest = await self._server.begin(lambda: self._attempts(request))
        async with aclosing(rest):
            yield first
            async for chunk in rest:
                yield chunk

    async def _has_adapter(self, name: str) -> None:
        """Make sure that requests may name this adapter. Raises BackendError where they may not."""
        raise BackendRejectedError(
            f"{self._server.place} cannot be asked for the adapter {name}; the built-in llama.cpp and vLLM serve adapters."
        )

    async def _attempts(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """The answer, asked again without what the server does not know; every round leaves out one thing more."""
        while True:
            body, begun = self._body(request), False
            try:
                async with aclosing(self._attempt(request, body)) as chunks:
                    async for chunk in chunks:
                        begun = True
                        yield chunk
            except RefusedError as error:
                # Several calls run at once: another may have learnt this meanwhile, and that is as good.
                field = self._unwanted(error.complaint, body)
                if field is None or begun:
                    raise
                self._refused.add(field)
            else:
                return

    async def _attempt(self, request: ChatRequest, body: dict[str, Any]) -> AsyncGenerator[Chunk, None]:
        private = [turn.content for turn in request.turns]
        asked = request.adapter or self._model
        async with self._server.open("POST", self.path, body, subject=asked, private=private) as feed:
            async with aclosing(self._chunks(feed)) as chunks:
                async for chunk in chunks:
                    feed.started = feed.started or bool(chunk.text)
                    if chunk.text or chunk.finish:
                        yield chunk
                    if chunk.finish:
                        return
            raise feed.garbage("it ended before the answer was complete")

    def _unwanted(self, complaint: Complaint, body: dict[str, Any]) -> str | None:
        """The field of `body` that the complaint names and that the model can do without."""
        return next((field for field in self._optional() if field in body and complaint.names(field)), None)

    def _optional(self) -> Iterable[str]:
        return ()

    @abstractmethod
    def _body(self, request: ChatRequest) -> dict[str, Any]:
        """What to send, without what was refused before."""

    @abstractmethod
    def _chunks(self, feed: Feed) -> AsyncGenerator[Chunk, None]:
        """Read the answer; the last chunk has `finish`. Raises BackendError."""
