"""llm.gate: what a real llama.cpp server with two slots shows about itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from innercouncil.llm.embedded import EmbeddedHost, EmbeddedModel, EmbeddedServer
from innercouncil.llm.gate import UNKNOWN, Gate, GatedModel
from innercouncil.model.ports import ChatModel, ChatRequest, ChatTurn, complete
from tiny_model import build_tiny_model


def ask_six(model: ChatModel, rounds: int = 1) -> None:
    async def work() -> None:
        for _ in range(rounds):
            requests = [
                ChatRequest(turns=(ChatTurn("user", f"Question {n}?"),), temperature=0.8, seed=n, max_tokens=120)
                for n in range(6)
            ]
            await asyncio.gather(*(complete(model, r) for r in requests))

    asyncio.run(work())


@pytest.fixture(scope="module")
def two_slots(tmp_path_factory: pytest.TempPathFactory):
    path = build_tiny_model(tmp_path_factory.mktemp("model") / "tiny.gguf", ending=2.5, feed_forward=1 << 16)
    host = EmbeddedHost()
    server = host.add(EmbeddedServer(path, slots=2, context_tokens=2048))
    yield path, host, server
    host.stop()


def test_a_queue_is_noticed_and_what_was_learnt_is_told(two_slots: tuple[Path, EmbeddedHost, EmbeddedServer]) -> None:
    _, host, server = two_slots
    learnt: list[int] = []
    gate = Gate(learnt=learnt.append)
    assert gate.limit == UNKNOWN
    ask_six(GatedModel(EmbeddedModel("tiny", server, host), gate))
    assert gate.known == 2
    assert gate.limit == 3
    assert learnt == [2]


def test_what_was_known_too_low_grows(two_slots: tuple[Path, EmbeddedHost, EmbeddedServer]) -> None:
    _, host, server = two_slots
    gate = Gate(known=1)
    assert gate.limit == 2
    ask_six(GatedModel(EmbeddedModel("tiny", server, host), gate), rounds=3)
    assert gate.known == 2


def test_no_more_calls_than_slots_are_let_through() -> None:
    gate = Gate(slots=2)
    inside, most = 0, 0

    async def one() -> None:
        nonlocal inside, most
        async with gate.call():
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.01)
            inside -= 1

    async def work() -> None:
        await asyncio.gather(*(one() for _ in range(7)))

    asyncio.run(work())
    assert most == 2
    assert gate.limit == 2


def test_a_call_that_is_cancelled_while_it_waits_frees_its_place() -> None:
    gate = Gate(slots=1)

    async def work() -> None:
        async with gate.call():
            waiting = asyncio.create_task(gate.call().__aenter__())
            await asyncio.sleep(0.01)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        async with asyncio.timeout(5), gate.call():
            pass

    asyncio.run(work())


def test_a_gate_holds_in_one_loop_after_another() -> None:
    """Whoever asks in stages has a loop for each of them, and the gate is the backend's."""
    gate = Gate(slots=1)

    async def one() -> None:
        async with gate.call():
            await asyncio.sleep(0.01)

    async def work() -> None:
        await asyncio.gather(one(), one())

    for _ in range(3):
        asyncio.run(work())
