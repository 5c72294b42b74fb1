"""Many adapters behind one port, as vLLM serves them: who is asked, what is refused, and what breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import msgspec
import pytest
from wire_server import REQUEST, SCHEMA

from innercouncil.llm.openai_compatible import OpenAIModel
from innercouncil.model.errors import BackendBusyError, BackendError, BackendGarbageError, ModelMissingError
from innercouncil.model.ports import ChatRequest, Reply, complete
from vllm_server import VllmServer

BASE = "Qwen/Qwen2.5-3B-Instruct"
NAMES = ("mender-0123456789ab", "doubter-ba9876543210", "planner-00ff00ff00ff")
FOLDERS = {name: f"loras/persona_{name}" for name in NAMES}


def asked(adapter: str | None, **more: Any) -> ChatRequest:
    return msgspec.structs.replace(REQUEST, adapter=adapter, **more)


def with_server(
    work: Callable[[VllmServer, OpenAIModel], Awaitable[None]], adapters: dict[str, str] = FOLDERS, **options: Any
) -> None:
    async def whole() -> None:
        async with VllmServer(BASE, adapters, **options) as server:
            await work(server, OpenAIModel(BASE, url=server.url, sleep=_at_once))

    asyncio.run(whole())


async def _at_once(_seconds: float) -> None:
    pass


async def each(model: OpenAIModel, *adapters: str | None) -> list[Reply | BaseException]:
    return await asyncio.gather(*(complete(model, asked(a)) for a in adapters), return_exceptions=True)


def test_each_request_is_answered_by_its_own_adapter_while_all_are_under_way():
    async def work(server: VllmServer, model: OpenAIModel) -> None:
        wanted = [*NAMES, None] * 3
        replies = await each(model, *wanted)
        assert [r.text.split(" on: ")[0] for r in replies] == [name or BASE for name in wanted]
        assert all(r.usage is not None and r.usage.completion_tokens == 5 for r in replies)
        assert sorted(b["model"] for b in server.bodies) == sorted(name or BASE for name in wanted)

    with_server(work, at_once=12)


def test_the_list_is_read_once_and_a_request_for_the_base_needs_none():
    async def work(server: VllmServer, model: OpenAIModel) -> None:
        await complete(model, asked(None))
        assert server.paths == ["/v1/chat/completions"]
        for name in (*NAMES, *NAMES):
            await complete(model, asked(name))
        assert server.paths.count("/v1/models") == 1

    with_server(work)


def test_a_schema_goes_along_with_an_adapter():
    async def work(server: VllmServer, model: OpenAIModel) -> None:
        reply = await complete(model, asked(NAMES[0], schema=SCHEMA))
        assert msgspec.json.decode(reply.text)["ranking"] == "A > B"
        assert server.bodies[0]["response_format"]["json_schema"]["schema"] == SCHEMA

    with_server(work)


@pytest.mark.parametrize("lists", [True, False], ids=["vllm", "a server that answers to any name"])
def test_an_adapter_that_is_not_served_is_told_in_one_sentence_and_nothing_is_sent(lists):
    async def work(server: VllmServer, model: OpenAIModel) -> None:
        with pytest.raises(ModelMissingError) as error:
            await complete(model, asked("mender-ffffffffffff"))
        words = str(error.value)
        assert "does not serve the adapter mender-ffffffffffff" in words
        assert "tune vllm" in words and "tune unseat --persona mender`" in words
        assert words.count(". ") == 0 and words.endswith(".")
        assert server.bodies == []

    with_server(work, lists=lists)


def test_adapters_may_come_and_go_while_it_runs():
    async def work(server: VllmServer, model: OpenAIModel) -> None:
        async with httpx.AsyncClient(base_url=server.url) as client:
            with pytest.raises(ModelMissingError):
                await complete(model, asked("new-0123456789ab"))
            said = await client.post("/load_lora_adapter", json={"lora_name": "new-0123456789ab", "lora_path": "/x"})
            assert said.status_code == 200
            assert (await complete(model, asked("new-0123456789ab"))).text.startswith("new-0123456789ab on")
            await client.post("/unload_lora_adapter", json={"lora_name": "new-0123456789ab"})
            with pytest.raises(ModelMissingError, match="does not serve the adapter new-0123456789ab"):
                await complete(model, asked("new-0123456789ab"))
            assert (await complete(model, asked(NAMES[0]))).text.startswith(NAMES[0])

    with_server(work)


@pytest.mark.parametrize(("how", "kind"), [("cut", BackendGarbageError), ("error", BackendBusyError)])
def test_a_stream_that_breaks_is_the_trouble_of_one_persona(how, kind):
    async def work(server: VllmServer, model: OpenAIModel) -> None:
        server.broken[NAMES[1]] = how
        first, second, third = await each(model, *NAMES)
        assert isinstance(first, Reply) and isinstance(third, Reply)
        assert isinstance(second, kind), second
        assert NAMES[1] in str(second)

    with_server(work, at_once=3)


def test_a_list_that_cannot_be_read_is_no_adapter():
    async def work(server: VllmServer, model: OpenAIModel) -> None:
        lost = OpenAIModel(BASE, url=server.url + "/nowhere", sleep=_at_once)
        with pytest.raises(BackendError):
            await complete(lost, asked(NAMES[0]))
        assert server.bodies == []

    with_server(work)
