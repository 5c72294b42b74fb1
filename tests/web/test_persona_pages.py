"""The Persona Manager and a persona's page: deleting and bringing back, merging, exporting, typing that is not saved, trying a prompt."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from browser import ARTEFACTS, Watched, chromium, run_py
from playwright.sync_api import Browser, Locator, Page, expect

from faulty_server import FaultyServer, beside
from innercouncil.app.discover import Outcome


def fault(body: dict[str, Any]) -> str:
    """A question says itself how it is answered."""
    asked = body["messages"][-1]["content"]
    return "hang" if "silence" in asked else "stall" if "half" in asked else ""


class Place(NamedTuple):
    browser: Browser
    base: str
    server: FaultyServer

    def api(self, method: str, path: str, **given: Any) -> Any:
        """What the app answers to a program."""
        with httpx.Client(base_url=self.base, timeout=60) as client:
            answer = client.request(method, path, **given)
            answer.raise_for_status()
            return answer.json() if answer.content else None


@pytest.fixture(scope="module")
def place(discovered: tuple[Outcome, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    data = tmp_path_factory.mktemp("pages") / "data"
    shutil.copytree(discovered[1], data)
    ARTEFACTS.mkdir(exist_ok=True)
    with beside(FaultyServer(0, plan=fault)) as server, run_py(data) as base, chromium() as browser:
        found = Place(browser, base, server)
        settings = found.api("GET", "/api/models")["settings"]
        settings |= {"worker": f"http://127.0.0.1:{server.port}/v1#any", "lite": True, "context_tokens": 32768}
        found.api("PUT", "/api/models", json=settings)
        yield found


def card_of(page: Page, slug: str) -> Locator:
    return page.locator("#list > li", has=page.locator(f"a[href='/personas/{slug}']"))


def made(place: Place, name: str) -> str:
    """A persona made by hand; its slug."""
    return str(place.api("POST", "/api/personas", json={"name": name, "system": f"You are {name}."})["slug"])


def test_delete_is_called_so_and_says_how_to_only_leave_a_persona_out(place: Place) -> None:
    slug = made(place, "The Passing One")
    watched = Watched(place.browser, place.base)
    page = watched.open("/personas")
    card_of(page, slug).get_by_role("button", name="Delete").click()
    dialog = page.locator("dialog")
    expect(dialog).to_contain_text("Delete The Passing One with its versions, for good?")
    expect(dialog).to_contain_text("To only leave it out, untick “Sits in the council”.")
    dialog.get_by_role("button", name="Cancel").click()
    expect(card_of(page, slug)).to_be_visible()
    card_of(page, slug).get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(card_of(page, slug)).to_have_count(0)
    expect(page.locator("#removed")).to_be_hidden()
    assert not watched.problems


def test_a_discovered_persona_that_was_removed_is_brought_back(place: Place) -> None:
    watched = Watched(place.browser, place.base)
    page = watched.open("/personas")
    card_of(page, "story-writer").get_by_role("button", name="Delete").click()
    expect(page.locator("dialog")).to_contain_text("brought back from “Removed personas”")
    page.locator("dialog").get_by_role("button", name="Delete").click()
    expect(card_of(page, "story-writer")).to_have_count(0)

    for width in (1280, 390):
        for dark in (False, True):
            seen = Watched(place.browser, place.base, width=width, dark=dark).open("/personas")
            expect(seen.locator("#removed")).to_contain_text("Story Writer")
            assert seen.evaluate("document.documentElement.scrollWidth") <= width
            seen.screenshot(
                path=ARTEFACTS / f"personas-removed-{width}-{'dark' if dark else 'light'}.png", full_page=True
            )

    page.get_by_role("region", name="Removed personas").get_by_role("button", name="Bring Story Writer back").click()
    expect(card_of(page, "story-writer").get_by_label("Sits in the council")).to_be_checked()
    expect(page.locator("#removed")).to_be_hidden()
    assert not watched.problems


def test_only_what_was_removed_and_is_still_discovered_can_be_brought_back(place: Place) -> None:
    with httpx.Client(base_url=place.base, timeout=60) as client:
        there = client.post("/api/personas/story-writer/bring-back", json={})
        assert (there.status_code, "not removed" in there.json()["error"]) == (400, True)
        assert client.post("/api/personas/nobody/bring-back", json={}).status_code == 404
        client.delete("/api/personas/story-writer").raise_for_status()
        refused = client.post("/api/personas/merge", json={"slugs": ["story-writer", "software-builder"]})
        assert (refused.status_code, "Story Writer was removed" in refused.json()["error"]) == (400, True)
        assert client.get("/api/personas").json()["removed"] == [{"slug": "story-writer", "name": "Story Writer"}]
        assert client.post("/api/personas/story-writer/bring-back", json={}).json()["archived"] is False
        assert client.get("/api/personas").json()["removed"] == []


def test_a_removed_persona_is_no_longer_selected_to_merge(place: Place) -> None:
    watched = Watched(place.browser, place.base)
    page = watched.open("/personas")
    for slug in ("story-writer", "science-solver"):
        card_of(page, slug).get_by_label("Select to merge").check()
    merge = page.get_by_role("button", name="Merge the two selected")
    expect(merge).to_be_visible()
    card_of(page, "story-writer").get_by_role("button", name="Delete").click()
    page.locator("dialog").get_by_role("button", name="Delete").click()
    expect(card_of(page, "story-writer")).to_have_count(0)
    expect(merge).to_be_hidden()
    page.get_by_role("button", name="Bring Story Writer back").click()
    expect(card_of(page, "story-writer").get_by_label("Select to merge")).not_to_be_checked()
    expect(card_of(page, "science-solver").get_by_label("Select to merge")).to_be_checked()
    assert not watched.problems


def test_a_refused_merge_leaves_the_selection_and_its_button(place: Place) -> None:
    watched = Watched(place.browser, place.base)
    page = watched.open("/personas")
    for slug in ("story-writer", "science-solver"):
        card_of(page, slug).get_by_label("Select to merge").check()
    place.api("DELETE", "/api/personas/story-writer")  # in another window
    merge = page.get_by_role("button", name="Merge the two selected")
    merge.click()
    page.locator("dialog").get_by_role("button", name="Merge").click()
    expect(page.locator("#notices")).to_contain_text("Story Writer was removed")
    expect(merge).to_be_visible()
    expect(merge).to_be_enabled()
    expect(card_of(page, "science-solver").get_by_label("Select to merge")).to_be_checked()
    place.api("POST", "/api/personas/story-writer/bring-back", json={})


def test_a_format_is_chosen_by_arrow_keys_and_exported_by_a_button(place: Place) -> None:
    watched = Watched(place.browser, place.base)
    page = watched.open("/personas")
    choose = page.get_by_label("Export Story Writer as")
    choose.focus()
    for _ in range(2):
        page.keyboard.press("ArrowDown")
    page.wait_for_load_state("networkidle")
    assert page.locator("dialog").count() == 0, "choosing is not acting"
    expect(choose).to_have_value("card-png")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("dialog")).to_contain_text(".png")
    page.locator("dialog").get_by_role("button", name="Cancel").click()
    assert not watched.problems


def test_going_back_asks_before_it_throws_typing_away(place: Place) -> None:
    slug = made(place, "Typist")
    watched = Watched(place.browser, place.base)
    page = watched.open(f"/personas/{slug}")
    back = page.get_by_role("button", name="Back one version")
    expect(back).to_be_disabled()
    page.locator("#system").fill("You are Typist, saved.")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#history")).to_contain_text("2. edited")
    expect(back).to_be_enabled()

    typed = "You are Typist, and this is not saved."
    for button in (back, page.get_by_role("button", name="Bring version 1 back")):
        page.locator("#system").fill(typed)
        button.click()
        expect(page.locator("dialog")).to_contain_text("not saved")
        page.locator("dialog").get_by_role("button", name="Cancel").click()
        expect(page.locator("#system")).to_have_value(typed)
        expect(page.locator("#history")).not_to_contain_text("3.")
    back.click()
    page.locator("dialog").get_by_role("button", name="Back one version").click()
    expect(page.locator("#system")).to_have_value("You are Typist.")
    expect(page.locator("#history")).to_contain_text("3. undone")
    expect(back).to_be_disabled()
    page.get_by_role("button", name="Bring version 2 back").click()
    expect(page.locator("#system")).to_have_value("You are Typist, saved.")
    assert page.locator("dialog").count() == 0, "nothing typed, nothing asked"
    assert not watched.problems


def test_a_try_says_that_it_waits_and_can_be_stopped(place: Place) -> None:
    watched = Watched(place.browser, place.base)
    page = watched.open("/personas/software-builder")
    ask, stop, said = page.get_by_role("button", name="Ask this persona"), page.locator("#stop"), page.locator("#said")
    expect(stop).to_be_hidden()
    before = place.server.requests
    page.locator("#tried").fill("Is there silence?")
    ask.click()
    expect(page.locator("#trying")).to_have_text("Thinking …")
    expect(ask).to_be_disabled()
    page.locator("#tried").press("Enter")
    expect(stop).to_be_visible()
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.screenshot(path=ARTEFACTS / f"persona-thinking-{width}.png", full_page=True)
    stop.click()
    expect(page.locator("#trying")).to_have_text("Stopped.")
    expect(ask).to_be_enabled()
    expect(stop).to_be_hidden()
    assert place.server.requests - before <= 1, "one stream at a time"

    page.locator("#tried").fill("Only half?")
    ask.click()
    expect(said).to_contain_text("The answer of request")
    expect(page.locator("#trying")).to_be_empty()
    stop.click()
    expect(page.locator("#trying")).to_have_text("Stopped.")
    expect(said).to_contain_text("The answer of request")

    page.locator("#tried").fill("And a whole one?")
    ask.click()
    expect(said).to_contain_text("Then look again.")
    expect(ask).to_be_enabled()
    expect(page.locator("#trying")).to_be_empty()
    expect(page.locator("#notices")).to_be_empty()
    assert not watched.problems


def test_a_persona_that_is_not_there_leaves_no_empty_form(place: Place) -> None:
    for width in (1280, 390):
        watched = Watched(place.browser, place.base, width=width)
        page = watched.open("/personas/nope")
        expect(page.locator("#notices")).to_contain_text("There is no persona called 'nope'")
        expect(page.locator("#edit")).to_be_hidden()
        expect(page.locator("#try")).to_be_hidden()
        page.screenshot(path=ARTEFACTS / f"persona-unknown-{width}.png", full_page=True)
        assert all(re.search("404", p) for p in watched.problems)
