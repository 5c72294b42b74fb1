"""The worth-it page in a real browser: judged blindly, then summed up."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
from browser import ARTEFACTS, Watched, chromium, run_py
from playwright.sync_api import expect

from baseline_sessions import hold
from innercouncil.model.worth import PERSON, WorthVote
from innercouncil.store.database import Database
from innercouncil.store.workspace import Workspace
from innercouncil.store.worth import WorthStore


def test_a_person_judges_blindly_and_sees_the_sum(tmp_path: Path) -> None:
    ws = Workspace(tmp_path / "data")
    ws.prepare()
    database = Database(ws.database)
    hold(database, "Shall we move?")
    hold(database, "<img src=x onerror=alert(1)> Which one?")
    database.close()
    ARTEFACTS.mkdir(exist_ok=True)
    with run_py(ws.root) as base, chromium() as browser:
        with httpx.Client(base_url=base) as client:
            told = client.get("/api/worth/trial").json()
            assert set(told["trial"]) == {"session", "question", "answers"}, "nothing says whose answer is whose"
            assert client.post(f"/api/worth/{told['trial']['session']}", json={"tiers": [[0], [0]]}).status_code == 400
            assert client.post("/api/worth/" + "0" * 32, json={"tiers": [[0]]}).status_code == 404
        watched = Watched(browser, base)
        page = watched.open("/worth")
        expect(page.locator("#meter")).to_contain_text("Not known yet")
        expect(page.locator("#waiting")).to_contain_text("2 wait")
        for left in ("1 waits", ""):
            for n in range(3):
                page.locator(f"#place-{n}").select_option(str(n))
            page.get_by_role("button", name="Keep my judgement").click()
            if left:
                expect(page.locator("#waiting")).to_contain_text(left)
        expect(page.locator("#none")).to_be_visible()
        expect(page.locator("#meter tbody tr").first).to_contain_text("the synthesizer alone")
        assert not watched.problems
        for width, dark in ((1280, False), (1280, True), (390, False), (390, True)):
            seen = Watched(browser, base, width=width, dark=dark)
            shown = seen.open("/worth")
            expect(shown.locator("#meter tbody tr").first).to_be_visible()
            assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
            hidden = "[...document.querySelectorAll('.table')].filter((t) => t.scrollWidth > t.clientWidth).length"
            assert shown.evaluate(hidden) == 0, "the verdict is seen without scrolling sideways"
            shown.screenshot(path=ARTEFACTS / f"worth-{width}-{'dark' if dark else 'light'}.png", full_page=True)
            assert not seen.problems


def test_much_evidence_reads_as_a_number_and_not_as_a_power(tmp_path: Path) -> None:
    ws = Workspace(tmp_path / "data")
    ws.prepare()
    database = Database(ws.database)
    sessions = [hold(database, f"Shall we move {n}?", parts=("council", "alone")) for n in range(11)]
    votes = [
        WorthVote(session=s, judge=PERSON, shown=("council", "alone"), tiers=(("council",), ("alone",)))
        for s in sessions
    ]
    WorthStore(database).add(votes)
    database.close()
    with run_py(ws.root) as base, chromium() as browser:
        page = Watched(browser, base).open("/worth")
        cell = page.locator("#meter td[data-head='evidence, 20 is enough']").first
        expect(cell).to_have_text(re.compile(r"^\d{2,}$"))
