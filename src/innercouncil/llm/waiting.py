"""Waiting for a backend's turn, by whoever asks: a use case in stages has an event loop for each of them."""

from __future__ import annotations

import asyncio


class LoopCondition:
    """An `asyncio.Condition` for each event loop: a single one belongs for good to the first loop that had to wait.

    Loops are served one after another; whoever waits in one is not woken by another that runs beside it.
    """

    def __init__(self) -> None:
        self._of: dict[asyncio.AbstractEventLoop, asyncio.Condition] = {}

    def here(self) -> asyncio.Condition:
        """The running loop's."""
        loop = asyncio.get_running_loop()
        if loop not in self._of:
            self._of = {other: c for other, c in self._of.items() if not other.is_closed()} | {
                loop: asyncio.Condition()
            }
        return self._of[loop]
