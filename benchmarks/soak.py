"""Hold many councils against a backend that fails at random, and see that nothing is lost and nothing piles up.

    uv run python benchmarks/soak.py [--sessions 2000] [--share 0.2] [--at-once 4] [--seed 0] [--patience 1]

The sessions run through the real council code in one process, against a local HTTP server in another that speaks the
OpenAI-compatible protocol and breaks a share of the requests, by seed: connection dropped, HTTP 500 and 429, a stream cut or
garbled, no text, a refusal, a slow one, ballots that are no JSON; and it hangs: never answers, or says no more in the middle,
and keeps the connection. The council waits five minutes for an answer to begin and one for it to go on; here --patience
seconds for either, or a soak would take days. A share of the sessions is stopped in the middle and resumed.
Printed as JSON: how the sessions ended, memory (resident, after the first tenth and at the end, and its slope by least
squares over all but the first tenth), open files, threads and child processes before and after. Exit code 1 where a session
is missing or still running, a standing answer is empty, or files, threads or children are left.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import multiprocessing
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from faulty_server import FAULTS, HANGS, FaultyServer
from innercouncil.app.council import House, options_from
from innercouncil.app.council_settings import CouncilSettings
from innercouncil.app.personas import create_persona
from innercouncil.llm.openai_compatible import OpenAIModel
from innercouncil.model.card import PersonaCard
from innercouncil.model.council import Answered, SessionRecord
from innercouncil.model.errors import InnerCouncilError
from innercouncil.store.workspace import Workspace

STOPPED = 0.03
"""Share of sessions that are stopped after their first answer and resumed."""


class BadBallots(FaultyServer):
    """Some ballots, too, are no JSON."""

    def _text(self, body: dict[str, Any], fault: str) -> str:
        text = super()._text(body, fault)
        return text[: len(text) // 2] if "response_format" in body and self._random.random() < self._share else text


def serve(share: float, seed: int, told: Connection) -> None:
    async def run() -> None:
        async with BadBallots(share, seed, faults=(*FAULTS, *HANGS)) as server:
            told.send(server.port)
            await asyncio.to_thread(told.poll, None)
            told.send(dict(server.met))

    asyncio.run(run())


def held_now() -> dict[str, int]:
    process = psutil.Process()
    gc.collect()
    return {
        "files": process.num_fds() if hasattr(process, "num_fds") else process.num_handles(),
        "threads": threading.active_count(),
        "children": len(process.children(recursive=True)),
        "zombies": sum(c.status() == psutil.STATUS_ZOMBIE for c in process.children()),
    }


async def one(house: House, number: int, draw: random.Random) -> SessionRecord:
    options = options_from(
        {"answer_tokens": 40, "synthesis_tokens": 40, "seed": number, "baselines": draw.random() < 0.1},
        house.default_options(),
    )
    session = await house.ask(f"What about number {number}?", options=options)
    if draw.random() < STOPPED:
        async for event in house.events(session):
            if isinstance(event, Answered) and session in house.running():
                house.stop(session)
        if (await house.wait(session)).status != "done":
            await house.resume(session)
    return await house.wait(session)


async def soak(folder: Path, port: int, sessions: int, at_once: int, seed: int) -> dict[str, Any]:
    house = House(Workspace(folder))
    house.backends.change(CouncilSettings(worker=f"http://127.0.0.1:{port}/v1#any", lite=True, context_tokens=8192))
    for name in ("Planner", "Doubter", "Maker"):
        create_persona(house.cards, PersonaCard(name=name, system=f"You are the {name}."))
    draw, waiting = random.Random(seed), iter(range(sessions))
    memory: list[int] = []
    refused: Counter[str] = Counter()
    before: dict[str, int] = {}

    async def worker() -> None:
        for number in waiting:
            try:
                await one(house, number, draw)
            except InnerCouncilError as error:
                refused[type(error).__name__] += 1
            memory.append(psutil.Process().memory_info().rss)
            if len(memory) == max(1, sessions // 10):
                before.update(held_now())

    began = time.monotonic()
    await asyncio.gather(*(worker() for _ in range(at_once)))
    seconds = time.monotonic() - began
    after = held_now()
    running = house.running()
    result = {
        "sessions": sessions, "seconds": round(seconds), **kept(house), "refused": dict(refused), "running": len(running),
        "memory": slope(memory), "held_early": before, "held_at_end": after,
    }  # fmt: skip
    await house.close()
    return result


def kept(house: House) -> dict[str, Any]:
    """What the database says of every session."""
    ended: Counter[str] = Counter()
    hollow, faults, before = 0, Counter[str](), None
    while True:
        page = house.sessions.page(before=before, limit=200)
        for summary in page.sessions:
            record = house.sessions.get(summary.id)
            ended[record.status] += 1
            faults.update(a.status for a in record.answers)
            hollow += sum(a.stands and not a.text for a in record.answers)
            hollow += record.status == "failed" and not record.problem
        before = page.next
        if before is None:
            return {"kept": page.total, "ended": dict(ended), "answers": dict(faults), "hollow": hollow}


def slope(memory: list[int]) -> dict[str, float]:
    """MiB after the first tenth and at the end, KiB a session in between (least squares)."""
    late = np.array(memory[len(memory) // 10 :], dtype=float)
    rise = float(np.polyfit(np.arange(len(late)), late, 1)[0]) if len(late) > 1 else 0.0
    half = late[len(late) // 2 :]
    second = float(np.polyfit(np.arange(len(half)), half, 1)[0]) if len(half) > 1 else 0.0
    return {
        "early_mib": round(late[0] / 2**20, 1), "end_mib": round(late[-1] / 2**20, 1),
        "kib_a_session": round(rise / 1024, 2), "kib_a_session_second_half": round(second / 1024, 2),
    }  # fmt: skip


def sound(result: dict[str, Any], at_once: int) -> bool:
    """Whether nothing was lost and nothing piled up; connections that are kept open may differ by those under way."""
    early, end = result["held_early"], result["held_at_end"]
    return (
        result["kept"] + sum(result["refused"].values()) == result["sessions"]
        and not set(result["ended"]) - {"done", "failed"}
        and not result["hollow"]
        and not result["running"]
        and not end["zombies"]
        and end["files"] <= early["files"] + 8 * at_once
        and end["threads"] <= early["threads"] + at_once
        and end["children"] <= early["children"]
    )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sessions", type=int, default=2000)
    parser.add_argument("--share", type=float, default=0.2, help="of the requests that fail")
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--patience", type=float, default=1.0, help="seconds of silence after which an answer is given up"
    )
    given = parser.parse_args(argv)
    waits = OpenAIModel.__init__.__kwdefaults__
    assert waits is not None
    waits |= {"first_token_s": given.patience, "stall_s": given.patience}
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(given.share, given.seed, there))
    server.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            result = asyncio.run(soak(Path(folder), here.recv(), given.sessions, given.at_once, given.seed))
    finally:
        here.send("end")
        met = here.recv()
        server.join(10)
    result["requests"] = {"fine": met.pop("", 0), **dict(sorted(met.items()))}
    print(json.dumps(result, indent=2))
    return 0 if sound(result, given.at_once) else 1


if __name__ == "__main__":
    sys.exit(main())
