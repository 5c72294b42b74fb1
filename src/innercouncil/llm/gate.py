"""How many answers a backend writes at the same time: measured while it works, and not asked for many more than that.

A backend that queues shows it: an answer is written to its end while another, asked for before it began, still waits for
its first piece. From then on the backend is asked for one answer more than it was seen to write at once; where the extra
one starts right away, it can do more than was known, and the number grows.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Final

from innercouncil.llm.waiting import LoopCondition
from innercouncil.model.ports import ChatModel, ChatRequest, Chunk

UNKNOWN: Final = 12
"""Asked for at most while nothing was measured yet."""
ENOUGH: Final = 16
"""Pieces an answer must have had for its end to say something about those that waited."""


class _Call:
    def __init__(self) -> None:
        self.pieces = 0
        self.waiting: set[_Call] = set()
        """Calls that had been asked for, but not begun, when this one began."""


class Gate:
    """Lets calls to a backend through.

    `slots` is what it can do, where that is known exactly; else `known` is what an earlier run saw, and `learnt` is told
    when that changes.
    """

    def __init__(
        self, *, slots: int | None = None, known: int | None = None, learnt: Callable[[int], None] | None = None
    ) -> None:
        self._slots, self.known, self._learnt = slots, known, learnt
        self._calls: set[_Call] = set()
        self._most = 0
        self._after: list[int] = []
        self._ended = False
        self._queues = False
        self._free = LoopCondition()

    @property
    def limit(self) -> int:
        """Calls let through at a time."""
        if self._slots is not None:
            return self._slots
        return UNKNOWN if self.known is None else min(UNKNOWN, self.known + 1)

    @contextlib.asynccontextmanager
    async def call(self) -> AsyncGenerator[Callable[[], None], None]:
        """Wait for a place; what is given is to be called for each piece of the answer."""
        call, free = _Call(), self._free.here()
        async with free:
            await free.wait_for(lambda: len(self._calls) < self.limit)
            self._calls.add(call)

        def piece() -> None:
            call.pieces += 1
            if call.pieces == 1:
                call.waiting = {c for c in self._calls if not c.pieces}
                at_once = sum(1 for c in self._calls if c.pieces)
                self._most = max(self._most, at_once)
                if self._ended:
                    self._after.append(at_once)

        try:
            yield piece
        finally:
            self._calls.discard(call)
            self._ended = self._ended or call.pieces >= ENOUGH
            if call.pieces >= ENOUGH and any(not c.pieces for c in call.waiting & self._calls):
                self._queues = True
            if not self._calls:
                self._settle()
            async with free:
                free.notify_all()

    def _settle(self) -> None:
        # An answer that is finished there may still be on its way here when the next one begins, and two that end
        # together leave a gap: so of the counts taken while the queue moved, the upper quartile tells, not the highest.
        counts = sorted(self._after) or [self._most]
        queued = counts[3 * (len(counts) - 1) // 4]
        seen = queued if self._queues else None if self.known is None else max(self._most, self.known)
        if self._slots is None and seen and seen != self.known:
            self.known = seen
            if self._learnt:
                self._learnt(seen)
        self._most, self._after, self._ended, self._queues = 0, [], False, False


class GatedModel:
    """A model behind a gate."""

    def __init__(self, model: ChatModel, gate: Gate) -> None:
        self._model, self._gate = model, gate

    @property
    def name(self) -> str:
        """The model's own name."""
        return self._model.name

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """The model's answer, as soon as there is a place for it. Raises BackendError."""
        async with self._gate.call() as piece, contextlib.aclosing(self._model.stream(request)) as chunks:
            async for chunk in chunks:
                piece()
                yield chunk
