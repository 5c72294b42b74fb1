"""What stages ask of the outside world: a chat model, and someone to tell about progress."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec


class ChatTurn(msgspec.Struct, frozen=True):
    """One message of a model call."""

    role: Literal["system", "user", "assistant"]
    content: str


@runtime_checkable
class ChatModel(Protocol):
    """A language model that answers a list of turns; no stage knows which backend is behind it."""

    @property
    def name(self) -> str:
        """Model name as the backend knows it, e.g. `qwen2.5:3b`."""
        ...

    def complete(
        self,
        turns: Sequence[ChatTurn],
        *,
        schema: Mapping[str, Any] | None = None,
        temperature: float = 0.0,
        max_tokens: int = 1024,
        seed: int = 0,
    ) -> str:
        """Return the answer's text; with `schema` (JSON Schema), text that should parse as JSON of that shape.

        Raises InnerCouncilError when the backend cannot answer.
        """
        ...


class Progress(Protocol):
    """Told by a stage how far it is: `done` and `total` in the stage's own unit (messages, bytes, runs)."""

    def __call__(self, done: int, total: int) -> None:
        """Called now and then, at least once with `done == total`."""
        ...
