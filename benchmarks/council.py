"""What the council adds to its models, and how soon the web app is there: each figure beside a baseline of the same run.

    uv run python benchmarks/council.py first-token [--rounds 40] [--json]
    uv run python benchmarks/council.py overhead [--rounds 5] [--json]
    uv run python benchmarks/council.py start [--rounds 7] [--json]
    uv run python benchmarks/council.py sessions [--sessions 10000] [--rounds 15] [--json]

The model is the tests' tiny Qwen2 in the real llama.cpp server, for `overhead` one about as slow as a 3B model on a GPU.

first-token  from the call of `House.ask` to the first piece of an answer, against the same requests sent to the same
             llama.cpp server by plain httpx, three at a time, the two taking turns
overhead     the part of a session in which no call to a model is under way
start        from `python run.py` to the last byte of the first page, against importing starlette and uvicorn alone
sessions     list and search pages of a workspace with many stored sessions, against the same with fifty
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from innercouncil.app.council import House, options_from  # noqa: E402
from innercouncil.app.council_settings import CouncilSettings  # noqa: E402
from innercouncil.app.personas import create_persona  # noqa: E402
from innercouncil.council.deliberation import Deliberation  # noqa: E402
from innercouncil.model.card import PersonaCard  # noqa: E402
from innercouncil.model.council import (  # noqa: E402
    Answer,
    AnswerDelta,
    Answered,
    Council,
    CouncilOptions,
    Finished,
    Synthesis,
    Synthesised,
    Timing,
    Worker,
)
from innercouncil.model.ports import ChatModel, ChatRequest, Chunk  # noqa: E402
from innercouncil.store.database import Database  # noqa: E402
from innercouncil.store.sessions import SessionStore  # noqa: E402
from innercouncil.store.workspace import Workspace  # noqa: E402
from tiny_model import WORDS, build_tiny_model  # noqa: E402 - the tests' own model

PROMPT = "You think like an engineer who wants the smallest thing that works. " * 30
TIMING = Timing(started=0, first_token=1, finished=2)
QUESTION = "Should the index be rebuilt every night, or only when it is found to be stale?"


class Timed:
    """A model that notes its requests, and when a call to it was under way."""

    def __init__(self, model: ChatModel) -> None:
        self._model, self.requests, self.spans = model, list[ChatRequest](), list[tuple[float, float]]()

    @property
    def name(self) -> str:
        return self._model.name

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        self.requests.append(request)
        start = time.perf_counter()
        try:
            async with contextlib.aclosing(self._model.stream(request)) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            self.spans.append((start, time.perf_counter()))

    def covered(self) -> float:
        """Seconds in which at least one call was under way."""
        total, end = 0.0, 0.0
        for a, b in sorted(self.spans):
            total += max(0.0, b - max(a, end))
            end = max(end, b)
        return total


@contextlib.asynccontextmanager
async def council(folder: Path, *, feed_forward: int, ending: float) -> AsyncGenerator[House, None]:
    path = build_tiny_model(folder / "tiny.gguf", ending=ending, feed_forward=feed_forward)
    house = House(Workspace(folder / "data"))
    try:
        house.backends.change(CouncilSettings(worker=str(path), lite=True, context_tokens=8192))
        for name in ("Maker", "Doubter", "Planner"):
            create_persona(house.cards, PersonaCard(name=name, system=f"{PROMPT} You are the {name}."))
        yield house
    finally:
        await house.close()


async def first_token(rounds: int, folder: Path) -> dict[str, Any]:
    async with council(folder, feed_forward=128, ending=4.5) as house:
        options = options_from(
            {"answer_tokens": 16, "ballot_tokens": 64, "synthesis_tokens": 16}, house.default_options()
        )
        seats = await house.backends.seats()
        timed = Timed(seats.worker)
        session = await house.ask(QUESTION, options=options)
        record = await house.wait(session)
        async for _ in Deliberation("x", record.council, timed, timed).events():
            pass
        requests = timed.requests[:3]
        url, key = next(iter(house.backends._servers.values())).start()
        added, direct = [], []
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as client:

            async def plain(request: ChatRequest) -> float:
                """Turns to a prompt, prompt to a stream: the two calls a client of this server makes."""
                messages = [{"role": t.role, "content": t.content} for t in request.turns]
                prompt = (await client.post("/apply-template", json={"messages": messages})).json()["prompt"]
                body = {
                    "prompt": prompt,
                    "stream": True,
                    "n_predict": 16,
                    "cache_prompt": True,
                    "temperature": request.temperature,
                }
                first = 0.0
                async with client.stream("POST", "/completion", json=body) as response:
                    async for line in response.aiter_lines():
                        if line.startswith("data:") and json.loads(line[5:]).get("content") and not first:
                            first = time.perf_counter()
                return first

            for _ in range(rounds):
                start = time.perf_counter()
                direct.append(min(await asyncio.gather(*(plain(r) for r in requests))) - start)
                start = time.perf_counter()
                session = await house.ask(QUESTION, options=options)
                first = 0.0
                async for event in house.events(session):
                    if isinstance(event, AnswerDelta) and not first:
                        first = time.perf_counter()
                added.append(first - start)
    council_ms, direct_ms = (1000 * statistics.median(x) for x in (added, direct))
    return {"rounds": rounds, "direct_ms": direct_ms, "council_ms": council_ms, "added_ms": council_ms - direct_ms,
            "ratio": council_ms / direct_ms}  # fmt: skip


async def overhead(rounds: int, folder: Path) -> dict[str, Any]:
    parts, totals = [], []
    async with council(folder, feed_forward=1 << 16, ending=-9.0) as house:
        options = options_from({"answer_tokens": 150, "synthesis_tokens": 200}, house.default_options())
        await house.wait(await house.ask(QUESTION, options=options))
        opened = house.backends._model
        for _ in range(rounds):
            timed: list[Timed] = []

            def wrap(*args: Any, timed: list[Timed] = timed, **more: Any) -> Timed:
                timed.append(Timed(opened(*args, **more)))
                return timed[-1]

            house.backends._model = wrap  # type: ignore[method-assign, assignment]
            start = time.perf_counter()
            record = await house.wait(await house.ask(QUESTION, options=options))
            total = time.perf_counter() - start
            assert record.status == "done"
            every = Timed(timed[0])
            every.spans = [span for t in timed for span in t.spans]
            parts.append(total - every.covered())
            totals.append(total)
    share = statistics.median(p / t for p, t in zip(parts, totals, strict=True))
    return {"rounds": rounds, "session_s": statistics.median(totals), "overhead_ms": 1000 * statistics.median(parts),
            "overhead_percent": 100 * share}  # fmt: skip


@contextlib.contextmanager
def served(workspace: Path) -> Iterator[tuple[str, float, int]]:
    """The web app in a process of its own: its address, when it was started, and its process id."""
    environment = {**os.environ, "OLLAMA_HOST": "127.0.0.1:9"}
    command = [
        sys.executable,
        str(ROOT / "run.py"),
        "--port",
        str(random.randint(20_000, 60_000)),
        "--workspace",
        str(workspace),
    ]
    start = time.perf_counter()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr
        said = process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", said)
        assert found, said
        yield found[0], start, process.pid
        process.terminate()


def start(rounds: int, folder: Path) -> dict[str, Any]:
    ours, bare = [], []
    for _ in range(rounds):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import starlette.applications, uvicorn"], check=True)
        bare.append(time.perf_counter() - begin)
        with served(folder / "data") as (address, begin, _):
            httpx.get(address).raise_for_status()
            ours.append(time.perf_counter() - begin)
    first, base = statistics.median(ours), statistics.median(bare)
    return {"rounds": rounds, "first_page_s": first, "imports_alone_s": base, "ratio": first / base}


def fill(path: Path, count: int) -> None:
    """Sessions of four workers with answers of 150 words, as `SessionStore` writes them."""
    rng = random.Random(0)
    database = Database(path)
    store = SessionStore(database)

    def text(words: int) -> str:
        return " ".join(rng.choices(WORDS, k=words))

    workers = tuple(
        Worker(seat=seat, slug=f"p{seat}", name=f"Persona {seat}", description="", system=PROMPT, temperature=0.7, version=None)
        for seat in range(4)
    )  # fmt: skip
    for n in range(count):
        question = f"{text(12)} {'walrus' if n % 1000 == 7 else ''} {n}?"
        seated = Council(
            question=question, workers=workers, worker_model="w", synthesizer_model="s", options=CouncilOptions()
        )
        session = store.begin(seated)
        for seat in range(4):
            store.record(
                session,
                Answered(Answer(part="council", seat=seat, round=0, text=text(150), status="ok", timing=TIMING)),
            )
        store.record(session, Synthesised(Synthesis(part="council", text=text(150), status="ok", timing=TIMING)))
        store.record(session, Finished("done", ""))
        if sys.stderr.isatty() and n % 500 == 0:
            print(f"\r{n} of {count} sessions written", end="", file=sys.stderr)
    database.close()


def sessions(rounds: int, count: int, folder: Path) -> dict[str, Any]:
    pages = {
        "list": "/api/sessions?limit=30", "search_rare": "/api/sessions?query=walrus", "search_common": "/api/sessions?query=the+plan",
        "page": "/sessions?query=walrus",
    }  # fmt: skip
    out: dict[str, Any] = {"sessions": count, "rounds": rounds}
    for label, number in (("few", 50), ("many", count)):
        workspace = folder / label
        workspace.mkdir()
        fill(workspace / "council.db", number)
        with served(workspace) as (address, _, _), httpx.Client(base_url=address) as client:
            for name, path in pages.items():
                times = []
                for _ in range(rounds):
                    begin = time.perf_counter()
                    client.get(path).raise_for_status()
                    times.append(1000 * (time.perf_counter() - begin))
                out[f"{name}_{label}_ms"] = statistics.median(times)
    for name in pages:
        out[f"{name}_ratio"] = out[f"{name}_many_ms"] / out[f"{name}_few_ms"]
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["first-token", "overhead", "start", "sessions"])
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if given.what == "first-token":
            result = asyncio.run(first_token(given.rounds or 40, folder))
        elif given.what == "overhead":
            result = asyncio.run(overhead(given.rounds or 5, folder))
        elif given.what == "start":
            result = start(given.rounds or 7, folder)
        else:
            result = sessions(given.rounds or 15, given.sessions, folder)
    if given.json:
        print(json.dumps(result, indent=1))
    else:
        for name, value in result.items():
            print(f"{name:20} {value:.3f}" if isinstance(value, float) else f"{name:20} {value}")


if __name__ == "__main__":
    main()
