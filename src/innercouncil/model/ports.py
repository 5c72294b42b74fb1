"""What stages ask of the outside world: a chat model, an embedder, and someone to tell about progress."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

import msgspec

from innercouncil.model.errors import BackendRejectedError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Finish = Literal["stop", "length", "refusal"]
T = TypeVar("T")


class ChatTurn(msgspec.Struct, frozen=True):
    """One message of a model call."""

    role: Literal["system", "user", "assistant"]
    content: str


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a model."""

    turns: tuple[ChatTurn, ...]
    schema: dict[str, Any] | None = None
    """JSON Schema that the answer must satisfy; None for free text."""
    temperature: float = 0.0
    max_tokens: int = 1024
    """Most tokens to write."""
    seed: int = 0
    fresh: bool = False
    """Nothing computed for an earlier prompt is reused, where the backend lets us say so: the same words cost more time
    then, and come out the same whatever was asked before."""
    adapter: str | None = None
    """Name of the LoRA adapter that answers, as the backend was told of it; None: the base alone. A backend that has no
    such adapter refuses."""


class Usage(msgspec.Struct, frozen=True):
    """Tokens of a call as the backend counted them."""

    prompt_tokens: int
    completion_tokens: int


class Chunk(msgspec.Struct, frozen=True):
    """A piece of a streamed answer; the last one carries `finish` and, where the backend counts, `usage`."""

    text: str = ""
    finish: Finish | None = None
    usage: Usage | None = None


class Reply(msgspec.Struct, frozen=True):
    """A whole answer."""

    text: str
    finish: Finish
    usage: Usage | None = None


class Estimate(NamedTuple):
    """What asking a model will take; the person sees it before anything is asked."""

    what: str
    """What is asked about, in words: "40 messages"."""
    calls: int
    prompt_tokens: int
    answer_tokens: int
    """Most tokens it may write."""

    def __add__(self, other: Estimate) -> Estimate:  # type: ignore[override]
        """Both together."""
        return Estimate(
            f"{self.what} and {other.what}", self.calls + other.calls, self.prompt_tokens + other.prompt_tokens,
            self.answer_tokens + other.answer_tokens,
        )  # fmt: skip


@runtime_checkable
class ChatModel(Protocol):
    """A language model that streams its answers; no stage knows which backend is behind it.

    Leaving the iterator (cancelling the task, or `aclose`) stops the model.
    """

    @property
    def name(self) -> str:
        """Model name as the backend knows it, e.g. `qwen2.5:3b`."""
        ...

    def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Answer `request` piece by piece; the last chunk has `finish`.

        Raises BackendError: before the first text the backend has already retried what is worth retrying; after it, the
        text so far stands and the caller decides.
        """
        ...


async def complete(model: ChatModel, request: ChatRequest) -> Reply:
    """The whole answer of a model. Raises BackendError."""
    text: list[str] = []
    finish: Finish = "stop"
    usage: Usage | None = None
    async for chunk in model.stream(request):
        text.append(chunk.text)
        finish = chunk.finish or finish
        usage = chunk.usage or usage
    return Reply("".join(text), finish, usage)


async def ask_valid(
    model: ChatModel, request: Callable[[int], ChatRequest], read: Callable[[bytes], T | None]
) -> T | None:
    """What `read` makes of the answer to `request(0)` or, where that is not valid, to `request(1)`.

    `read` returns None, or raises MsgspecError, for what is not valid. None too where the model cannot take so long a
    request. Raises BackendError.
    """
    for attempt in range(2):
        try:
            found = read((await complete(model, request(attempt))).text.encode("utf-8", "replace"))
        except BackendRejectedError as error:
            if not error.too_long:
                raise
            return None
        except (msgspec.MsgspecError, RecursionError):
            continue
        if found is not None:
            return found
    return None


async def ask_each(
    items: Sequence[T], one: Callable[[T], Awaitable[int]], *, at_once: int, total: int, progress: Callable[[int, int], None]
) -> None:  # fmt: skip
    """Await `one` for every item, `at_once` at a time; it returns what to add to the progress towards `total`.

    The first error ends all. Raises what `one` raises.
    """
    places = asyncio.Semaphore(at_once)
    done = 0

    async def in_turn(item: T) -> None:
        nonlocal done
        async with places:
            done += await one(item)
        progress(done, total)

    try:
        async with asyncio.TaskGroup() as group:
            for item in items:
                group.create_task(in_turn(item))
    except* Exception as errors:
        raise errors.exceptions[0] from None


class ChosenModel(Protocol):
    """The model a person chose to help with a piece of work, and the person's say in it."""

    @property
    def label(self) -> str:
        """Where the model runs and its name."""
        ...

    @property
    def identity(self) -> str:
        """The same with a mark of its content; what is kept of its answers belongs to it."""
        ...

    @property
    def remote(self) -> bool:
        """Whether texts leave this machine; then they are redacted."""
        ...

    def agrees(self, estimate: Estimate, /) -> bool:
        """Show what it will take; whether to go on."""
        ...

    async def open(self) -> ChatModel:
        """The model, ready to be asked. Raises BackendError, UsageError without consent."""
        ...

    async def close(self) -> None:
        """Let go of the model."""
        ...


class Watcher(Protocol):
    """Told which stage runs and how far it is."""

    def stage(self, title: str, *, done: bool) -> Callable[[int, int], None]:
        """A stage begins (or, with `done`, was found finished); returns the function to report progress to."""
        ...


class Progress(Protocol):
    """Told by a stage how far it is: `done` and `total` in the stage's own unit (messages, bytes, runs)."""

    def __call__(self, done: int, total: int) -> None:
        """Called now and then, at least once with `done == total`."""
        ...


@runtime_checkable
class Embedder(Protocol):
    """A model that turns texts into vectors; texts that mean the same lie near each other."""

    @property
    def name(self) -> str:
        """What a person calls it, e.g. `onnx:minilm`."""
        ...

    def identity(self) -> str:
        """What two embedders share only if they give the same vectors: their kind and a digest of the model.

        Raises BackendError.
        """
        ...

    def embed(self, texts: Sequence[str], progress: Progress | None = None) -> npt.NDArray[np.float32]:
        """Vectors of n texts that are not empty: float32 rows of length one, (n, d), n >= 1; d never changes.

        A row depends on its text alone, not on what else is embedded with it. `progress` counts texts. Raises BackendError
        where the model cannot be read or asked, UsageError where a package for it is missing.
        """
        ...
