"""app.run_questions: sets of questions, cut off and failing, with a real server that fails and a real tiny model."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from faulty_server import FaultyServer
from innercouncil.app.council import House, options_from
from innercouncil.app.council_settings import CouncilSettings
from innercouncil.app.personas import create_persona
from innercouncil.app.question_sets import bundled, from_file, from_history
from innercouncil.app.run_questions import BatchSummary, Run, Step
from innercouncil.model.card import PersonaCard
from innercouncil.model.errors import UsageError, WorkspaceError
from innercouncil.questions import varied
from innercouncil.store.workspace import Workspace
from tiny_model import build_tiny_model

QUESTIONS = [f"What about number {n}?" for n in range(6)]


def opened(folder: Path, settings: CouncilSettings) -> House:
    house = House(Workspace(folder))
    house.backends.change(settings)
    if not house.cards.all():
        for name in ("Planner", "Doubter", "Maker"):
            create_persona(house.cards, PersonaCard(name=name, system=f"You are the {name}."))
    return house


async def played(house: House, questions: list[str] = QUESTIONS, **more: Any) -> tuple[BatchSummary, list[Step]]:
    steps: list[Step] = []
    options = options_from({"answer_tokens": 40, "synthesis_tokens": 40}, house.default_options())
    return await Run(house, questions, personas=None, options=options, step=steps.append, **more).play(), steps


def asked(house: House) -> Counter[str]:
    return Counter(s.question for s in house.sessions.page(limit=200).sessions)


def at(port: int) -> CouncilSettings:
    return CouncilSettings(worker=f"http://127.0.0.1:{port}/v1#any", lite=True)


def test_the_bundled_set_is_sixty_questions_ten_a_topic() -> None:
    questions = varied()
    assert len({q.question for q in questions}) == len({q.id for q in questions}) == 60
    assert set(Counter(q.topic for q in questions).values()) == {10}
    assert len({q.topic for q in questions[:6]}) == 6, "the first few cover all topics"


def test_again_it_does_nothing_more_and_more_questions_join(tmp_path: Path) -> None:
    async def work() -> None:
        async with FaultyServer(0) as server:
            house = opened(tmp_path, at(server.port))
            first, steps = await played(house, QUESTIONS[:4])
            assert (first.done, first.failed, first.done_before) == (4, 0, 0)
            assert [s.number for s in steps] == [1, 2, 3, 4]
            assert steps[-1].left == 0
            assert first.completion_tokens > 0
            requests = server.requests
            again, steps = await played(house, QUESTIONS[:4])
            assert (again.done, again.done_before, steps, again.completion_tokens) == (4, 4, [], 0)
            assert again.sessions == first.sessions
            assert server.requests == requests, "nothing was asked"
            more, steps = await played(house)
            assert (more.done, more.done_before, steps[0].number) == (6, 4, 5)
            assert set(asked(house).values()) == {1}
            await house.close()

    asyncio.run(work())


def test_what_fails_is_tried_once_more_then_counted(tmp_path: Path) -> None:
    async def work() -> None:
        met: Counter[str] = Counter()

        def plan(body: dict[str, Any]) -> str:
            text = str(body["messages"])
            met["asked"] += "number 2" in text
            broken = "number 2" in text or ("number 1?" in text and met["one"] < 3)
            met["one"] += "number 1?" in text
            return "empty" if broken else ""

        async with FaultyServer(0, plan=plan) as server:
            house = opened(tmp_path, at(server.port))
            summary, steps = await played(house, QUESTIONS[:4])
            assert (summary.done, summary.failed, summary.unasked) == (3, 1, 0)
            assert [s.state for s in steps] == ["done", "done", "given up", "done"]
            assert asked(house)["What about number 2?"] == 2
            assert asked(house)["What about number 1?"] == 2, "its first session failed too"
            requests = met["asked"]
            assert (await played(house, QUESTIONS[:4]))[0].failed == 1
            assert met["asked"] == requests, "given up is not asked again"
            await played(house, QUESTIONS[:4], again=True)
            assert met["asked"] > requests
            await house.close()

    asyncio.run(work())


def test_a_model_that_is_gone_ends_the_run_and_the_rest_is_asked_later(tmp_path: Path) -> None:
    async def work() -> None:
        gone = {"now": True}
        async with FaultyServer(0, plan=lambda _body: "empty" if gone["now"] else "") as server:
            house = opened(tmp_path, at(server.port))
            summary, _ = await played(house)
            assert (summary.failed, summary.unasked, summary.done) == (3, 3, 0)
            assert summary.problem
            gone["now"] = False
            later, _ = await played(house, again=True)
            assert (later.done, later.failed) == (6, 0)
            await house.close()

    asyncio.run(work())


SCRIPT = textwrap.dedent(
    """
    import asyncio, sys
    sys.path[:0] = sys.argv[2:]
    from pathlib import Path
    from test_run_questions import QUESTIONS, Run, options_from
    from innercouncil.app.council import House
    from innercouncil.store.workspace import Workspace
    async def main():
        h = House(Workspace(Path(sys.argv[1])))
        options = options_from({"answer_tokens": 40, "synthesis_tokens": 40}, h.default_options())
        await Run(h, QUESTIONS, personas=None, options=options, step=lambda s: print(s.number, flush=True)).play()
    asyncio.run(main())
    """
)


def test_killed_again_and_again_every_question_is_asked_once(tmp_path: Path) -> None:
    """`kill -9` at a moment of its own in each run, with the real tiny model in the real llama.cpp."""
    model = build_tiny_model(tmp_path / "tiny.gguf", ending=4.5)
    tiny = CouncilSettings(worker=str(model), lite=True, context_tokens=8192)
    folder = tmp_path / "data"
    asyncio.run(opened(folder, tiny).close())
    paths = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
    for moment in (1, 2):
        command = [sys.executable, "-c", SCRIPT, str(folder), *paths]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for _ in range(moment):
                assert child.stdout.readline()
            os.kill(child.pid, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)

    async def rest() -> None:
        house = opened(folder, tiny)
        assert 0 < sum(asked(house).values()) <= 6
        summary, _ = await played(house)
        assert (summary.done, summary.failed) == (6, 0)
        assert asked(house) == Counter(dict.fromkeys(QUESTIONS, 1))
        await house.close()

    asyncio.run(rest())


def test_killed_between_a_session_and_its_line_the_session_is_found(tmp_path: Path) -> None:
    async def work() -> None:
        async with FaultyServer(0) as server:
            house = opened(tmp_path, at(server.port))
            await played(house, QUESTIONS[:2])
            (file,) = (tmp_path / "batches").glob("*.jsonl")
            lines = file.read_bytes().splitlines(keepends=True)
            file.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])
            again, _ = await played(house, QUESTIONS[:2])
            assert (again.done, again.done_before) == (2, 2)
            assert set(asked(house).values()) == {1}
            await house.close()

    asyncio.run(work())


def test_one_batch_runs_once_at_a_time(tmp_path: Path) -> None:
    async def work() -> None:
        async with FaultyServer(0, plan=lambda _body: "slow") as server:
            house = opened(tmp_path, at(server.port))
            first = asyncio.create_task(played(house, QUESTIONS[:2]))
            await asyncio.sleep(0.05)
            with pytest.raises(WorkspaceError, match="another innercouncil process"):
                await played(house, QUESTIONS[:2])
            assert (await first)[0].done == 2
            await house.close()

    asyncio.run(work())


def test_questions_of_a_file_and_what_is_wrong_with_one(tmp_path: Path) -> None:
    file = tmp_path / "questions.txt"
    file.write_text('Why?\n\n{"question": " How? ", "topic": "x"}\n', "utf-8")
    assert from_file(file) == ["Why?", "How?"]
    for content in (
        b"",
        b"\n \n",
        b'{"question": 1}\n',
        b'{"q": "x"}\n',
        b"{]\n",
        b"\xff\xfe",
        b"a" * 30_000,
        b"a\x00b",
    ):
        file.write_bytes(content)
        with pytest.raises(UsageError) as told:
            from_file(file)
        assert str(told.value).startswith(str(file))
    with pytest.raises(UsageError):
        from_file(tmp_path)


def test_questions_of_the_persons_own_come_from_every_persona(discovered: tuple[Any, Path]) -> None:
    ws = Workspace(discovered[1])
    personas = len(discovered[0].discovery.personas)
    few, many = from_history(ws, personas, 1), from_history(ws, personas * 3, 1)
    assert len(few) == personas
    assert many[:personas] == few
    assert len(set(many)) == len(many)
    assert from_history(ws, personas, 2) != few
    assert not set(many) & set(bundled())


def test_a_clock_set_back_before_a_kill_does_not_ask_a_question_twice(tmp_path: Path) -> None:
    async def work() -> None:
        async with FaultyServer(0) as server:
            house = opened(tmp_path, at(server.port))
            await played(house, QUESTIONS[:2])
            (file,) = (tmp_path / "batches").glob("*.jsonl")
            lines = file.read_bytes().splitlines(keepends=True)
            file.write_bytes(b"".join(lines[:-1]))
            with house.database.transaction() as db:  # the second session as if the clock had gone back a year
                db.execute("UPDATE session SET created_at = '2001-01-01T00:00:00.000+00:00' WHERE number = 2")
            again, _ = await played(house, QUESTIONS[:2])
            assert (again.done, again.done_before) == (2, 2)
            assert set(asked(house).values()) == {1}
            newest = house.sessions.page().sessions
            assert [s.question for s in newest] == QUESTIONS[1::-1], "the order of sessions is that of their beginning"
            await house.close()

    asyncio.run(work())
