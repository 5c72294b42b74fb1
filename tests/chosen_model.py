"""Models as a person chooses them: with their yes or no to what it will take, and a speaker that answers by a function."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

from innercouncil.model.errors import BackendUnreachableError
from innercouncil.model.ports import ChatModel, ChatRequest, Chunk, Estimate


class Chosen:
    """A `ChosenModel` that opens `model`; keeps the estimates it was shown."""

    def __init__(
        self, model: ChatModel, *, label: str, identity: str = "", remote: bool = False, yes: bool = True
    ) -> None:
        self.model, self.remote, self.yes = model, remote, yes
        self.label, self.identity = label, identity or label
        self.estimates: list[Estimate] = []

    def agrees(self, estimate: Estimate, /) -> bool:
        self.estimates.append(estimate)
        return self.yes

    async def open(self) -> ChatModel:
        return self.model

    async def close(self) -> None:
        pass


class Speaker(Chosen):
    """One that answers by `answer`, until it has answered `fails_after` times; keeps what it was asked."""

    def __init__(
        self, answer: Callable[[ChatRequest], str], *, name: str = "speaker", fails_after: int = 100_000, yes: bool = True
    ) -> None:  # fmt: skip
        super().__init__(self, label=name, yes=yes)
        self.name, self.answer, self.left = name, answer, fails_after
        self.requests: list[ChatRequest] = []

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        self.left -= 1
        if self.left < 0:
            raise BackendUnreachableError("The model is gone.")
        self.requests.append(request)
        yield Chunk(self.answer(request))
        yield Chunk(finish="stop")
