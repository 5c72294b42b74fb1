"""The model a person names with `--llm`, as discovery and its evaluation want it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import NamedTuple

from innercouncil.app.backends import Backends
from innercouncil.app.council_settings import CouncilSettings
from innercouncil.llm.select import parse_model
from innercouncil.model.errors import UsageError
from innercouncil.model.ports import ChatModel, ChatRequest, ChatTurn, Chunk, Estimate, Usage, complete
from innercouncil.model.times import duration
from innercouncil.model.tokens import estimate_tokens
from innercouncil.prompts import template
from innercouncil.store.database import Database
from innercouncil.store.workspace import Workspace

DEFAULT_BUDGET = 1000
"""Messages to ask about where nothing else is said."""
PROBE_TOKENS = 48


class Speed(NamedTuple):
    """Tokens a second of one call; calls side by side are faster together."""

    read: float
    write: float

    def seconds(self, estimate: Estimate) -> float:
        """How long it takes at most, if the calls came one after another."""
        return estimate.prompt_tokens / self.read + estimate.answer_tokens / self.write


class Offer(NamedTuple):
    """What the person is asked to agree to."""

    model: str
    estimate: Estimate
    speed: Speed
    redacted: bool
    """Texts leave this machine, personal things are taken out of them before."""

    def told(self, price: Price | None = None) -> str:
        """In words, with the cost at a price."""
        e = self.estimate
        parts = [
            f"{self.model} will be asked about {e.what} in {e.calls} call{'s' if e.calls != 1 else ''}: about "
            f"{e.prompt_tokens:,} tokens to read and up to {e.answer_tokens:,} to write",
            f"at its present speed at most {duration(max(1, self.speed.seconds(e)))}",
        ]
        if price is not None:
            parts.append(f"at your price at most {price.cost(e.prompt_tokens, e.answer_tokens):.2f}")
        if self.redacted:
            parts.append("personal things taken out before they are sent")
        return ", ".join(parts) + "."


class Price(NamedTuple):
    """What a million tokens cost."""

    read: float
    write: float

    def cost(self, read: int, written: int) -> float:
        """Of so many tokens."""
        return (read * self.read + written * self.write) / 1e6


class Spent(NamedTuple):
    """What the model took so far, the measuring of its speed left out."""

    calls: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0

    def told(self, price: Price | None = None) -> str:
        """In words, with the cost at a price."""
        parts = [f"{self.calls} call{'s' if self.calls != 1 else ''}"]
        parts += [f"{self.prompt_tokens:,} tokens read", f"{self.answer_tokens:,} written"]
        if price is not None:
            parts.append(f"cost {price.cost(self.prompt_tokens, self.answer_tokens):.2f}")
        return ", ".join(parts)


class HelperModel:
    """A model on one of the council's backends that helps with discovery, and the person's say in it.

    `spends` is told after each call what all of them took.
    """

    def __init__(
        self, workspace: Workspace, name: str, *, agrees: Callable[[Offer], bool], budget: int = DEFAULT_BUDGET,
        spends: Callable[[Spent], None] = lambda _spent: None,
    ) -> None:  # fmt: skip
        workspace.prepare()
        self._database = Database(workspace.database)
        self._backends = Backends(self._database, workspace.root)
        self._name, self._budget, self._agrees, self._spends = name, budget, agrees, spends
        self.spent = Spent()
        try:
            spec = asyncio.run(self._backends.resolve(name))
            self._backends.consented(spec)
            self._identity = asyncio.run(self._backends.identity(spec))
        except BaseException:
            self._database.close()
            raise
        self._spec = spec

    @property
    def label(self) -> str:
        """Where it runs and its name."""
        return self._spec.label

    @property
    def identity(self) -> str:
        """The same with a mark of the model's content: what answers that are kept belong to."""
        return self._identity

    @property
    def budget(self) -> int:
        """Most messages to label."""
        return self._budget

    @property
    def remote(self) -> bool:
        """Whether texts leave this machine."""
        return bool(self._spec.host)

    def agrees(self, estimate: Estimate) -> bool:
        """See how fast the model is and ask the person. Raises BackendError."""
        return self._agrees(Offer(self.label, estimate, asyncio.run(self._measure()), self.remote))

    async def _measure(self) -> Speed:
        text = template("speed_probe").render()
        turns = (ChatTurn("user", text),)
        model = await self._backends.open(self._name)
        taken: list[float] = []
        written = prompt = 1
        for tokens in (1, PROBE_TOKENS):
            begin = time.perf_counter()
            reply = await complete(model, ChatRequest(turns=turns, max_tokens=tokens))
            taken.append(max(time.perf_counter() - begin, 1e-4))
            prompt = reply.usage.prompt_tokens if reply.usage else estimate_tokens(text)
            written = reply.usage.completion_tokens if reply.usage else estimate_tokens(reply.text)
        return Speed(max(prompt, 1) / taken[0], max(written, 1) / taken[1])

    async def open(self) -> ChatModel:
        """The model, ready to be asked. Raises BackendError."""
        return _Metered(await self._backends.open(self._name), self._count)

    def _count(self, usage: Usage) -> None:
        s = self.spent
        self.spent = Spent(
            s.calls + 1, s.prompt_tokens + usage.prompt_tokens, s.answer_tokens + usage.completion_tokens
        )
        self._spends(self.spent)

    async def close(self) -> None:
        """Let go of the model."""
        await asyncio.to_thread(self._backends.stop)

    def release(self) -> None:
        """Let go of the model and close the database."""
        self._backends.stop()
        self._database.close()


