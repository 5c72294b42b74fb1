"""A person's whole way in a real browser: models, import, personas, a question, the vote, and the session found again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from browser import ARTEFACTS, Watched, chromium, run_py
from playwright.sync_api import Browser, Page, expect

from baseline_sessions import hold
from innercouncil.store.database import Database
from innercouncil.store.workspace import Workspace
from scripted_author import serving
from tiny_model import build_tiny_model

PAGES = {
    "room": "/", "personas": "/personas", "persona": "/personas/software-builder", "sessions": "/sessions", "map": "/map",
    "import": "/import", "models": "/models", "dashboard": "/dashboard", "behind": "/dashboard/sessions?figure=board",
    "ab-tests": "/ab", "worth-it": "/worth",
}  # fmt: skip
UNNAMED = """() => [...document.querySelectorAll('button, a[href], input, select, textarea, canvas, summary')].filter((e) => e.checkVisibility()).filter((e) =>
  !(e.getAttribute('aria-label') || e.textContent.trim() || [...(e.labels || [])].some((l) => l.textContent.trim()))).map((e) => e.outerHTML)"""


class Place(NamedTuple):
    browser: Browser
    base: str
    home: Path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    home = tmp_path_factory.mktemp("person")
    build_tiny_model(home / "tiny.gguf", ending=6.0)
    ARTEFACTS.mkdir(exist_ok=True)
    with run_py(home / "data") as base, chromium() as browser:
        yield Place(browser, base, home)


@pytest.fixture(scope="module")
def lived(place: Place, example: Path) -> Place:
    """The app after a person chose a model and imported their chats, in the browser."""
    watched = Watched(place.browser, place.base)
    page = watched.open("/")
    expect(page.locator("#notices")).to_contain_text("There are no personas yet")
    expect(page.locator("#notices")).to_contain_text("qwen2.5:3b is not on this machine")

    page = watched.open("/models")
    page.get_by_label("Workers", exact=True).fill(str(place.home / "tiny.gguf"))
    page.get_by_label(re.compile("Lite")).check()
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#notices")).to_contain_text("Ready. Workers: llama.cpp: tiny.gguf")
    expect(page.locator("#lines")).to_contain_text("KV cache 2 x 2 layers")

    page = watched.open("/import")
    page.locator("#file").set_input_files(example)
    expect(page.locator("#stages progress").first).to_be_visible()
    page.wait_for_url("**/personas", timeout=120_000)
    expect(page.get_by_role("link", name="Software Builder")).to_be_visible()
    assert page.locator("#list > li").count() == 4
    assert not watched.problems
    assert not list((place.home / "data").rglob("upload*/*/*")), "the uploaded export was left lying about"
    return place


def test_a_prompt_is_edited_counted_compared_and_brought_back(lived: Place) -> None:
    watched = Watched(lived.browser, lived.base)
    page = watched.open("/personas/software-builder")
    expect(page.locator("#diff")).to_have_text("The same.")
    tokens = page.locator("#tokens").inner_text()
    before = page.locator("#system").input_value()

    page.locator("#system").fill(before + "\nAlways name the cheapest test first.\n")
    expect(page.locator("#tokens")).not_to_have_text(tokens)
    expect(page.locator("#diff .added").last).to_contain_text("Always name the cheapest test first.")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#history")).to_contain_text("2. edited")

    evidence = page.locator("#evidence details").first
    evidence.locator("summary").click()
    expect(evidence.locator(".quoted").first).to_be_visible()

    page.reload()
    expect(page.locator("#system")).to_have_value(re.compile("cheapest test first"))
    page.get_by_role("button", name="Back one version").click()
    expect(page.locator("#system")).to_have_value(before)
    expect(page.locator("#history")).to_contain_text("3. undone")
    expect(page.locator("#evidence")).not_to_contain_text("Written by you")
    expect(page.locator("#evidence")).to_contain_text("6 messages")
    assert not watched.problems


def test_a_model_writes_a_persona_and_the_person_chooses(lived: Place) -> None:
    watched = Watched(lived.browser, lived.base)
    page = watched.open("/personas/story-writer")
    before = page.locator("#system").input_value()
    with serving() as author:
        page.locator("#author").fill(author)
        page.get_by_role("button", name="Let it write").click()
        dialog = page.locator("dialog")
        expect(dialog).to_contain_text("will be asked about 1 persona in 2 calls")
        dialog.get_by_role("button", name="Cancel").click()
        expect(page.locator("#notices")).to_contain_text("Nothing was asked")
        expect(page.locator("#offer")).to_be_empty()
        page.get_by_role("button", name="Let it write").click()
        dialog.get_by_role("button", name="Go on").click()
        expect(page.locator("#offer h3")).to_have_text("Careful Maker")
    expect(page.locator("#offer .diff .added").first).to_be_visible()
    expect(page.locator("#system")).to_have_value(before)
    rests = page.locator("#offer > details")
    rests.locator("summary").first.click()
    rests.locator("details summary").first.click()
    expect(rests.locator(".quoted").first).to_be_visible()

    page.get_by_role("button", name="Use this prompt").click()
    expect(page.locator("#system")).to_have_value(re.compile("Keep to this habit, number a"))
    expect(page.locator("#evidence")).to_contain_text("Keep to this habit, number a")
    page.get_by_role("button", name="Back to the offline prompt").click()
    expect(page.locator("#system")).to_have_value(before)
    assert not watched.problems


def test_a_persona_is_tried_with_one_question(lived: Place) -> None:
    watched = Watched(lived.browser, lived.base)
    page = watched.open("/personas/software-builder")
    page.locator("#tried").fill("What would you test first?")
    page.get_by_role("button", name="Ask this persona").click()
    expect(page.locator("#said")).to_have_text(re.compile(r"\w+ \w+"))
    assert not watched.problems


def test_a_persona_is_made_by_hand_exported_imported_and_removed(lived: Place) -> None:
    watched = Watched(lived.browser, lived.base)
    page = watched.open("/personas")
    page.get_by_role("button", name="New persona").click()
    page.locator("dialog input").fill("The Sceptic")
    page.get_by_role("button", name="Create").click()
    page.wait_for_url("**/personas/the-sceptic")
    page.locator("#system").fill("You are the Sceptic. <script>document.title = 'stolen'</script> Ask for proof.")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#notices")).to_contain_text("Saved.")

    page = watched.open("/personas")
    with page.expect_download() as download:
        page.get_by_label("Export The Sceptic as").select_option("card-png")
        card_of = page.locator("#list > li", has=page.locator("a[href='/personas/the-sceptic']")).first
        card_of.get_by_role("button", name="Export").click()
        page.get_by_role("button", name="Download").click()
    card = lived.home / download.value.suggested_filename
    download.value.save_as(card)
    assert card.read_bytes().startswith(b"\x89PNG")

    page.locator("#file").set_input_files(card)
    expect(page.locator("#preview")).to_contain_text("Ask for proof.")
    page.get_by_role("button", name="Keep it").click()
    page.wait_for_url("**/personas/the-sceptic-2")
    expect(page.locator("#system")).to_have_value(re.compile("<script>"))
    assert page.title().startswith("The Sceptic")

    page = watched.open("/personas")
    mine = page.locator("#list > li", has=page.locator("a[href='/personas/the-sceptic-2']")).first
    assert not mine.get_by_label("Sits in the council").is_checked()
    for slug in ("the-sceptic-2", "the-sceptic"):
        card_of = page.locator("#list > li", has=page.locator(f"a[href='/personas/{slug}']")).first
        card_of.get_by_role("button", name="Delete").click()
        page.locator("dialog").get_by_role("button", name="Delete").click()
        expect(page.locator(f"a[href='/personas/{slug}']")).to_have_count(0)
    assert not watched.problems


def test_personas_are_split_and_merged_again(lived: Place) -> None:
    watched = Watched(lived.browser, lived.base)
    page = watched.open("/personas")
    writer = page.locator("#list > li", has=page.get_by_role("link", name="Story Writer"))
    writer.get_by_role("button", name="Split").click()
    page.locator("dialog").get_by_role("button", name="Split").click()
    expect(page.locator("#list > li")).to_have_count(5, timeout=60_000)
    parts = page.locator("#list > li").filter(has=page.locator("h3 a", has_text=re.compile("Writer")))
    assert parts.count() == 2
    for i in range(2):
        parts.nth(i).get_by_label("Select to merge").check()
    page.get_by_role("button", name="Merge the two selected").click()
    page.locator("dialog input").fill("Story Writer")
    page.locator("dialog").get_by_role("button", name="Merge").click()
    expect(page.locator("#list > li")).to_have_count(4, timeout=60_000)
    expect(page.get_by_role("link", name="Story Writer")).to_be_visible()
    assert not watched.problems


def ask(page: Page, question: str, *, answers: int = 4) -> None:
    page.locator("#question").fill(question)
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#session .answers .card")).to_have_count(answers)


def test_a_question_is_asked_answered_voted_on_and_found_again(lived: Place) -> None:
    watched = Watched(lived.browser, lived.base)
    page = watched.open("/")
    page.get_by_text("Options and attachments").click()
    page.get_by_label("Vote blind").check()
    page.get_by_label("Text files").set_input_files(
        {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"The zebra notes."}
    )
    expect(page.locator("#attached")).to_contain_text("notes.txt")
    ask(page, "Should the zebra ledger be one file or many?")
    expect(page.get_by_label("Final answer")).to_be_visible(timeout=60_000)
    expect(page.get_by_role("button", name="Vote", exact=True)).to_be_visible(timeout=60_000)
    shown = page.locator("#session").inner_text()
    assert "Software Builder" not in shown, "a blind vote must not show the names"
    assert "Answer 1" in shown
    expect(page.get_by_label("Votes", exact=True)).to_contain_text("0.")

    boxes = page.locator("section[aria-label='Your vote'] select")
    for seat, place_ in enumerate(["1", "1", "2", "3"]):
        boxes.nth(seat).select_option(place_)
    page.get_by_role("button", name="Vote", exact=True).click()
    expect(page.locator("#notices")).to_contain_text("Your vote is kept.")
    expect(page.locator("#session")).to_contain_text("Software Builder")
    page.locator("details", has_text="Where it comes from").locator("summary").first.click()
    expect(page.locator(".source").first).to_be_visible()

    page.get_by_role("link", name="Ask a follow-up").click()
    expect(page.locator("#following")).to_contain_text("zebra ledger")
    ask(page, "And if it grows tenfold?")
    expect(page.get_by_role("link", name="Ask a follow-up")).to_be_visible(timeout=60_000)
    expect(page.locator("#session")).to_contain_text("follow-up, 1 earlier")

    page = watched.open("/sessions")
    page.get_by_label("Search in questions and answers").fill("zebra")
    found = page.get_by_role("link", name="Should the zebra ledger be one file or many?")
    expect(page.locator("#list mark").first).to_have_text("zebra")
    expect(found).to_have_count(1)
    expect(page.locator("#list")).to_contain_text("you voted")
    found.click()
    expect(page.get_by_label("Final answer")).to_be_visible()
    expect(page.locator("#session")).to_contain_text("with notes.txt")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export").click()
    kept = json.loads(Path(download.value.path()).read_text("utf-8"))
    assert kept["session"]["votes"][0] == {**kept["session"]["votes"][0], "tiers": [[0, 1], [2], [3]], "blind": True}
    assert not watched.problems


def test_a_session_is_stopped_and_resumed(lived: Place) -> None:
    watched = Watched(lived.browser, lived.base)
    page = watched.open("/")
    ask(page, "What is worth keeping from the stopped one?")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#session")).to_contain_text("Stopped.")
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("link", name="Ask a follow-up")).to_be_visible(timeout=60_000)
    assert not watched.problems


def test_a_session_is_replayed_with_other_personas_and_deleted(lived: Place) -> None:
    watched = Watched(lived.browser, lived.base)
    page = watched.open("/")
    page.get_by_label("Business Explorer").uncheck()
    ask(page, "Which of three do we keep?", answers=3)
    page.get_by_role("button", name="Ask again with other personas").click(timeout=60_000)
    page.locator("dialog").get_by_label("Software Builder").uncheck()
    page.locator("dialog").get_by_role("button", name="Ask again", exact=True).click()
    expect(page.get_by_role("link", name="Ask a follow-up")).to_be_visible(timeout=60_000)
    expect(page.locator("#session .answers .card h3")).to_have_text(
        ["Story Writer", "Science Solver", "Business Explorer"]
    )
    page.get_by_role("button", name="Delete").click()
    page.locator("dialog").get_by_role("button", name="Delete").click()
    page.wait_for_url("**/sessions")
    assert not watched.problems


def test_a_point_of_the_map_shows_its_message(lived: Place) -> None:
    watched = Watched(lived.browser, lived.base)
    page = watched.open("/map")
    page.get_by_text("Messages as a list").click()
    page.locator("#points button").first.click()
    expect(page.locator("#message .quoted").first).to_be_visible()
    page.locator("#message").evaluate("(e) => e.replaceChildren()")
    box = page.locator("#map").bounding_box()
    assert box is not None
    hits = 0
    for x in range(10, int(box["width"]), 12):  # a row of clicks over the whole map must hit some point
        for share in (0.1, 0.3, 0.42, 0.5, 0.62, 0.9):
            page.mouse.click(box["x"] + x, box["y"] + box["height"] * share)
            hits = page.locator("#message .quoted").count()
            if hits:
                break
        if hits:
            break
    assert hits
    before = page.locator("#map").screenshot()
    page.get_by_role("button", name="Zoom in").click()
    assert page.locator("#map").screenshot() != before
    page.get_by_label("Story Writer").uncheck()
    assert not watched.problems


@pytest.fixture(scope="module")
def judged(lived: Place) -> Place:
    """The same with an A/B test that has a vote, a session that was judged against its baselines, and one that waits."""
    database = Database(Workspace(lived.home / "data").database)
    for n in range(2):
        hold(
            database,
            f"Which of the {n + 2} ways is worth it, and how would we know before we have walked it to its end?",
        )
    database.close()
    with httpx.Client(base_url=lived.base, timeout=60) as client:
        session = client.get("/api/worth/trial").json()["trial"]["session"]
        assert client.post(f"/api/worth/{session}", json={"tiers": [[0], [1, 2]]}).status_code == 201
        sides = {"a": {"persona": "software-builder"}, "b": {"system": "Answer in one word."}}
        body = {"name": "one-word-or-many", **sides, "questions": ["What first?", "Why?"], "answer_tokens": 24}
        assert client.post("/api/ab", json=body).status_code == 201
        job = client.post("/api/ab/one-word-or-many/next").json()["job"]
        assert '"state":"done"' in client.get(f"/api/jobs/{job}/events").text
        assert client.post("/api/ab/one-word-or-many/vote", json={"number": 1, "choice": "first"}).status_code == 200
    return lived


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_page_fits_names_its_controls_and_asks_nobody_else(judged: Place, width: int, dark: bool) -> None:
    watched = Watched(judged.browser, judged.base, width=width, dark=dark)
    pages = dict(PAGES)
    watched.open("/sessions")
    first = watched.page.locator("#list h3 a").first
    if first.count():
        pages["session"] = str(first.get_attribute("href"))
    for name, path in pages.items():
        page = watched.open(path)
        page.screenshot(path=ARTEFACTS / f"{name}-{width}-{'dark' if dark else 'light'}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name} is wider than the window"
        assert page.evaluate(UNNAMED) == [], f"{name} has controls without a name"
    assert not watched.problems


def test_the_keyboard_alone_asks_a_question(lived: Place) -> None:
    watched = Watched(lived.browser, lived.base)
    page = watched.open("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "question":
            break
    page.keyboard.type("Does the keyboard suffice?")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_label("Final answer")).to_be_visible(timeout=60_000)
    assert not watched.problems
