"""Trainings watched from the app: states from files alone, events as they come, the page in a browser."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx
import msgspec
from browser import ARTEFACTS, Watched, chromium, run_py
from playwright.sync_api import expect

from innercouncil.model.training import TrainingEvent
from innercouncil.store.workspace import Workspace


def write(folder: Path, *events: TrainingEvent) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "progress.jsonl").open("ab") as file:
        for event in events:
            file.write(msgspec.json.encode(event) + b"\n")


def step(number: int, loss: float) -> TrainingEvent:
    return TrainingEvent(
        event="step", step=number, steps=10, loss=loss, tokens_per_s=120.0, memory=2 * 10**9, left=60.0 - number
    )


def test_a_training_is_watched_live_and_states_come_from_files(tmp_path: Path) -> None:
    ws = Workspace(tmp_path / "data")
    ws.prepare()
    live, dead = ws.loras / "persona_live", ws.loras / "persona_dead"
    write(
        live, TrainingEvent(event="start", steps=10), step(1, 3.0), TrainingEvent(event="eval", step=1, eval_loss=3.1)
    )
    write(
        dead,
        TrainingEvent(event="start", steps=10),
        step(1, 3.0),
        TrainingEvent(event="failed", reason="data", text="<b>No row</b> is left."),
    )
    with run_py(ws.root) as base, httpx.Client(base_url=base) as client:
        # A process of the training's name, waiting as a real one would for its settings.
        with subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.read()", "innercouncil.tuning.child"], stdin=subprocess.PIPE
        ) as child:
            (live / ".run").mkdir()
            (live / ".run" / "pid").write_text(str(child.pid), "utf-8")
            states = {r["slug"]: r["state"] for r in client.get("/api/tuning").json()["runs"]}
            assert states == {"live": "running", "dead": "failed"}
            seen = []
            with client.stream("GET", "/api/tuning/live/events") as answer:
                for line in answer.iter_lines():
                    if not line.startswith("data: "):
                        continue
                    seen += json.loads(line[len("data: ") :])
                    if len(seen) == 3:
                        write(live, step(2, 2.5))
                    elif len(seen) == 4:
                        assert child.stdin is not None
                        child.stdin.close()
                        child.wait()
        assert [e["event"] for e in seen] == ["start", "step", "eval", "step"]
        assert seen[-1]["loss"] == 2.5
        assert {r["slug"]: r["state"] for r in client.get("/api/tuning").json()["runs"]}["live"] == "interrupted"
        assert client.get("/api/tuning/nobody/events").status_code == 404
        ARTEFACTS.mkdir(exist_ok=True)
        with chromium() as browser:
            for width, dark in ((1280, False), (390, True)):
                watched = Watched(browser, base, width=width, dark=dark)
                page = watched.open("/adapters")
                panel = page.get_by_role("region", name="live")
                expect(panel).to_contain_text("was interrupted: the same command goes on")
                expect(panel).to_contain_text("step 2 of 10: loss 2.500, 120 tokens a second, 2.00 GB held, 58 s left")
                expect(
                    panel.get_by_role("img", name="Loss after 2 steps 2.500, lowest held-out loss 3.100")
                ).to_be_visible()
                expect(page.get_by_role("region", name="dead")).to_contain_text("<b>No row</b> is left.")
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
                page.screenshot(path=ARTEFACTS / f"adapters-{width}.png", full_page=True)
                assert not watched.problems
