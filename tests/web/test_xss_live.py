"""Markup in what arrives while a page is open: answers piece by piece, votes, errors, and lists of models of a stranger."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import httpx
import pytest
from browser import Watched, chromium, run_py
from markup import ALL, MARKDOWN, OPEN_ALL, PAYLOADS, check, unhindered
from playwright.sync_api import Browser, Page, expect

from hostile_models import HostileModels

FILES = tuple(f"{p.replace('/', '')}.gguf" for p in PAYLOADS)
"""Payloads that can be names of files."""
SEPARATORS = "\u2028\u2029\x85"
"""Where a line ends for some, and not for others."""
SAYS = f"{SEPARATORS}{MARKDOWN}{SEPARATORS}"
MARKUP = re.compile(r"<(img|svg|script|iframe|details)\b")


class Place(NamedTuple):
    browser: Browser
    base: str
    models: HostileModels


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    home = tmp_path_factory.mktemp("live")
    (home / "data" / "models").mkdir(parents=True)
    for name in FILES:
        (home / "data" / "models" / name).write_bytes(b"GGUF")
    with (
        HostileModels(SAYS, PAYLOADS, elsewhere="evil.example/<svg onload=pwned=8>") as models,
        run_py(home / "data", ollama=models.host) as base,
        chromium() as browser,
        httpx.Client(base_url=base, timeout=60) as client,
    ):
        for system in ("Be brief.", "Be kind.", "Be slow.", "BREAK", "REFUSE"):
            client.post("/api/personas", json={"name": f"{PAYLOADS[0]} {system}", "system": system}).raise_for_status()
        yield Place(browser, base, models)


def opened(place: Place, path: str, *, models: bool = True) -> tuple[Watched, Page]:
    """A page; with `models` the stranger speaks for the workers by OpenAI's protocol and for the synthesizer by Ollama's."""
    with httpx.Client(base_url=place.base, timeout=60) as client:
        chosen = client.get("/api/models").json()["settings"] | {"worker": "none", "synthesizer": "none", "lite": False}
        if models:
            chosen |= {"worker": f"{place.models.url}/v1#{PAYLOADS[0]}", "synthesizer": f"ollama:{PAYLOADS[3]}"}
        client.put("/api/models", json=chosen).raise_for_status()
    found = unhindered(place.browser, place.base)
    return found, found.open(path)


def is_text(page: Page, selector: str) -> None:
    """There is markup in it, to be read, and none of it has become an element or an address."""
    expect(page.locator(selector).filter(has_text=MARKUP).first).to_be_visible()
    assert (
        page.locator(f"{selector} :is(img, svg, iframe, script, object, embed, [onerror], [onload], [src])").count()
        == 0
    )
    assert page.locator(f"{selector} :is([ontoggle], [href^='javascript' i], [href^='//'])").count() == 0


def ask(page: Page) -> None:
    """Put markup to all personas, with everything that can be shown of it."""
    for box in page.locator("#seats input").all():
        box.check()
    page.evaluate(OPEN_ALL)
    page.get_by_label("Also run the two baselines").check()
    page.get_by_label("One round of revision").check()
    page.locator("#question").fill(f"{SEPARATORS}{ALL}")
    page.get_by_role("button", name="Ask", exact=True).click()


def test_what_arrives_live_is_text(place: Place) -> None:
    found, page = opened(place, "/")
    is_text(page, "#notices")
    place.models.hold()
    ask(page)
    is_text(page, ".answer-text.live")
    check(found)
    place.models.go_on()
    expect(page.get_by_role("button", name="Ask again with other personas")).to_be_visible(timeout=60_000)
    page.evaluate(OPEN_ALL)
    for part in (
        "article.card h3", "article.card .answer-text", "article.card footer .bad", "table.votes th", "table.votes td",
        "section.final", "details .source", "#part-alone", "#part-samples", ".quoted",
    ):  # fmt: skip
        is_text(page, part)
    expect(page.locator(".live:not(:empty)")).to_have_count(0)
    page.get_by_role("button", name="Ask again with other personas").click()
    is_text(page, "dialog")
    check(found)


def test_what_fails_live_is_told_as_text(place: Place) -> None:
    found, page = opened(place, "/")
    place.models.fails = True
    try:
        ask(page)
        expect(page.get_by_role("button", name="Resume")).to_be_visible(timeout=60_000)
        is_text(page, "article.card footer .bad")
        page.get_by_role("button", name="Retry this worker").first.click()
        expect(page.get_by_role("button", name="Resume")).to_be_visible(timeout=60_000)
        check(found)
    finally:
        place.models.fails = False


def test_a_persona_tried_and_a_pair_compared_answer_in_text(place: Place) -> None:
    found, page = opened(place, "/personas")
    page.get_by_role("link", name=re.compile("Be brief")).click()
    page.locator("#tried").fill(ALL)
    place.models.hold()
    page.get_by_role("button", name="Ask this persona").click()
    is_text(page, "#said.live")
    check(found)
    place.models.go_on()
    expect(page.locator("#said.live")).to_have_count(0)
    is_text(page, "#said")
    check(found)

    slugs = [
        p.rpartition("/")[2]
        for p in found.open("/personas").locator("h3 a").evaluate_all("(all) => all.map((a) => a.href)")
    ]
    page = found.open("/ab")
    for box, text in (("#name", "live"), ("#a", slugs[0]), ("#b", slugs[1]), ("#questions", ALL)):
        page.locator(box).fill(text)
    page.get_by_role("button", name="Begin").click()
    page.get_by_role("button", name="Next question").click()
    is_text(page, "#test .answers")
    check(found)
    page.get_by_role("button", name="Answer 1 is better").click()
    expect(page.locator("#verdict")).to_be_visible()
    check(found)


def test_models_of_a_stranger_are_listed_chosen_and_fetched_as_text(place: Place) -> None:
    found, page = opened(place, "/models", models=False)
    for name in (*FILES, *PAYLOADS):
        expect(page.locator("#found li").filter(has_text=name).first).to_be_visible()
    is_text(page, "#found")
    is_text(page, "#lines")
    options = page.locator("#known option").evaluate_all("(all) => all.map((o) => o.value)")
    assert set(PAYLOADS) <= set(options)
    check(found)
    for number in range(page.locator("#found li").count()):
        for button in ("Use for the workers", "for the final answer"):
            page.locator("#found li").nth(number).get_by_role("button", name=button).click()
            page.wait_for_load_state("networkidle")
            check(found)

    page.locator("#worker").fill("plain")
    page.locator("#lite").check()
    page.get_by_role("button", name="Save").click()
    page.get_by_role("button", name=re.compile("^Send text to evil.example")).click()
    expect(page.locator("#notices")).to_contain_text("Ready")
    check(found)
    page = found.open("/")
    expect(page.locator("#notices")).to_contain_text("What you ask is sent to evil.example")
    check(found)

    page = found.open("/models")
    place.models.hold()
    page.locator("#name").fill("qwen2.5:3b")
    page.get_by_role("button", name="Fetch").click()
    is_text(page, "#fetching")
    check(found)
    place.models.go_on()
    expect(page.locator("#notices")).to_contain_text("Ollama could not fetch qwen2.5:3b")
    is_text(page, "#notices")
    check(found)
