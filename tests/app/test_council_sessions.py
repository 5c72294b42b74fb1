"""app.council: whole sessions with a real tiny model, and with a server that fails."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from faulty_server import FaultyServer
from innercouncil.app.council import House, options_from
from innercouncil.app.council_settings import CouncilSettings
from innercouncil.app.personas import create_persona
from innercouncil.model.card import PersonaCard
from innercouncil.model.council import (
    AnswerDelta,
    Answered,
    Event,
    Finished,
    SessionRecord,
    Started,
    SynthesisDelta,
    Synthesised,
    Tallied,
    Voted,
)
from innercouncil.model.errors import UsageError
from innercouncil.store.workspace import Workspace
from tiny_model import build_tiny_model

NAMES = ("Planner", "Doubter", "Maker", "Reader", "Keeper", "Seeker")
SHORT = {"answer_tokens": 60, "synthesis_tokens": 80}


@contextlib.asynccontextmanager
async def house(folder: Path, settings: CouncilSettings, people: int = 3) -> AsyncGenerator[House, None]:
    opened = House(Workspace(folder))
    try:
        opened.backends.change(settings)
        for name in NAMES[: people - len(opened.cards.all())]:
            create_persona(opened.cards, PersonaCard(name=name, system=f"You are the {name}."))
        yield opened
    finally:
        await opened.close()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> CouncilSettings:
    path = build_tiny_model(tmp_path_factory.mktemp("model") / "tiny.gguf", ending=4.5)
    return CouncilSettings(worker=str(path), lite=True, context_tokens=8192)


async def held(h: House, question: str = "What should come first?", **more: Any) -> tuple[list[Event], SessionRecord]:
    options = options_from({**SHORT, **more.pop("options", {})}, h.default_options())
    session = await h.ask(question, options=options, **more)
    return [e async for e in h.events(session)], await h.wait(session)


def kinds(events: list[Event], *wanted: type) -> list[Any]:
    return [e for e in events if isinstance(e, wanted)]


def test_a_whole_session_in_order_and_kept_as_it_was_shown(tmp_path: Path, tiny: CouncilSettings) -> None:
    async def work() -> tuple[list[Event], SessionRecord]:
        async with house(tmp_path, tiny) as h:
            return await held(h)

    events, record = asyncio.run(work())
    order = [type(e) for e in events]
    assert order[0] is Started
    assert order[-1] is Finished
    assert max(i for i, t in enumerate(order) if t is Answered) < min(i for i, t in enumerate(order) if t is Voted)
    assert order.index(Tallied) < order.index(Synthesised)
    assert record.status == "done"
    for answer in record.answers:
        said = "".join(e.text for e in kinds(events, AnswerDelta) if e.seat == answer.seat)
        assert said.strip() == answer.text
        assert answer.usage is not None
    assert "".join(e.text for e in kinds(events, SynthesisDelta)).strip() == record.final
    circle = {b.voter: b.shown for b in record.ballots}
    assert all(voter not in shown for voter, shown in circle.items())
    assert len({shown[0] for shown in circle.values()}) == 3, "each voter sees another answer first"
    assert all(b.ranking for b in record.ballots)
    assert record.syntheses[0].sources


def test_baselines_revision_closed_questions_and_follow_ups(tmp_path: Path, tiny: CouncilSettings) -> None:
    async def work() -> tuple[SessionRecord, SessionRecord, SessionRecord]:
        async with house(tmp_path, tiny) as h:
            _, full = await held(h, options={"baselines": True, "rounds": 1})
            _, closed = await held(h, "Is it enough, yes or no?")
            _, follow = await held(h, "And then?", parent=full.id)
            return full, closed, follow

    full, closed, follow = asyncio.run(work())
    assert {s.part for s in full.syntheses} == {"council", "alone", "samples"}
    assert {a.round for a in full.answers if a.part == "council"} == {0, 1}
    assert not any(a.part == "samples" and a.appeals for a in full.answers)
    assert closed.tallies[0].choices == {} or closed.tallies[0].method == "plurality"
    assert {b.choice for b in closed.ballots} <= {"yes", "no", None}
    assert follow.council.history[0].question == full.council.question
    assert follow.council.history[0].answer == full.final


def test_own_answers_are_let_in_as_an_experiment_and_do_not_count(tmp_path: Path, tiny: CouncilSettings) -> None:
    async def work() -> SessionRecord:
        async with house(tmp_path, tiny) as h:
            return (await held(h, options={"own_answers": True, "answer_tokens": 16}))[1]

    record = asyncio.run(work())
    assert all(b.voter in b.shown and len(b.shown) == 3 for b in record.ballots)
    assert {b.voter: b.shown.index(b.voter) for b in record.ballots} in [{0: n, 1: n, 2: n} for n in range(3)]
    assert all(s.ballots <= 2 for s in record.tallies[0].standings), "nobody counts for himself"


def test_the_same_seed_gives_the_same_answers_and_another_seed_others(tmp_path: Path, tiny: CouncilSettings) -> None:
    async def work() -> list[SessionRecord]:
        async with house(tmp_path, tiny) as h:
            return [(await held(h, options={"seed": seed, "in_turn": True}))[1] for seed in (1, 1, 2)]

    first, again, other = asyncio.run(work())
    assert [a.text for a in first.answers] == [a.text for a in again.answers] != [a.text for a in other.answers]


def test_stopped_it_keeps_what_was_said_and_resumed_it_asks_only_for_the_rest(
    tmp_path: Path, tiny: CouncilSettings
) -> None:
    async def work() -> tuple[SessionRecord, SessionRecord, list[Event]]:
        async with house(tmp_path, tiny) as h:
            options = options_from({"answer_tokens": 1500}, h.default_options())
            session = await h.ask("What is long?", options=options)
            async for event in h.events(session):
                if isinstance(event, Answered):
                    h.stop(session)
            stopped = await h.wait(session)
            await h.resume(session)
            events = [e async for e in h.events(session)]
            return stopped, await h.wait(session), events

    stopped, done, events = asyncio.run(work())
    assert stopped.status == "stopped"
    assert done.status == "done", done.problem
    assert isinstance(events[0], Started)
    before = {a.seat: a for a in stopped.answers if a.status != "stopped"}
    assert before
    assert {a.seat: a for a in done.answers if a.seat in before} == before


def test_a_worker_is_retried_and_the_votes_are_made_anew(tmp_path: Path, tiny: CouncilSettings) -> None:
    async def work() -> tuple[SessionRecord, SessionRecord]:
        async with house(tmp_path, tiny) as h:
            _, first = await held(h)
            await h.retry(first.id, 1)
            with pytest.raises(UsageError):
                h.vote(first.id, [[0, 0]], blind=False)
            return first, await h.wait(first.id)

    first, again = asyncio.run(work())
    assert again.status == "done"
    assert [a for a in again.answers if a.seat != 1] == [a for a in first.answers if a.seat != 1]
    assert len(again.ballots) == 3


def test_killed_in_the_middle_nothing_finished_is_lost_and_it_goes_on(tmp_path: Path, tiny: CouncilSettings) -> None:
    script = textwrap.dedent(
        """
        import asyncio, sys
        from pathlib import Path
        from innercouncil.app.council import House, options_from
        from innercouncil.model.council import Answered
        from innercouncil.store.workspace import Workspace
        async def main():
            h = House(Workspace(Path(sys.argv[1])))
            session = await h.ask("Killed?", options=options_from({"answer_tokens": 1500}, h.default_options()))
            async for event in h.events(session):
                if isinstance(event, Answered):
                    print(session, flush=True)
                    await asyncio.sleep(60)
        asyncio.run(main())
        """
    )

    async def prepare() -> None:
        async with house(tmp_path, tiny):
            pass

    asyncio.run(prepare())
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        session = child.stdout.readline().strip()
        os.kill(child.pid, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)

    async def go_on() -> tuple[SessionRecord, SessionRecord]:
        async with house(tmp_path, tiny) as h:
            cut = h.sessions.get(session)
            await h.resume(session)
            return cut, await h.wait(session)

    cut, done = asyncio.run(go_on())
    assert cut.status == "stopped"
    assert "resume" in cut.problem
    kept = {a.seat: a for a in cut.answers if a.status != "stopped"}
    assert kept
    assert {a.seat: a for a in done.answers if a.seat in kept} == kept
    assert done.status == "done", done.problem


def at(port: int) -> CouncilSettings:
    return CouncilSettings(worker=f"http://127.0.0.1:{port}/v1#any", lite=True, context_tokens=8192)


def is_answer_of(body: dict[str, Any], name: str) -> bool:
    return any(f"You are the {name}" in str(m["content"]) for m in body["messages"] if m["role"] == "system")


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("drop", "failed"),
        ("cut", "failed"),
        ("garbage", "failed"),
        ("empty", "empty"),
        ("refusal", "refused"),
        ("500", "failed"),
    ],
)
def test_one_worker_fails_and_the_others_stand(tmp_path: Path, fault: str, status: str) -> None:
    async def work() -> SessionRecord:
        plan = lambda body: fault if is_answer_of(body, "Doubter") else ""  # noqa: E731
        async with FaultyServer(0, plan=plan) as server, house(tmp_path, at(server.port), 4) as h:
            return (await held(h))[1]

    record = asyncio.run(work())
    assert {a.seat: a.status for a in record.answers} == {0: "ok", 1: status, 2: "ok", 3: "ok"}
    assert record.answers[1].problem.endswith(".")
    assert record.status == "done"
    assert {s.seat for s in record.tallies[0].standings} == {0, 2, 3}
    assert record.final


def test_a_dead_synthesizer_leaves_the_winning_answer_and_says_so(tmp_path: Path) -> None:
    async def work() -> SessionRecord:
        plan = lambda body: "500" if "You write the final answer" in str(body["messages"][0]["content"]) else ""  # noqa: E731
        async with FaultyServer(0, plan=plan) as server, house(tmp_path, at(server.port)) as h:
            return (await held(h))[1]

    record = asyncio.run(work())
    assert record.status == "failed"
    assert record.final in {a.text for a in record.answers}
    assert "winning answer" in record.problem


def test_when_all_are_dead_the_session_says_so(tmp_path: Path) -> None:
    async def work() -> SessionRecord:
        async with FaultyServer(0, plan=lambda _body: "empty") as server, house(tmp_path, at(server.port)) as h:
            return (await held(h))[1]

    record = asyncio.run(work())
    assert record.status == "failed"
    assert "No worker gave an answer" in record.problem


def test_two_hundred_sessions_with_six_workers_lose_nothing_to_a_failing_server(tmp_path: Path) -> None:
    async def work() -> tuple[list[SessionRecord], int]:
        async with FaultyServer(0.25, seed=5) as server, house(tmp_path, at(server.port), 6) as h:
            few = asyncio.Semaphore(10)

            async def one(i: int) -> SessionRecord:
                async with few:
                    return (await held(h, f"Question number {i}?", options={"seed": i}))[1]

            records = await asyncio.gather(*(one(i) for i in range(200)))
            assert h.running() == []
            assert h.sessions.page(limit=1).total == 200
            assert h.sessions.running() == []
            return [h.sessions.get(r.id) for r in records], server.requests

    began = time.monotonic()
    records, requests = asyncio.run(work())
    assert requests > 200 * 10, f"{requests} requests in {time.monotonic() - began:.0f} s"
    statuses = {a.status for r in records for a in r.answers}
    assert {"ok", "failed", "empty", "refused"} <= statuses, "the faults were met"
    for record in records:
        assert record.status in ("done", "failed")
        assert {a.seat for a in record.answers} == set(range(6))
        assert all(a.stands or a.problem for a in record.answers)
        assert record.final if any(a.stands for a in record.answers) else record.problem
        assert all(b.ranking or b.abstained for b in record.ballots)


def servers() -> int:
    """llama.cpp processes this process has started and that still live."""
    found = 0
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            found += "innercouncil.llm.embedded_server" in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE
    return found


def test_other_models_free_the_memory_of_those_that_are_no_longer_used(tmp_path: Path, tiny: CouncilSettings) -> None:
    async def work() -> None:
        before = servers()
        async with house(tmp_path, tiny) as h:
            await held(h)
            assert servers() == before + 1
            h.backends.change(msgspec.structs.replace(tiny, slots=2))
            assert servers() == before, "an idle model leaves at once"

            running = await h.ask("And now?", options=options_from(SHORT, h.default_options()))
            async for event in h.events(running):
                if isinstance(event, AnswerDelta):
                    break
            h.backends.change(msgspec.structs.replace(tiny, slots=3))
            assert (await h.wait(running)).status == "done", "a session under way ends with the models it began with"
            assert servers() == before, "and then they leave too"
            _, record = await held(h)
            assert record.status == "done"
            assert servers() == before + 1

    asyncio.run(work())


@pytest.mark.skipif(not psutil.LINUX, reason="elsewhere the system keeps the time a process began as it was")
def test_a_clock_set_back_does_not_make_a_living_session_look_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> str:
        async with FaultyServer(0, plan=lambda _body: "slow") as server, house(tmp_path, at(server.port)) as h:
            session = await h.ask("Alive?", options=options_from(SHORT, h.default_options()))
            # What setting the clock changes on Linux: the boot's time of day, as the kernel tells it in /proc/stat.
            boot = psutil.boot_time()
            monkeypatch.setattr("psutil._pslinux.boot_time", lambda: boot - 86_400)
            async with house(tmp_path, at(server.port)) as other:
                status = other.sessions.get(session).status
            await h.wait(session)
            return status

    assert asyncio.run(work()) == "running"
