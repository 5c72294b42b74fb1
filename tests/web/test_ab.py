"""The A/B page and its API: blind until the vote, and usable in a real browser."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from browser import ARTEFACTS, Watched, chromium, run_py
from playwright.sync_api import expect

from innercouncil.app.ab_tests import words_of
from innercouncil.evaluation.ab_test import judge
from innercouncil.model.ab import AbTest, Variant
from scripted_author import speaking
from tiny_model import build_tiny_model


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("ab")
    model = build_tiny_model(home / "tiny.gguf", ending=4.5)
    with run_py(home / "data") as address:
        with httpx.Client(base_url=address) as client:
            settings = client.get("/api/models").json()["settings"]
            client.put("/api/models", json=settings | {"worker": str(model), "lite": True, "context_tokens": 8192})
            for name in ("Planner", "Doubter"):
                client.post("/api/personas", json={"name": name, "system": f"You are the {name}."})
        yield address


def test_nobodys_name_is_told_before_the_vote(base: str) -> None:
    with httpx.Client(base_url=base, timeout=60) as client:
        body = {"name": "blind", "a": {"persona": "planner"}, "b": {"persona": "doubter"}, "questions": ["What first?", "Why?"], "answer_tokens": 16}  # fmt: skip
        assert client.post("/api/ab", json=body, headers={"origin": "https://evil.example"}).status_code == 403
        assert client.get("/api/ab", headers={"host": "evil.example"}).status_code == 403
        assert client.post("/api/ab", json=body).json()["status"]["power"][0]["fixed"] == 783
        job = client.post("/api/ab/blind/next").json()["job"]
        progress = client.get(f"/api/jobs/{job}/events").text
        assert '"state":"done"' in progress
        waiting = client.get("/api/ab/blind")
        for text in (progress, waiting.text, client.get("/api/ab").text):
            assert not {"planner", "doubter", "cost", "milliseconds"} & set(text.lower().replace('"', " ").split())
        trial = waiting.json()["waiting"]
        assert sorted(trial) == ["answers", "number", "question"]
        assert waiting.json()["status"] is None
        vote = {"number": trial["number"], "choice": "second"}
        after = client.post("/api/ab/blind/vote", json=vote).json()
        assert (after["waiting"], after["status"]["a"]["name"]) == (None, "planner")
        assert client.post("/api/ab/blind/vote", json=vote).status_code == 400, "one vote a question"
        assert client.get("/api/ab/nothing").status_code == 404
        assert client.delete("/api/ab/blind").status_code == 204


def test_a_test_is_begun_voted_on_and_judged_in_the_browser(base: str) -> None:
    with chromium() as browser:
        watched = Watched(browser, base)
        page = watched.open("/ab")
        page.locator("#name").fill("shorter")
        page.locator("#a").fill("planner")
        page.locator("#b").fill("doubter")
        page.locator("#questions").fill("What first?\nWhy not?\nHow long?")
        page.get_by_text("More", exact=True).click()
        page.locator("#answer_tokens").fill("24")
        page.get_by_role("button", name="Begin").click()
        expect(page.locator("#verdict")).to_contain_text("No difference shown yet")
        ARTEFACTS.mkdir(exist_ok=True)
        for number, button in ((1, "Answer 1 is better"), (2, "Answer 2 is better")):
            page.get_by_role("button", name="Next question").click()
            expect(page.locator("#test")).to_contain_text(f"Question {number}:", timeout=60_000)
            assert not {"planner", "doubter"} & set(page.locator("#test").inner_text().lower().split())
            page.screenshot(path=ARTEFACTS / "ab-vote.png", full_page=True)
            page.get_by_role("button", name=button).press("Enter")
            expect(page.locator("#verdict")).to_be_visible()
        expect(page.get_by_role("img", name="E-value after each of 2 votes")).to_be_visible()
        expect(page.locator("#test")).to_contain_text("What an answer costs")
        expect(page.locator("#list")).to_contain_text("2 asked")
        expect(page.locator("#test")).to_contain_text("Model: llama.cpp: tiny.gguf")
        assert "/tiny.gguf" not in page.locator("#test").inner_text(), "the name of the file is enough"
        assert not watched.problems
        for width in (1280, 390):
            for dark in (False, True):
                seen = Watched(browser, base, width=width, dark=dark)
                page = seen.open("/ab")
                page.get_by_role("button", name="Open shorter").click()
                expect(page.locator("#verdict")).to_be_visible()
                page.screenshot(path=ARTEFACTS / f"ab-{width}-{'dark' if dark else 'light'}.png", full_page=True)
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                assert page.locator(".chart text").first.evaluate("(e) => e.getBoundingClientRect().height") >= 12
                below = page.evaluate("(i) => document.querySelector(i).getBoundingClientRect().bottom", "#list")
                form = page.evaluate("(i) => document.querySelector(i).getBoundingClientRect().top", "#start")
                assert form - below >= 12, "the list and the form stand apart"
                assert not seen.problems


def test_a_pair_of_typed_prompts_is_cancelled_while_it_is_answered_and_asked_again(tmp_path: Path) -> None:
    goes_on = threading.Event()

    def answer(body: dict[str, Any]) -> str:
        if body["messages"][0]["role"] == "system":
            goes_on.wait(60)
        return f"So it was said: {body['messages'][0]['content'][:20]}"

    with speaking(answer) as model, run_py(tmp_path / "data") as base, chromium() as browser:
        with httpx.Client(base_url=base) as client:
            settings = client.get("/api/models").json()["settings"]
            client.put("/api/models", json=settings | {"worker": model, "lite": True})
        watched = Watched(browser, base)
        page = watched.open("/ab")
        page.locator("#name").fill("typed")
        page.get_by_text("More", exact=True).click()
        page.locator("#a_system").fill("Say alpha.")
        page.locator("#b_system").fill("Say beta.")
        page.locator("#questions").fill("What first?")
        page.get_by_role("button", name="Begin").click()
        page.get_by_role("button", name="Next question").click()
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("#notices")).to_contain_text("You stopped it")
        expect(page.locator("#test")).to_contain_text("0 of 1 questions asked")
        goes_on.set()
        page.get_by_role("button", name="Next question").click()
        expect(page.locator("#test")).to_contain_text("So it was said: Say alpha.", timeout=60_000)
        expect(page.locator("#test")).to_contain_text("So it was said: Say beta.")
        page.get_by_role("button", name="Tie").click()
        expect(page.locator("#list")).to_contain_text("1 asked")
        assert not watched.problems


def test_a_name_that_cannot_be_is_met_by_what_a_name_may_be(base: str) -> None:
    with chromium() as browser:
        page = Watched(browser, base).open("/ab")
        page.locator("#name").fill("two words")
        assert page.locator("#name").evaluate("(e) => e.validity.patternMismatch")
        expect(page.locator("#name")).to_have_attribute("title", "Letters, digits, - and _; a letter or digit first.")


def test_a_winner_is_told_with_the_highest_e_value_and_not_as_that_of_now() -> None:
    a, b = (Variant(kind="persona", name=name, workers=()) for name in "ab")
    test = AbTest(name="t", a=a, b=b, worker_model="m", synthesizer_model="m")
    verdict = judge(["b"] * 12 + ["a"] * 3, test.options)
    assert max(verdict.path) > verdict.e_value
    peak = f"{max(verdict.path):.0f}"
    assert words_of(test, verdict) == f"B (b) wins: the e-value reached {peak} within 15 votes, safe to stop."