class _Metered:
    """A model whose calls are counted, by estimate where the backend does not count."""

    def __init__(self, model: ChatModel, count: Callable[[Usage], None]) -> None:
        self._model, self._count = model, count

    @property
    def name(self) -> str:
        return self._model.name

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        usage: Usage | None = None
        said: list[str] = []
        try:
            async with aclosing(self._model.stream(request)) as chunks:
                async for chunk in chunks:
                    usage = chunk.usage or usage
                    said.append(chunk.text)
                    yield chunk
        finally:
            read = sum(estimate_tokens(t.content) for t in request.turns)
            self._count(usage or Usage(read, estimate_tokens("".join(said))))


def worker_model(workspace: Workspace) -> str:
    """The name of the model the council's workers speak with."""
    return council_settings(workspace).worker


def council_settings(workspace: Workspace) -> CouncilSettings:
    """How the council of a workspace runs."""
    workspace.prepare()
    database = Database(workspace.database)
    try:
        return Backends(database, workspace.root).settings
    finally:
        database.close()


def synthesizer_model(workspace: Workspace) -> str:
    """The name of the model that writes the council's final answers."""
    return council_settings(workspace).writer


def model_name(llm: str, name: str | None) -> str:
    """What `--llm` and `--llm-model` mean together, as llm/select.py writes it. Raises UsageError.

    >>> model_name("ollama", None)
    'ollama:qwen2.5:3b'
    >>> model_name("http://127.0.0.1:8000/v1", "qwen")
    'http://127.0.0.1:8000/v1#qwen'
    """
    default = CouncilSettings().worker
    if llm == "ollama":
        text = f"ollama:{name or default}"
    elif llm == "embedded":
        text = name or default
    elif llm == "anthropic":
        text = f"anthropic:{name or ''}"
    elif llm.startswith(("http://", "https://")):
        text = llm if "#" in llm and not name else f"{llm}#{name or ''}"
    else:
        raise UsageError(
            f"--llm is ollama, embedded, anthropic or the URL of an OpenAI-compatible server, not {llm[:60]!r}."
        )
    if text.endswith((":", "#")):
        raise UsageError(f"Say which model of {llm}: add --llm-model NAME.")
    parse_model(text)
    return text
