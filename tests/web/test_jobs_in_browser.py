"""A job is in sight on every page: with its question, its progress, its end and a way to stop it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from browser import chromium, run_py
from playwright.sync_api import Browser, Page, expect
from scripted_author import serving
from test_jobs import copies

from innercouncil.app.discover import Outcome


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def address(discovered: tuple[Outcome, Path], tmp_path: Path) -> Iterator[str]:
    workspace = tmp_path / "data"
    shutil.copytree(discovered[1], workspace)
    with run_py(workspace) as found:
        yield found


def opened(browser: Browser, address: str) -> Page:
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.goto(address)
    return page


def test_a_question_is_put_again_after_a_reload_and_holds_nothing_up(browser: Browser, address: str) -> None:
    with serving() as author:
        page = opened(browser, f"{address}/personas")
        slug = httpx.get(f"{address}/api/personas").json()["personas"][0]["slug"]
        page.goto(f"{address}/personas/{slug}")
        httpx.post(f"{address}/api/personas/{slug}/write", json={"model": author}).raise_for_status()
        page.reload()
        expect(page.get_by_role("dialog")).to_contain_text("calls")
        other = opened(browser, f"{address}/models")
        expect(other.get_by_role("dialog")).to_contain_text("calls")
        page.reload()
        page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        expect(page.locator(".job")).to_contain_text("Nothing was asked")
        expect(other.get_by_role("dialog")).to_have_count(0)  # no second answer is asked for
    assert httpx.get(f"{address}/api/jobs").json() == []


def test_an_import_goes_on_in_sight_and_can_be_stopped_from_any_page(browser: Browser, address: str) -> None:
    export = {"content-type": "application/octet-stream"}
    job = httpx.post(f"{address}/api/imports", params={"filename": "x.json"}, content=copies(40), headers=export, timeout=60)
    while httpx.get(f"{address}/api/jobs/{job.json()['job']}").json()["stage"] != "label":
        time.sleep(0.05)
    page = opened(browser, f"{address}/sessions")
    expect(page.locator(".job")).to_contain_text("Labelling your messages")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator(".job").get_by_role("button", name="Cancel").click()
    expect(page.locator(".job")).to_contain_text("You stopped it")
    page.get_by_role("button", name="Show this page anew").click()
    expect(page.locator(".job")).to_have_count(0)
    assert httpx.get(f"{address}/api/jobs").json() == []
