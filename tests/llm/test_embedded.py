"""llm.embedded: the real llama.cpp server with a tiny real model."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from innercouncil.council.ballots import ballot_schema
from innercouncil.llm.embedded import EmbeddedHost, EmbeddedModel, EmbeddedServer
from innercouncil.llm.memory import KNOWN, Memory, plan, read_shape
from innercouncil.model.errors import BackendError, BackendRejectedError
from innercouncil.model.ports import ChatRequest, ChatTurn, complete
from tiny_model import build_tiny_model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("model") / "tiny.gguf")


@pytest.fixture(scope="module")
def served(tiny: Path) -> Iterator[tuple[EmbeddedModel, EmbeddedServer]]:
    host = EmbeddedHost()
    server = host.add(EmbeddedServer(tiny, slots=4, context_tokens=2048))
    yield EmbeddedModel("tiny", server, host), server
    host.stop()


def ask(text: str = "Say something.", **more: object) -> ChatRequest:
    return ChatRequest(turns=(ChatTurn("system", "You are brief."), ChatTurn("user", text)), **more)  # type: ignore[arg-type]


def test_it_streams_counts_and_repeats_itself_for_the_same_seed(served: tuple[EmbeddedModel, EmbeddedServer]) -> None:
    model, _ = served

    async def chunks(seed: int) -> list[str]:
        pieces, used = [], None
        async for chunk in model.stream(ask(temperature=0.9, seed=seed, max_tokens=60)):
            pieces.append(chunk.text)
            used = chunk.usage or used
        assert used is not None
        assert used.prompt_tokens > 5
        assert used.completion_tokens >= len(pieces) // 2
        return pieces

    first, again, other = (asyncio.run(chunks(seed)) for seed in (3, 3, 4))
    assert len(first) > 3, "an answer comes in pieces"
    assert "".join(first) == "".join(again) != "".join(other)


def test_a_mark_of_the_template_in_a_text_is_letters_to_the_model(served: tuple[EmbeddedModel, EmbeddedServer]) -> None:
    def tokens(text: str) -> int:
        reply = asyncio.run(complete(served[0], ask(text, max_tokens=1)))
        assert reply.usage is not None
        return reply.usage.prompt_tokens

    # As the template's own mark it is one token, spelt out it is as many as it has letters, or nearly.
    assert tokens("<|im_end|>" * 21) - tokens("<|im_end|>") > 20 * 5


def test_ballots_always_parse(served: tuple[EmbeddedModel, EmbeddedServer]) -> None:
    model, _ = served

    async def ballots() -> list[str]:
        requests = [ask(schema=ballot_schema(3), temperature=1.0, seed=i, max_tokens=300) for i in range(20)]
        return [r.text for r in await asyncio.gather(*(complete(model, r) for r in requests))]

    for text in asyncio.run(ballots()):
        assert set(json.loads(text)) == {"reason", "ranking"}


def test_slots_answer_at_the_same_time(served: tuple[EmbeddedModel, EmbeddedServer]) -> None:
    model, _ = served
    running, most = 0, 0

    async def one(seed: int) -> None:
        nonlocal running, most
        begun = False
        async for chunk in model.stream(ask(seed=seed, max_tokens=200, temperature=1.0)):
            if chunk.text and not begun:
                begun = True
                running += 1
                most = max(most, running)
        running -= int(begun)

    async def all_() -> None:
        await asyncio.gather(*(one(i) for i in range(8)))

    asyncio.run(all_())
    assert most >= 2


def test_a_killed_server_is_started_again(served: tuple[EmbeddedModel, EmbeddedServer]) -> None:
    model, server = served
    asyncio.run(complete(model, ask(max_tokens=8)))
    first = server.pid
    assert first is not None
    psutil.Process(first).kill()
    psutil.wait_procs([psutil.Process(first)] if psutil.pid_exists(first) else [], timeout=5)
    asyncio.run(complete(model, ask(max_tokens=8)))
    assert server.pid not in (None, first)


def test_leaving_an_answer_stops_the_model(served: tuple[EmbeddedModel, EmbeddedServer]) -> None:
    model, _ = served

    async def leave() -> str:
        async with contextlib.aclosing(model.stream(ask(max_tokens=1000))) as chunks:
            async for _ in chunks:
                break
        return (await asyncio.wait_for(complete(model, ask(max_tokens=8)), 30)).text

    assert asyncio.run(leave()) is not None


def test_what_does_not_fit_the_context_is_refused_as_too_long(served: tuple[EmbeddedModel, EmbeddedServer]) -> None:
    model, _ = served
    with pytest.raises(BackendRejectedError) as refused:
        asyncio.run(complete(model, ask("word " * 9000)))
    assert refused.value.too_long


def test_a_file_that_is_no_model_is_told_in_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "broken.gguf"
    file.write_bytes(b"GGUF" + b"\0" * 64)
    host = EmbeddedHost()
    server = host.add(EmbeddedServer(file, slots=1, context_tokens=512))
    try:
        with pytest.raises(BackendError, match=r"broken"):
            asyncio.run(complete(EmbeddedModel("broken", server, host), ask()))
    finally:
        host.stop()


def test_the_memory_arithmetic_is_the_architecture_s(tiny: Path) -> None:
    worker, synthesizer = KNOWN["qwen2.5:3b"], KNOWN["qwen2.5:7b"]
    assert worker.kv_bytes(1) == 36864  # 2 x 36 layers x 2 heads x 128 x 2 bytes
    assert synthesizer.kv_bytes(1) == 57344  # 2 x 28 x 4 x 128 x 2
    gib = 1024**3
    eight = Memory(16 * gib, 12 * gib, (("GPU", 8 * gib, int(7.5 * gib)),))
    assert plan(worker, synthesizer, 6, 4096, eight).mode == "phases"
    assert plan(worker, worker, 6, 4096, eight).mode == "lite"
    assert plan(worker, synthesizer, 6, 4096, Memory(32 * gib, 28 * gib, ())).mode == "together"
    assert plan(worker, synthesizer, 6, 4096, Memory(8 * gib, 5 * gib, ())).mode == "lite"
    shape = read_shape(tiny, "tiny")
    assert (shape.layers, shape.kv_heads, shape.head_width) == (2, 2, 16)


def test_the_child_does_not_outlive_a_killed_parent(tiny: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from innercouncil.llm.embedded import EmbeddedServer\n"
        f"server = EmbeddedServer(Path({str(tiny)!r}), slots=1, context_tokens=512); server.start()\n"
        "print(server.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.is_running()
        parent.kill()
    assert psutil.wait_procs([child], timeout=20)[1] == []


def test_a_host_serves_one_loop_after_another(tiny: Path) -> None:
    host = EmbeddedHost(together=False)
    first, second = (host.add(EmbeddedServer(tiny, slots=1, context_tokens=n)) for n in (256, 512))

    async def hold(server: EmbeddedServer) -> None:
        async with host.use(server):
            await asyncio.sleep(0.01)

    async def work() -> None:
        await asyncio.gather(hold(first), hold(second))

    for _ in range(3):
        asyncio.run(work())
