"""The council room and sessions in a real browser, when things do not go as planned: asked twice, reloaded, gone, cut off, narrow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
import pytest
from browser import ARTEFACTS, App, Watched, chromium, run_app
from playwright.sync_api import Browser, Page, expect

from baseline_sessions import hold
from faulty_server import FaultyServer, beside
from innercouncil.model.council import Council, Tallied, Worker
from innercouncil.store.database import Database
from innercouncil.store.sessions import SessionStore
from innercouncil.store.workspace import Workspace

NAMES = ("Planner", "Doubter", "Maker", "Reader", "Teller")
LONG = "Donaudampfschifffahrtselektrizitaetenhauptbetriebswerkbauunterbeamtengesellschaft"[:80]
NOBODY = "f" * 32
"""An id no session has."""
REASON = "It is clearer about what comes first, and it says what to look at before anything else is begun or paid for."
SHORT = {"answer_tokens": 40, "synthesis_tokens": 40}


class Backend(FaultyServer):
    """Answers; or says half of each answer and then no more, while `stalls`."""

    def __init__(self) -> None:
        super().__init__(0, plan=lambda _body: "stall" if self.stalls else "")
        self.stalls = False

    def _text(self, body: dict[str, Any], fault: str) -> str:
        return super()._text(body, fault).replace("It is clearer.", REASON)


class Place(NamedTuple):
    browser: Browser
    app: App
    client: httpx.Client
    backend: Backend
    workspace: Path

    def open(self, path: str, *, width: int = 1280, dark: bool = False) -> Page:
        """A page in a window of its own; one that watches a session which goes on is never idle."""
        page = Watched(self.browser, self.app.address, width=width, dark=dark).page
        page.goto(self.app.address + path)
        return page

    def held(self, personas: list[str] | None = None, **options: Any) -> str:
        """A finished session."""
        body = {"question": "What first?", "personas": personas, "options": SHORT | options}
        session = str(self.client.post("/api/sessions", json=body).raise_for_status().json()["id"])
        assert '"status":"done"' in self.client.get(f"/api/sessions/{session}/events").text
        return session

    def sessions(self) -> list[str]:
        """Ids of all sessions, newest first."""
        return [s["id"] for s in self.client.get("/api/sessions?limit=200").json()["sessions"]]


def settled(client: httpx.Client, worker: str) -> None:
    """Let one model do everything."""
    settings = client.get("/api/models").json()["settings"]
    settings |= {"worker": worker, "lite": True, "context_tokens": 32768}
    client.put("/api/models", json=settings).raise_for_status()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    workspace = tmp_path_factory.mktemp("council") / "data"
    ARTEFACTS.mkdir(exist_ok=True)
    with (
        beside(Backend()) as backend,
        run_app(workspace) as app,
        httpx.Client(base_url=app.address, timeout=60) as client,
        chromium() as browser,
    ):
        assert isinstance(backend, Backend)
        settled(client, f"http://127.0.0.1:{backend.port}/v1#any")
        for name in NAMES:
            client.post("/api/personas", json={"name": name, "system": f"You are {name}."}).raise_for_status()
        yield Place(browser, app, client, backend, workspace)


@pytest.fixture
def stalled(place: Place) -> Iterator[Place]:
    """No answer is ever finished; what still runs is stopped at the end."""
    place.backend.stalls = True
    yield place
    place.backend.stalls = False
    for session in place.client.get("/api/status").json()["running"]:
        place.client.post(f"/api/sessions/{session}/stop")


def ask(page: Page, question: str) -> None:
    page.locator("#question").fill(question)
    page.get_by_role("button", name="Ask", exact=True).click()


def test_ctrl_enter_while_a_council_answers_asks_nothing(stalled: Place) -> None:
    page = stalled.open("/")
    expect(page.locator("#seats label")).to_have_count(len(NAMES))
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url) if r.method == "POST" and r.url.endswith("/sessions") else None)
    ask(page, "The first?")
    expect(page.locator("#session .answer-text").first).not_to_be_empty()
    page.locator("#question").fill("The second?")
    page.locator("#question").press("Control+Enter")
    expect(page.locator("#session .quoted").first).to_have_text("The first?")
    assert len(asked) == 1
    assert len(stalled.client.get("/api/status").json()["running"]) == 1
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#session")).to_contain_text("Stopped.")
    assert page.locator("#session .answers .card").count() == len(NAMES)


def test_a_blind_vote_stays_blind_on_every_page_until_it_is_given(place: Place) -> None:
    page = place.open("/")
    page.get_by_text("Options and attachments").click()
    page.get_by_label("Vote blind").check()
    ask(page, "Which of them would you take?")
    expect(page.get_by_role("button", name="Vote", exact=True)).to_be_visible()
    session = page.url.rpartition("=")[2]

    def names() -> list[str]:
        return [n for n in NAMES if n in page.locator("#session, #list").inner_text()]

    page.reload()
    expect(page.get_by_role("button", name="Vote", exact=True)).to_be_visible()
    assert not names()
    page.goto(f"{place.app.address}/sessions")
    expect(page.locator("#list li").first).to_contain_text("Which of them would you take?")
    assert not names(), "the list tells who won only after the vote"
    page.get_by_role("link", name="Which of them would you take?").click()
    expect(page.get_by_role("button", name="Vote", exact=True)).to_be_visible()
    assert not names()

    page.get_by_role("button", name="Vote", exact=True).click()
    expect(page.locator("#notices")).to_contain_text("Your vote is kept.")
    assert names() == list(NAMES)
    kept = place.client.get(f"/api/sessions/{session}").json()
    assert [v["blind"] for v in kept["votes"]] == [True]
    winners = kept["tallies"][0]["winners"]
    told = place.client.get("/api/sessions?limit=1").json()["sessions"][0]["winner"]
    assert told == ("" if len(winners) == len(NAMES) else " = ".join(NAMES[s] for s in winners))


def test_what_cannot_be_voted_on_is_not_hidden_for_ever(place: Place) -> None:
    session = place.held(["planner"], blind=True)
    page = place.open(f"/sessions/{session}")
    expect(page.locator("#session .answers h3")).to_have_text(["Planner"])


def test_a_running_session_is_stopped_on_its_own_page(stalled: Place) -> None:
    session = stalled.client.post("/api/sessions", json={"question": "How long?", "options": SHORT}).json()["id"]
    page = stalled.open(f"/sessions/{session}")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#session")).to_contain_text("Stopped.")
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)


def test_a_session_of_another_process_says_where_it_runs(place: Place) -> None:
    database = Database(Workspace(place.workspace).database)
    worker = Worker(seat=0, slug="planner", name="Planner", system="", temperature=0.7)
    council = Council(question="Elsewhere?", workers=(worker,), worker_model="m", synthesizer_model="m")
    session = SessionStore(database).begin(council)
    database.close()
    page = place.open(f"/sessions/{session}")
    expect(page.locator("#session")).to_contain_text("It runs in another innercouncil process")
    expect(page.locator("#session")).not_to_contain_text("undefined")
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)


@pytest.mark.parametrize("path", [f"/?session={NOBODY}", f"/?parent={NOBODY}", f"/sessions/{NOBODY}"])
def test_a_session_that_is_gone_leaves_the_room_usable(place: Place, path: str) -> None:
    page = place.open(path)
    told = page.locator("#notices [role=alert]")
    expect(told).to_contain_text("There is no such session")
    expect(told).not_to_contain_text("innercouncil sessions")
    expect(told.get_by_role("link", name="Sessions")).to_have_attribute("href", "/sessions")
    if path.startswith("/?"):
        expect(page.get_by_role("button", name="Stop")).to_have_count(0)
        assert page.url == f"{place.app.address}/"
        ask(page, "And now?")
        expect(page.get_by_label("Final answer")).to_be_visible()
        expect(told).to_have_count(0)


def test_ballots_can_be_read_on_a_phone(place: Place) -> None:
    session = place.held()
    for width in (390, 1280):
        page = place.open(f"/sessions/{session}", width=width)
        page.locator("summary", has_text="Ballots").click()
        why = page.get_by_text(REASON).first
        expect(why).to_be_visible()
        box = why.bounding_box()
        assert box is not None
        assert box["width"] >= 180
        assert box["x"] + box["width"] <= width, "the reason is seen without scrolling"
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for dark in (False, True):
            page.emulate_media(color_scheme="dark" if dark else "light")
            page.screenshot(path=ARTEFACTS / f"ballots-{width}-{'dark' if dark else 'light'}.png", full_page=True)


def test_a_long_name_fits_a_phone(place: Place) -> None:
    made = place.client.post("/api/personas", json={"name": LONG, "system": "You go on."}).raise_for_status().json()
    slug = made["slug"]
    try:
        session = place.held([slug, "planner", "doubter"])
        database = Database(Workspace(place.workspace).database)
        store = SessionStore(database)
        store.record(session, Tallied(msgspec.structs.replace(store.get(session).tallies[0], winners=(0,))))
        database.close()
        for path in ("/", f"/?session={session}", f"/sessions/{session}", "/sessions"):
            page = place.open(path, width=390)
            expect(page.locator("main")).to_contain_text(LONG[:20])
            page.wait_for_load_state("networkidle")
            page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
            page.screenshot(path=ARTEFACTS / f"long-{path.strip('/?')[:8] or 'room'}-390.png", full_page=True)
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
            again = page.get_by_role("button", name="Ask again with other personas")
            if again.count():
                again.click()
                expect(page.locator("dialog")).to_contain_text(LONG)
                assert page.locator("dialog").evaluate("(d) => d.scrollWidth <= d.clientWidth"), path
    finally:
        place.client.delete(f"/api/personas/{slug}").raise_for_status()


def test_more_sessions_come_once_and_are_there_again_on_the_way_back(place: Place) -> None:
    database = Database(Workspace(place.workspace).database)
    for n in range(70):
        hold(database, f"Is the walrus number {n}?", parts=("council",))
    database.close()
    page = place.open("/sessions?query=walrus")
    expect(page.locator("#count")).to_have_text("70 sessions")
    page.evaluate("() => { const more = document.querySelector('#more'); more.click(); more.click(); }")
    rows = page.locator("#list h3 a")
    expect(rows).to_have_count(60)
    page.wait_for_load_state("networkidle")
    found = rows.evaluate_all("(all) => all.map((a) => a.href)")
    assert len(found) == len(set(found)) == 60
    rows.nth(50).click()
    page.wait_for_url("**/sessions/*")
    page.go_back()
    expect(rows).to_have_count(60)
    assert rows.evaluate_all("(all) => all.map((a) => a.href)") == found
    page.get_by_role("button", name="Show more").click()
    expect(rows).to_have_count(70)
    expect(page.get_by_role("button", name="Show more")).to_have_count(0)
    page.get_by_label("Search in questions and answers").fill("walrus number")
    expect(rows).to_have_count(30)
    assert "shown" not in page.url


def test_when_the_server_dies_the_page_says_so_and_the_session_comes_back(place: Place, tmp_path: Path) -> None:
    with beside(Backend()) as backend:
        assert isinstance(backend, Backend)
        backend.stalls = True
        with run_app(tmp_path / "data") as app, httpx.Client(base_url=app.address, timeout=60) as client:
            settled(client, f"http://127.0.0.1:{backend.port}/v1#any")
            for name in NAMES[:2]:
                client.post("/api/personas", json={"name": name, "system": "Be brief."}).raise_for_status()
            page = Watched(place.browser, app.address).page
            page.goto(app.address)
            expect(page.locator("#seats label")).to_have_count(2)
            ask(page, "Will it last?")
            expect(page.locator("#session .answer-text").first).not_to_be_empty()
            expect(page.locator("#session")).to_contain_text("The workers answer")
            app.process.kill()
            expect(page.locator("#notices")).to_contain_text("innercouncil does not answer; is it still running?")
            expect(page.locator("#notices")).to_contain_text("reload")
            expect(page.locator("#session")).not_to_contain_text("The workers answer")
            address = page.url.removeprefix(app.address)
        with run_app(tmp_path / "data") as app:
            page.goto(app.address + address)
            expect(page.get_by_role("button", name="Resume")).to_be_visible()
            page.context.close()


def test_what_went_wrong_before_is_not_said_of_what_is_done_now(stalled: Place, tmp_path: Path) -> None:
    page = stalled.open("/")
    boxes = page.locator("#seats input")
    expect(boxes).to_have_count(len(NAMES))
    for box in boxes.all():
        box.uncheck()
    ask(page, "Is anybody there?")
    expect(page.locator("#notices")).to_contain_text("No persona")
    boxes.first.check()
    ask(page, "Is anybody there?")
    expect(page.locator("#session .answer-text").first).not_to_be_empty()
    expect(page.locator("#notices")).not_to_contain_text("No persona")
    expect(page.locator("#notices")).to_contain_text("Workers: ")

    broken = tmp_path / "session.json"
    broken.write_text("{}", "utf-8")
    page = stalled.open("/sessions")
    page.locator("#file").set_input_files(broken)
    expect(page.locator("#notices")).to_contain_text("This is not an exported session")
    page.get_by_label("Search in questions and answers").fill("something else")
    expect(page.locator("#notices")).to_be_empty()


def test_nothing_is_said_to_be_sent_to_a_host_nobody_agreed_to(place: Place) -> None:
    before = place.client.get("/api/models").json()["settings"]["worker"]
    settled(place.client, "https://example.org/v1#any")
    try:
        page = place.open("/")
        expect(page.locator("#notices")).to_contain_text("agree once")
        expect(page.locator("#notices")).not_to_contain_text("is sent to")
        place.client.post("/api/models/allow", json={"name": "example.org"})
    finally:
        settled(place.client, before)
