"""What the commands share: text made safe for a terminal, JSON on stdout, a house for the length of a command."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from innercouncil.model.steering import STEERING, escaped
from innercouncil.store.workspace import Workspace

if TYPE_CHECKING:
    from innercouncil.app.council import House

T = TypeVar("T")
_STEERING_RE = re.compile(f"[{STEERING}]")


def clean(text: str) -> str:
    """Text without control and direction characters: what a model or an export says cannot steer the terminal."""
    return _STEERING_RE.sub("", text)


def print_json(data: object) -> None:
    """Data as indented JSON on stdout, with everything escaped that steers a terminal."""
    sys.stdout.write(escaped(msgspec.json.format(msgspec.json.encode(data), indent=2).decode("utf-8")) + "\n")


@contextmanager
def asking() -> Iterator[None]:
    """Put a question to the person within `in_house`: Ctrl-C ends it at once.

    asyncio takes Ctrl-C to itself and cancels at the next await, which does not come before the question is answered.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def in_house(workspace: Path, work: Callable[[House], Awaitable[T]]) -> T:
    """Run `work` with the workspace's house; interrupted or not, sessions under way are stopped and kept."""

    from innercouncil.app.council import House

    async def run() -> T:
        house = House(Workspace(workspace))
        try:
            return await work(house)
        finally:
            await house.close()

    return asyncio.run(run())
