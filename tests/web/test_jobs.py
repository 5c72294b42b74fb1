"""Jobs: what ends them when the app ends, and that it waits for them before it closes what they use."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import threading
import time
from pathlib import Path

import httpx
import psutil
import pytest
from browser import run_app

from conftest import EXAMPLE
from innercouncil.model.errors import UsageError
from innercouncil.store.workspace import Workspace
from innercouncil.web.jobs import Jobs, JobWatcher


def test_a_job_in_a_thread_ends_at_its_next_step_and_closing_waits_for_it() -> None:
    at_work, ended = threading.Event(), threading.Event()

    def work(watcher: JobWatcher) -> None:
        update = watcher.stage("Reading", done=False)
        try:
            while True:
                update(1, 2)
                at_work.set()
                time.sleep(0.001)
        finally:
            time.sleep(0.1)
            ended.set()

    async def run() -> str:
        jobs = Jobs()
        job = jobs.start("import", work)
        await asyncio.to_thread(at_work.wait, 10)
        await jobs.close()
        assert ended.is_set()
        return jobs.get(job.id).problem

    assert "goes on where it was" in asyncio.run(run())


@pytest.mark.parametrize("step", ["stage", "note", "at", "ask"])
def test_every_word_to_the_watcher_ends_a_job_that_was_stopped(step: str) -> None:
    begun, go, reached = threading.Event(), threading.Event(), list[str]()
    steps = {
        "stage": lambda w: w.stage("Reading", done=False),
        "note": lambda w: w.note("so far"),
        "at": lambda w: w.at("Reading", 1, 2),
        "ask": lambda w: w.ask("Is it allowed?"),
    }

    def work(watcher: JobWatcher) -> None:
        begun.set()
        go.wait(10)
        steps[step](watcher)
        reached.append("here")

    async def run() -> None:
        jobs = Jobs()
        jobs.start("import", work)
        await asyncio.to_thread(begun.wait, 10)
        closing = asyncio.create_task(jobs.close())
        await asyncio.sleep(0)
        go.set()
        await closing

    asyncio.run(run())
    assert reached == []


def test_an_open_question_is_no_and_a_coroutine_is_cancelled() -> None:
    async def run() -> list[str]:
        said = list[str]()

        def asks(watcher: JobWatcher) -> None:
            said.append(f"yes: {watcher.ask('Is it allowed?')}")

        async def sleeps(_watcher: JobWatcher) -> None:
            try:
                await asyncio.sleep(60)
            finally:
                said.append("cancelled")

        for work in (asks, sleeps):
            jobs = Jobs()
            job = jobs.start("writing", work)
            while work is asks and not jobs.get(job.id).question:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0)
            await jobs.close()
        return said

    assert asyncio.run(run()) == ["yes: False", "cancelled"]


def test_a_person_stops_a_job_in_a_thread_but_not_a_change_of_their_own() -> None:
    async def run() -> None:
        for kind, done in (("import", False), ("personas", True)):
            jobs, go = Jobs(), threading.Event()

            def work(watcher: JobWatcher, go: threading.Event = go) -> None:
                go.wait(10)
                watcher.stage("Reading", done=False)(1, 2)

            job = jobs.start(kind, work)  # type: ignore[arg-type]
            assert jobs.running() == [job]
            if done:
                with pytest.raises(UsageError, match="half-way"):
                    jobs.cancel(job.id)
            else:
                jobs.cancel(job.id)
            go.set()
            while jobs.running():
                await asyncio.sleep(0.001)
            assert (job.stoppable, job.state) == (not done, "done" if done else "failed")

    asyncio.run(run())


def copies(times: int) -> bytes:
    """The example so many times, each with ids of its own."""
    out = []
    for n in range(times):
        for chat in json.loads(EXAMPLE.read_bytes()):
            chat["conversation_id"] = chat["id"] = f"{chat.get('conversation_id') or chat.get('id')}-{n}"
            for node in chat["mapping"].values():
                if node.get("message"):
                    node["message"]["id"] = f"{node['message'].get('id')}-{n}"
            out.append(chat)
    return json.dumps(out).encode()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C to a whole console")
@pytest.mark.parametrize("whole_terminal", [False, True])
def test_ctrl_c_ends_an_import_half_way_with_all_its_processes(tmp_path: Path, whole_terminal: bool) -> None:
    workspace = Workspace(tmp_path / "data")
    with run_app(workspace.root) as app:
        export = {"content-type": "application/octet-stream"}
        with httpx.Client(base_url=app.address, timeout=60) as client:
            job = client.post("/api/imports", params={"filename": "x.json"}, content=copies(30), headers=export).json()
            while (now := client.get(f"/api/jobs/{job['job']}").json())["stage"] != "label" or not now["done"]:
                assert now["state"] == "running", now
                time.sleep(0.05)
        family = psutil.Process(app.process.pid).children(recursive=True)
        for process in family if whole_terminal else []:
            process.send_signal(signal.SIGINT)
        app.process.send_signal(signal.SIGINT)
        app.process.wait(120)
        _, alive = psutil.wait_procs(family, timeout=10)
        assert alive == []
    assert "Traceback" not in "".join(app.said)
    assert workspace.stamp("read") is not None
    assert workspace.stamp("report") is None, "it did not go on to the end"
    assert not list((workspace.stamps / "uploads").glob("*"))
