"""The persona page's adapter: its gates, the switch there and back, and the blind test, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
from browser import ARTEFACTS, Watched, chromium, run_py
from playwright.sync_api import expect

from innercouncil.app.council import House
from innercouncil.app.council_settings import CouncilSettings
from innercouncil.app.tune_adapters import adapter_of, digest_of, prompt_digest
from innercouncil.app.tune_card import GATES
from innercouncil.model.card import PersonaCard
from innercouncil.model.gates import Gate, GateReport
from innercouncil.store.workspace import Workspace
from tiny_adapter import row, trained
from tiny_model import build_tiny_model


def with_gates(house: House, folder: Path, slug: str, model: Path, *, passed: bool) -> None:
    adapter = adapter_of(house, slug)
    gates = (Gate(name="voice", outcome="open", words="Nothing <b>told</b>."), Gate(name="privacy", outcome="pass" if passed else "fail", words="1 of 4 planted secrets came out."))  # fmt: skip
    report = GateReport(
        adapter=adapter.name, sha256=adapter.sha256, base=model.name, base_sha256=digest_of(house.database, model),
        prompt_sha256=prompt_digest(house.cards.get(slug).card.system), data_sha256="", seed=0, passed=passed, gates=gates,
    )  # fmt: skip
    (folder / GATES).write_bytes(msgspec.json.encode(report))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("adapters")
    model = build_tiny_model(home / "tiny.gguf", ending=4.5)
    house = House(Workspace(home / "data"))
    house.backends.change(CouncilSettings(worker=str(model), lite=True, context_tokens=8192))
    for name, passed in (("Good", True), ("Leaky", False)):
        house.cards.add(PersonaCard(name=name, system=f"You are {name}."), name.lower(), "created")
        folder = trained(home / "data", name.lower(), [row("q", "a b")], [])
        with_gates(house, folder, name.lower(), model, passed=passed)
    house.cards.add(PersonaCard(name="Plain", system="You are Plain."), "plain", "created")
    house.backends.stop()
    house.database.close()
    with run_py(home / "data") as address:
        yield address


def test_the_api_seats_what_passed_and_wants_a_reason_for_what_did_not(base: str) -> None:
    with httpx.Client(base_url=base, timeout=60) as client:
        assert client.post("/api/personas/good/adapter/seat", json={}, headers={"origin": "https://evil.example"}).status_code == 403  # fmt: skip
        assert client.get("/api/personas/good/adapter").json()["seated"] is None
        seated = client.post("/api/personas/good/adapter/seat", json={}).json()
        assert seated["seated"]["name"] == seated["name"]
        refused = client.post("/api/personas/leaky/adapter/seat", json={"reason": " "})
        assert refused.status_code == 400
        assert "because of: privacy" in refused.json()["error"]
        forced = client.post("/api/personas/leaky/adapter/seat", json={"reason": "read by me alone"}).json()
        assert forced["seated"]["forced"] == "read by me alone"
        for slug in ("good", "leaky"):
            assert client.post(f"/api/personas/{slug}/adapter/unseat").json()["seated"] is None
        assert client.get("/api/personas/plain/adapter").json()["name"] == ""
        assert client.post("/api/personas/plain/adapter/seat", json={}).status_code == 400
        assert client.get("/api/personas/nobody/adapter").status_code == 404


def test_one_click_seats_an_adapter_and_one_takes_it_away(base: str) -> None:
    with chromium() as browser:
        watched = Watched(browser, base)
        page = watched.open("/personas/good")
        expect(page.locator("#adapter-state")).to_contain_text("Speaks with the prompt alone.")
        expect(page.locator("#gates")).to_contain_text("voice: not told. Nothing <b>told</b>.")
        page.get_by_role("button", name="Speak with the adapter").press("Enter")
        expect(page.locator("#adapter-state")).to_contain_text("Speaks with good-")
        page.get_by_role("button", name="Back to the prompt alone").click()
        expect(page.locator("#adapter-state")).to_contain_text("Speaks with the prompt alone.")
        page.get_by_role("button", name="Test it blind").click()
        page.wait_for_url("**/ab")
        page = watched.open("/personas/good")
        expect(page.locator("#adapter-tests")).to_contain_text("No difference shown yet")
        assert not watched.problems
        ARTEFACTS.mkdir(exist_ok=True)
        for width in (1280, 390):
            for dark in (False, True):
                page = Watched(browser, base, width=width, dark=dark).open("/personas/leaky")
                expect(page.locator("#adapter-state")).to_have_text(re.compile(r"It may not serve: privacy\.$"))
                assert page.get_by_role("button", name="Speak with the adapter").count() == 0
                page.screenshot(path=ARTEFACTS / f"adapter-{width}-{'dark' if dark else 'light'}.png", full_page=True)
        page = watched.open("/personas/plain")
        expect(page.locator("#heading")).to_have_text("Plain")
        expect(page.locator("#adapter")).to_be_hidden()


def test_a_reason_is_asked_for_where_it_belongs_and_survives_a_failed_gate_run(base: str) -> None:
    with chromium() as browser:
        watched = Watched(browser, base, width=390)
        page = watched.open("/personas/leaky")
        reason, seat = page.locator("#adapter-reason"), page.get_by_role("button", name="Seat it all the same")
        for text in ("", "  "):
            reason.fill(text)
            seat.click()
            expect(reason).to_be_focused()
            assert not reason.evaluate("(e) => e.validity.valid")
            expect(page.locator("#notices")).to_be_empty()
        page.screenshot(path=ARTEFACTS / "adapter-reason-390.png")
        reason.fill("read by me alone")
        with httpx.Client(base_url=base, timeout=60) as client:
            settings = client.get("/api/models").json()["settings"]
            client.put("/api/models", json=settings | {"worker": "none"}).raise_for_status()
            page.get_by_role("button", name="Run the gates again").click()
            expect(page.locator("#notices")).to_contain_text("none is not on this machine")
            client.put("/api/models", json=settings).raise_for_status()
        expect(reason).to_have_value("read by me alone")
        expect(seat).to_be_enabled()
        reason.press("Enter")
        expect(page.locator("#adapter-state")).to_contain_text("Seated all the same: read by me alone")
        page.get_by_role("button", name="Back to the prompt alone").click()
        expect(reason).to_have_value("")
