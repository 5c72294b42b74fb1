"""A persona's training data in the web app: shown, answered by hand, made again, in the API and in a real browser."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import httpx
import pytest
from browser import ARTEFACTS, Watched, chromium, run_py
from playwright.sync_api import expect

SLUG = "software-builder"
URL = f"/api/personas/{SLUG}/training"


@pytest.fixture
def data(discovered, tmp_path) -> Path:
    shutil.copytree(discovered[1], tmp_path / "data")
    return tmp_path / "data"


def rows_by_hand(data: Path) -> list[str]:
    folder = data / "personas" / "lora_training"
    files = [folder / f"persona_{SLUG}_{part}.jsonl" for part in ("train", "eval")]
    found = [json.loads(line) for file in files for line in file.read_bytes().splitlines()]
    return [r["messages"][-1]["content"] for r in found if r["kind"] == "by hand"]


def test_an_answer_is_kept_and_becomes_a_row_and_strangers_are_refused(data):
    with run_py(data) as base, httpx.Client(base_url=base, timeout=60) as client:
        assert client.get(URL).json() == {"discovered": True, "report": None, "awaiting": []}
        foreign = {"origin": "https://evil.example"}
        assert client.post("/api/training", json={}, headers=foreign).status_code == 403
        job = client.post("/api/training", json={}).json()["job"]
        assert '"state":"done"' in client.get(f"/api/jobs/{job}/events").text
        shown = client.get(URL).json()
        row = shown["awaiting"][0]
        assert shown["report"]["train"]["rows"] > 20
        answer = {"assistant": "keep it in a bytearray <b>bold</b>, one index."}
        assert client.put(f"{URL}/{row['id']}", json=answer, headers=foreign).status_code == 403
        assert client.put(f"{URL}/nothing", json=answer).status_code == 400
        assert client.put(f"{URL}/{row['id']}", json={"assistant": "x" * 20_001}).status_code == 400
        assert client.put(f"{URL}/{row['id']}", json=answer | {"more": 1}).status_code == 400
        kept = client.put(f"{URL}/{row['id']}", json=answer).json()
        assert kept[0]["assistant"] == answer["assistant"]
        client.put(f"{URL}/{kept[1]['id']}", json=answer)
        assert client.put(f"{URL}/{kept[1]['id']}", json={"assistant": " "}).json()[1]["assistant"] == "", "taken back"
        job = client.post("/api/training", json={}).json()["job"]
        assert '"state":"done"' in client.get(f"/api/jobs/{job}/events").text
        assert rows_by_hand(data) == [answer["assistant"]]
        assert row["id"] not in {r["id"] for r in client.get(URL).json()["awaiting"]}
        client.post("/api/personas", json={"name": "Planner", "system": "You plan."})
        assert client.get("/api/personas/planner/training").json()["discovered"] is False
        assert client.get("/api/personas/nobody/training").status_code == 404


def test_a_person_fills_in_an_answer_on_the_persona_page(data):
    ARTEFACTS.mkdir(exist_ok=True)
    with run_py(data) as base, chromium() as browser:
        watched = Watched(browser, base)
        page = watched.open(f"/personas/{SLUG}")
        expect(page.locator("#training-state")).to_contain_text("No rows have been made yet")
        page.get_by_role("button", name="Make the rows").click()
        expect(page.locator("#training-state")).to_contain_text("rows to train on")
        page.get_by_text("Answer questions yourself").click()
        first = page.locator("#awaiting form").first
        question = first.locator("p").first.inner_text()
        first.get_by_role("textbox", name="Answer to:").fill("one index, no append. measure it first.")
        first.get_by_role("button", name="Keep this answer").click()
        expect(page.locator("#notices")).to_contain_text("It becomes a row")
        page.get_by_role("button", name="Make the rows").click()
        expect(page.locator("#notices")).to_contain_text("The rows were made")
        expect(page.locator("#awaiting")).not_to_contain_text(question)
        assert rows_by_hand(data) == ["one index, no append. measure it first."]
        assert not watched.problems
        for width, dark in ((1280, False), (390, True)):
            seen = Watched(browser, base, width=width, dark=dark)
            shown = seen.open(f"/personas/{SLUG}")
            shown.get_by_text("Answer questions yourself").click()
            expect(shown.locator("#awaiting form").first).to_be_visible()
            assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
            shown.locator("#training").screenshot(path=ARTEFACTS / f"training-{width}.png")
            assert not seen.problems
