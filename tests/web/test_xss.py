"""Markup in every field that reaches a page, in a real browser: nothing runs, though no policy stops it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import httpx
import pytest
from browser import Watched, chromium, run_py
from markup import ALL, MARKDOWN, OPEN_ALL, PAYLOADS, check, unhindered
from playwright.sync_api import Browser, expect

import voted_sessions
from conftest import EXAMPLE, run
from hostile_session import hostile_session
from innercouncil.store.database import Database
from innercouncil.store.sessions import SessionStore


class Place(NamedTuple):
    browser: Browser
    base: str
    root: Path
    session: str
    slugs: list[str]


def hostile_export(folder: Path) -> Path:
    """The example's chats, with markup in every title and in every text."""

    def poison(value: object, key: str = "") -> object:
        if isinstance(value, dict):
            return {k: poison(v, k) for k, v in value.items()}
        if isinstance(value, list):
            return [poison(v, key) for v in value]
        return f"{PAYLOADS[len(value) % 5]} {value}" if isinstance(value, str) and key in ("title", "parts") else value

    path = folder / f"{quote(PAYLOADS[1], safe=' <>=')}.json"
    path.write_text(json.dumps(poison(json.loads(EXAMPLE.read_text("utf-8")))), "utf-8")
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    home = tmp_path_factory.mktemp("xss")
    root = home / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(voted_sessions, "PEOPLE", PAYLOADS[:4])
        patch.setattr(voted_sessions, "QUESTIONS", PAYLOADS[:4])
        patch.setattr(voted_sessions, "WORDS", tuple(ALL.split(" ")[i] + " plan" for i in range(4)))
        workspace = voted_sessions.filled(root, 20)
    database = Database(workspace.database)
    session = hostile_session(SessionStore(database), PAYLOADS[:3], ALL, MARKDOWN)
    database.close()
    run(hostile_export(home), root)
    with run_py(root) as base, chromium() as browser:
        with httpx.Client(base_url=base, timeout=60) as client:
            settings = client.get("/api/models").json()
            model = Path(settings["folder"]) / f"{PAYLOADS[1]}.gguf"
            if root in model.parents:
                model.parent.mkdir(parents=True, exist_ok=True)
                model.write_bytes(b"GGUF")
            client.put(
                "/api/models",
                json=settings["settings"] | {"worker": f"http://127.0.0.1:9/v1#{PAYLOADS[0]}", "lite": True},
            ).raise_for_status()
            client.post("/api/personas/sync", json={}).raise_for_status()
            slugs = [p["persona"]["slug"] for p in client.get("/api/personas").json()["personas"]]
        yield Place(browser, base, root, session, slugs)


def watched(place: Place) -> Watched:
    return unhindered(place.browser, place.base)


def pages(place: Place) -> list[str]:
    bad = quote(ALL, safe="")
    own = [f"/personas/{slug}" for slug in place.slugs]
    asked = [
        f"/ab?test={bad}", f"/sessions?query={bad}", f"/?parent={bad}", f"/?session={bad}", f"/?personas={bad}",
        f"/dashboard?board={bad}&topic={bad}", f"/dashboard/sessions?figure={bad}&slug={bad}&board={bad}",
        f"/personas/{bad}", f"/sessions/{bad}", f"/{bad}", f"/map#{bad}", f"/worth?{bad}={bad}", "/sessions?query=img",
    ]  # fmt: skip
    plain = [
        "/", "/sessions", "/personas", "/import", "/map", "/dashboard", "/dashboard/sessions?figure=board", "/worth", "/ab",
        "/ab?test=shorter#pairs", "/ab?test=waiting", "/adapters", "/models", f"/sessions/{place.session}",
        f"/?session={place.session}", f"/?parent={place.session}",
    ]  # fmt: skip
    return [*plain, *own, *asked]


def test_markup_that_reached_a_page_would_run_and_be_seen(place: Place) -> None:
    found = watched(place)
    page = found.open("/personas")
    page.evaluate("(html) => { document.body.innerHTML = html }", ALL)
    page.wait_for_function("window.pwned && window.broken.length")
    assert any("foreign request" in p for p in found.problems)
    with pytest.raises(AssertionError):
        check(found)


def test_no_page_runs_what_stands_in_its_data(place: Place) -> None:
    found = watched(place)
    for path in pages(place):
        page = found.open(path)
        page.evaluate(OPEN_ALL)
        check(found)


def test_the_session_shows_the_markup_as_text(place: Place) -> None:
    found = watched(place)
    page = found.open(f"/sessions/{place.session}")
    expect(page.locator("#session")).to_contain_text("<svg onload=pwned=2>")
    assert page.locator("#session img, #session svg, #session iframe, #session script").count() == 0
    assert page.locator("#session a[href^='javascript']").count() == 0
    check(found)


def test_card_files_and_their_names_are_shown_as_text(place: Place) -> None:
    card = {
        "spec": "chara_card_v2",
        "data": {
            "name": PAYLOADS[0], "system_prompt": ALL, "creator_notes": MARKDOWN, "tags": list(PAYLOADS), "creator": ALL,
            "first_mes": ALL, "character_version": ALL, "mes_example": f"{{{{user}}}}: {ALL}\n{{{{char}}}}: {ALL}",
            "extensions": {ALL: 1}, ALL: ALL,
        },
    }  # fmt: skip
    found = watched(place)
    page = found.open("/personas")
    name = f"{PAYLOADS[1]}.json"
    for body in (json.dumps(card), f"system: *{ALL}", ALL, f'{{"{PAYLOADS[1]}": ['):
        page.locator("#file").set_input_files({"name": name, "mimeType": "x/y", "buffer": body.encode()})
        page.wait_for_load_state("networkidle")
        check(found)


def test_the_static_report_runs_nothing(place: Place) -> None:
    found = watched(place)
    found.base = "file://"
    found.page.goto((place.root / "report.html").as_uri())
    assert "<svg onload=pwned=2>" in found.page.content() or "&lt;svg onload=pwned=2&gt;" in found.page.content()
    found.page.evaluate(OPEN_ALL)
    check(found)
