"""app.council: what is asked again when a session goes on, that it runs once at a time, and what Stop stops."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from test_council_sessions import SHORT, at, held, house, is_answer_of

from faulty_server import FaultyServer
from innercouncil.app import worth
from innercouncil.app.council import House, options_from
from innercouncil.app.council_settings import CouncilSettings
from innercouncil.model.council import CouncilOptions, Event, Finished, Phase, SessionRecord, SynthesisDelta
from innercouncil.model.errors import BackendError, UsageError
from innercouncil.store.worth import WorthStore
from llm.wire_server import OLLAMA, Answer, Recorded, WireServer, failure


def is_synthesis(body: dict[str, Any]) -> bool:
    return "You write the final answer" in str(body["messages"][0]["content"])


def statuses(record: SessionRecord, part: str = "council") -> dict[int, str]:
    return {a.seat: a.status for a in record.answers if a.part == part}


def of_the_council(record: SessionRecord) -> list[Any]:
    kept = (record.answers, record.ballots, record.tallies, record.syntheses)
    return [piece for pieces in kept for piece in pieces if piece.part == "council"]


# --- what is asked again ---


@pytest.mark.parametrize("fault", ["drop", "empty"])
def test_a_session_in_which_all_failed_goes_on_when_the_backend_is_back(tmp_path: Path, fault: str) -> None:
    async def work() -> tuple[SessionRecord, SessionRecord, SessionRecord]:
        met = {"fault": fault}
        async with FaultyServer(0, plan=lambda _body: met["fault"]) as server, house(tmp_path, at(server.port)) as h:
            _, dead = await held(h)
            await h.resume(dead.id)
            still = await h.wait(dead.id)
            met["fault"] = ""
            await h.resume(dead.id)
            return dead, still, await h.wait(dead.id)

    dead, still, done = asyncio.run(work())
    assert (dead.status, still.status) == ("failed", "failed")
    assert still.problem == dead.problem
    assert done.status == "done", done.problem
    assert statuses(done) == {0: "ok", 1: "ok", 2: "ok"}


def test_a_worker_that_failed_beside_the_synthesizer_joins_and_the_votes_are_made_anew(tmp_path: Path) -> None:
    async def work() -> tuple[SessionRecord, SessionRecord, int]:
        down = {"now": True}
        plan = lambda body: "drop" if down["now"] and (is_answer_of(body, "Doubter") or is_synthesis(body)) else ""  # noqa: E731
        async with FaultyServer(0, plan=plan) as server, house(tmp_path, at(server.port), 4) as h:
            _, failed = await held(h)
            down["now"], before = False, server.requests
            await h.resume(failed.id)
            return failed, await h.wait(failed.id), server.requests - before

    failed, done, requests = asyncio.run(work())
    assert failed.status == "failed"
    assert {s.seat for s in failed.tallies[0].standings} == {0, 2, 3}
    assert statuses(done) == {0: "ok", 1: "ok", 2: "ok", 3: "ok"}
    assert [a for a in done.answers if a.seat != 1] == [a for a in failed.answers if a.seat != 1]
    assert all(len(b.shown) == 3 for b in done.ballots)
    assert {s.seat for s in done.tallies[0].standings} == {0, 1, 2, 3}
    assert (done.status, requests) == ("done", 1 + 4 + 1), "one answer, four ballots, the final answer"


def test_a_baseline_whose_samples_all_failed_goes_on_and_the_council_stays_as_it_is(tmp_path: Path) -> None:
    async def work() -> tuple[SessionRecord, SessionRecord]:
        down = {"now": True}
        plain = lambda body: not any(is_answer_of(body, n) for n in ("Planner", "Maker")) and not is_synthesis(body)  # noqa: E731

        def plan(body: dict[str, Any]) -> str:
            return "empty" if down["now"] and plain(body) and "response_format" not in body else ""

        async with FaultyServer(0, plan=plan) as server, house(tmp_path, at(server.port)) as h:
            _, failed = await held(h, options={"baselines": True})
            down["now"] = False
            await h.resume(failed.id)
            return failed, await h.wait(failed.id)

    failed, done = asyncio.run(work())
    assert failed.status == "failed"
    assert statuses(failed) == {0: "ok", 1: "empty", 2: "ok"}
    assert set(statuses(failed, "samples").values()) == {"empty"}
    assert done.status == "done", done.problem
    assert set(statuses(done, "samples").values()) == {"ok"}
    assert of_the_council(done) == of_the_council(failed), "it had its final answer"


def test_of_a_finished_session_only_a_baseline_that_failed_is_asked_again(tmp_path: Path) -> None:
    async def work() -> tuple[SessionRecord, SessionRecord, int]:
        down = {"now": True}

        def plan(body: dict[str, Any]) -> str:
            if is_answer_of(body, "Doubter"):
                return "empty"
            alone = body["temperature"] == CouncilOptions().synthesis_temperature and not is_synthesis(body)
            return "500" if down["now"] and alone else ""

        async with FaultyServer(0, plan=plan) as server, house(tmp_path, at(server.port)) as h:
            _, done = await held(h, options={"baselines": True})
            down["now"], requests = False, server.requests
            await h.resume(done.id)
            return done, await h.wait(done.id), server.requests - requests

    done, after, requests = asyncio.run(work())
    assert (done.status, after.status, requests) == ("done", "done", 1)
    assert {s.part: s.status for s in done.syntheses} == {"council": "ok", "alone": "failed", "samples": "ok"}
    assert {s.status for s in after.syntheses} == {"ok"}
    assert of_the_council(after) == of_the_council(done)


def test_a_finished_session_stays_as_it_is(tmp_path: Path) -> None:
    async def work() -> tuple[SessionRecord, SessionRecord, int]:
        plan = lambda body: "empty" if is_answer_of(body, "Doubter") else ""  # noqa: E731
        async with FaultyServer(0, plan=plan) as server, house(tmp_path, at(server.port)) as h:
            _, done = await held(h)
            requests = server.requests
            await h.resume(done.id)
            return done, await h.wait(done.id), server.requests - requests

    done, after, requests = asyncio.run(work())
    assert done.status == "done"
    assert statuses(done) == {0: "ok", 1: "empty", 2: "ok"}
    assert (after, requests) == (done, 0)


def test_a_retried_worker_takes_along_the_persons_vote_on_what_is_no_more(tmp_path: Path) -> None:
    async def work() -> tuple[SessionRecord, str, list[Any], list[str]]:
        met = {"fault": ""}
        async with FaultyServer(0, plan=lambda _body: met["fault"]) as server, house(tmp_path, at(server.port)) as h:
            _, first = await held(h, options={"baselines": True})
            _, other = await held(h, options={"baselines": True})
            for record in (first, other):
                h.vote(record.id, [[0], [1], [2]], blind=True)
                worth.vote(h.database, record.id, [[0], [1], [2]])
            met["fault"] = "drop"
            await h.retry(first.id, 0)
            after = await h.wait(first.id)
            listed = {s.id: s.winner for s in h.sessions.page().sessions}
            judged = ["first" if v.session == first.id else "other" for v in WorthStore(h.database).votes()]
            return after, listed[first.id], [v.tiers for v in h.sessions.get(other.id).votes], judged

    after, winner, others, judged = asyncio.run(work())
    assert statuses(after)[0] == "failed"
    assert after.votes == ()
    assert others == [((0,), (1,), (2,))]
    assert judged == ["other"]
    assert "Planner" not in winner, "its answer is gone"


# --- once at a time ---


class Ollama(WireServer):
    """Has one model, which answers and votes; whoever opens it has to wait for the network."""

    MODEL = "qwen2.5:3b"

    def __init__(self) -> None:
        super().__init__(failure(404, "no such page"))
        self.calls = 0

    def next(self, request: Recorded) -> Answer:
        if request.path == "/api/version":
            return Answer([b'{"version": "0.12.6"}'])
        if request.path == "/api/tags":
            return Answer([json.dumps({"models": [{"name": self.MODEL}]}).encode()])
        if request.path != "/api/chat":
            return super().next(request)
        self.calls += 1
        asked = request.body.get("format")
        if not asked:
            return OLLAMA.answer("The smallest step comes first.")
        ranking = asked["properties"]["ranking"]["enum"][0]
        return OLLAMA.answer(json.dumps({"reason": "It is clearer.", "ranking": ranking}))


@contextlib.asynccontextmanager
async def stopped_house(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[tuple[House, str, Ollama], None]:
    """A house with a session that was stopped before anybody was asked."""
    with Ollama() as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        async with house(folder, CouncilSettings(worker=f"ollama:{server.MODEL}", lite=True)) as h:
            session = await h.ask("What first?", options=options_from(SHORT, h.default_options()))
            h.stop(session)
            record = await h.wait(session)
            assert (record.status, record.answers, server.calls) == ("stopped", (), 0)
            yield h, session, server


def test_of_those_who_resume_at_once_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> tuple[list[Any], SessionRecord, int]:
        async with stopped_house(tmp_path, monkeypatch) as (h, session, server):
            clicks = [h.resume(session), h.resume(session), h.retry(session, 0)]
            told = await asyncio.gather(*clicks, return_exceptions=True)
            return told, await h.wait(session), server.calls

    told, record, calls = asyncio.run(work())
    assert told[0] is None
    assert all(isinstance(t, UsageError) and "still running" in str(t) for t in told[1:])
    assert (record.status, calls) == ("done", 3 + 3 + 1), "three answers, three ballots, the final answer"


def test_stopped_while_its_models_are_opened_it_asks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> tuple[SessionRecord, int]:
        async with stopped_house(tmp_path, monkeypatch) as (h, session, server):
            going_on = asyncio.create_task(h.resume(session))
            await asyncio.sleep(0)
            assert h.running() == [session]
            h.stop(session)
            await going_on
            return await h.wait(session), server.calls

    record, calls = asyncio.run(work())
    assert (record.status, calls) == ("stopped", 0)


def test_where_the_models_are_not_there_the_session_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> tuple[SessionRecord, SessionRecord]:
        async with stopped_house(tmp_path, monkeypatch) as (h, session, server):
            before = h.sessions.get(session)
            monkeypatch.setattr(server, "MODEL", "another:1b")
            with pytest.raises(BackendError, match="does not have"):
                await h.resume(session)
            assert h.running() == []
            return before, h.sessions.get(session)

    before, after = asyncio.run(work())
    assert before == after


def test_a_session_that_runs_in_another_process_is_left_to_it(tmp_path: Path) -> None:
    async def work() -> tuple[int, str, SessionRecord, int]:
        server = FaultyServer(0, plan=lambda _body: "hang" if server.requests <= 3 else "")
        async with server, house(tmp_path, at(server.port)) as h:
            session = await h.ask("What first?", options=options_from(SHORT, h.default_options()))
            while server.requests < 3:
                await asyncio.sleep(0.01)
            command = (sys.executable, "-m", "innercouncil", "sessions", "resume", session, "--workspace", tmp_path)
            other = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
            _, said = await other.communicate()
            assert h.sessions.get(session).status == "running"
            h.stop(session)
            return other.returncode or 0, said.decode(), await h.wait(session), server.requests

    code, said, record, requests = asyncio.run(work())
    assert (code, requests) == (2, 3), said
    assert "another innercouncil process" in said
    assert record.status == "stopped"


# --- Stop ---


@pytest.mark.parametrize("when", ["alone", "council"])
def test_stop_during_a_final_answer_ends_the_session_and_asks_nothing_more(tmp_path: Path, when: str) -> None:
    async def work() -> tuple[list[Event], int]:
        async with FaultyServer(0, plan=lambda _body: "slow") as server, house(tmp_path, at(server.port)) as h:
            options = options_from({**SHORT, "baselines": True}, h.default_options())
            session = await h.ask("What first?", options=options)
            events: list[Event] = []
            requests = 0
            async for event in h.events(session):
                if isinstance(event, SynthesisDelta) and event.part == when and not requests:
                    h.stop(session)
                    requests, events = server.requests, []
                events.append(event)
            return events, server.requests - requests

    events, requests = asyncio.run(work())
    assert requests == 0
    assert not [e for e in events if isinstance(e, Phase)]
    assert isinstance(events[-1], Finished)
    assert events[-1].status == "stopped"
