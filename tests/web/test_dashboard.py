"""The dashboard: its API, the CSV files, the sessions behind each figure, and the page in a real browser."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from browser import ARTEFACTS, ROOT, Watched, chromium, run_py
from playwright.sync_api import Browser, expect

from innercouncil.store.database import Database
from innercouncil.store.sessions import SessionStore
from innercouncil.store.workspace import Workspace
from innercouncil.web.spreadsheet import csv_text
from voted_sessions import empty, filled

DOUBTER = "=Doubter of everything that was ever written down"
VENDOR = ROOT / "src" / "innercouncil" / "web" / "static" / "vendor"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    workspace = filled(tmp_path_factory.mktemp("dashboard") / "data")
    with run_py(workspace.root) as address:
        yield address


@pytest.fixture
def client(base: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=base, timeout=60) as opened:
        yield opened


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    ARTEFACTS.mkdir(exist_ok=True)
    with chromium() as opened:
        yield opened


def behind(client: httpx.Client, **figure: str) -> list[dict[str, object]]:
    """All sessions behind a figure, page by page."""
    rows: list[dict[str, object]] = []
    before: dict[str, str] = {}
    while True:
        page = client.get("/api/dashboard/sessions", params={**figure, **before, "limit": "7"}).json()
        rows += page["sessions"]
        if page["next"] is None:
            break
        before = {"before": page["next"]}
    assert len(rows) == len({row["session"]["id"] for row in rows}) == page["total"]  # type: ignore[index]
    return rows


def table(client: httpx.Client, name: str, **given: str) -> list[dict[str, str]]:
    answer = client.get(f"/api/dashboard/{name}.csv", params=given)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}.csv"'
    return list(csv.DictReader(io.StringIO(answer.text, newline=""), strict=True))


# --- the sessions behind a figure ---


def test_exactly_the_sessions_that_a_rating_counts_are_behind_it(client: httpx.Client) -> None:
    boards = client.get("/api/dashboard/standings").json()["boards"]
    drawn = [b for b in boards if not b["missing"]]
    assert {(b["name"], b["topic"]) for b in drawn} >= {("person", ""), ("models", ""), ("models", "software")}
    for board in boards:
        where = {"board": board["name"], "topic": board["topic"]}
        assert len(behind(client, figure="board", **where)) == board["questions"]
    for board in drawn:
        where = {"board": board["name"], "topic": board["topic"]}
        for gauge in board["gauges"]:
            assert len(behind(client, figure="gauge", slug=gauge["name"], **where)) == board["questions"]
        for rating in board["ratings"]:
            rows = behind(client, figure="persona", slug=rating["slug"], **where)
            assert len(rows) == rating["questions"]
            counted = [list(map(int, re.findall(r"\d+", str(row["said"])))) for row in rows]
            assert list(map(sum, zip(*counted, strict=True))) == [rating["wins"], rating["ties"], rating["losses"]]
    assert any(r["questions"] < b["questions"] for b in drawn for r in b["ratings"]), "some sat in only some sessions"


def test_sessions_are_told_newest_first_with_their_question_and_winner(client: httpx.Client) -> None:
    rows = [row["session"] for row in behind(client, figure="board", board="models")]
    numbers = [int(re.findall(r"\((\d+)\)", r["question"])[0]) for r in rows]  # type: ignore[index, call-overload]
    assert numbers == sorted(numbers, reverse=True)
    assert any(r["winner"] for r in rows)  # type: ignore[index, call-overload]
    person = behind(client, figure="board", board="person")
    assert all(str(row["said"]).startswith("You put first: ") for row in person)


def test_the_sessions_behind_twins_and_the_meter_are_as_many_as_is_said(client: httpx.Client) -> None:
    twins = client.get("/api/dashboard/twins").json()
    assert {p["verdict"] for p in twins["report"]["pairs"]} >= {"twins", "distinct"}
    for pair, sessions in zip(twins["report"]["pairs"], twins["sessions"], strict=True):
        assert (
            len(behind(client, figure="pair", slug=pair["one"], other=pair["other"])) == sessions == pair["questions"]
        )
    for removal in twins["report"]["removals"]:
        assert len(behind(client, figure="removal", slug=removal["persona"])) == removal["sessions"] > 0
    rows = client.get("/api/dashboard/worth").json()["rows"]
    assert {(r["contest"]["judge"], r["contest"]["baseline"]) for r in rows} == {
        ("person", "alone"), ("person", "samples"), ("models", "alone"),
    }  # fmt: skip
    for row in rows:
        contest = row["contest"]
        judged = behind(client, figure="worth", baseline=contest["baseline"], judge=contest["judge"])
        assert len(judged) == row["sessions"]
        judges = 2 if contest["judge"] == "models" else 1
        assert len(judged) == contest["wins"] + contest["ties"] + contest["losses"]
        assert len(judged) * judges == contest["judgements"]
        counted = Counter(str(s["said"]).rpartition("counts as ")[2] for s in judged)
        told = [counted[w] for w in ("the council better", "alike", "the baseline better")]
        assert told == [contest["wins"], contest["ties"], contest["losses"]]
    listed = client.get("/api/sessions", params={"limit": "200"}).json()["sessions"]
    sat = [client.get(f"/api/sessions/{s['id']}").json()["council"]["workers"] for s in listed]
    maker = sum("maker" in {w["slug"] for w in workers} for workers in sat)
    assert len(behind(client, figure="seated", slug="maker")) == maker < len(sat) == 60


def test_a_figure_there_is_not_is_refused_in_one_sentence(client: httpx.Client) -> None:
    for wrong in (
        "",
        "figure=x",
        "figure=board&board=x",
        "figure=gauge&slug=x",
        "figure=worth&judge=x",
        "figure=board&limit=x",
    ):
        answer = client.get(f"/api/dashboard/sessions?{wrong}")
        assert answer.status_code == 400, wrong
        assert answer.json()["error"].endswith(".")
    assert client.get("/api/dashboard/sessions?figure=persona&slug=nobody").json()["total"] == 0


def test_a_vote_and_a_deletion_are_in_the_figures_at_once(tmp_path: Path) -> None:
    workspace = filled(tmp_path / "data", sessions=24)
    with run_py(workspace.root) as address, httpx.Client(base_url=address, timeout=60) as client:

        def board() -> tuple[int, int]:
            found = next(iter(client.get("/api/dashboard/standings").json()["boards"]))
            return found["questions"], len(behind(client, figure="board", board="person"))

        before = board()[0]
        assert board() == (before, before)
        sessions = client.get("/api/sessions").json()["sessions"]
        unvoted = next(s["id"] for s in sessions if not s["voted"])
        client.post(f"/api/sessions/{unvoted}/votes", json={"tiers": [[0], [1, 2]], "blind": True})
        assert board() == (before + 1, before + 1)
        database = Database(workspace.database)  # as another program changes it
        SessionStore(database).delete(unvoted)
        database.close()
        assert board() == (before, before)
        twins = client.get("/api/dashboard/twins").json()["report"]["removals"][0]
        told = client.get("/api/dashboard/sessions", params={"figure": "removal", "slug": twins["persona"]}).json()
        assert told["total"] in (twins["sessions"], twins["sessions"] - 1)


# --- CSV ---


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_a_cell_that_a_spreadsheet_would_run_is_defused(cell: str) -> None:
    rows = list(csv.reader(io.StringIO(csv_text(["a", "b"], [[cell, -0.5]]), newline=""), strict=True))
    assert rows == [["a", "b"], ["'" + cell, "-0.5"]], "numbers stay numbers"


def test_csv_follows_rfc_4180() -> None:
    text = csv_text(["a", "b"], [['say "so", please', "two\nlines"], [None, "ä"]])
    assert text == 'a,b\r\n"say ""so"", please","two\nlines"\r\n,ä\r\n'


def test_every_table_is_a_csv_with_the_same_figures(client: httpx.Client) -> None:
    boards = client.get("/api/dashboard/standings").json()["boards"]
    person = next(b for b in boards if b["name"] == "person" and not b["topic"])
    rows = table(client, "standings", board="person", topic="")
    assert [float(r["win_rate"]) for r in rows] == [r["win_rate"] for r in person["ratings"]]
    assert "'" + DOUBTER in {r["persona"] for r in rows}
    assert len(table(client, "standings")) == sum(len(b["ratings"]) for b in boards)
    gauges = table(client, "gauges", board="person", topic="")
    assert [r["bias"] for r in gauges if r["favoured_wins"]] == ["the length of an answer", "its formatting"]
    assert "Where you saw each answer is not kept." in {r["meaning"] for r in gauges}
    assert len(table(client, "twins")) == 6
    assert len(table(client, "removals")) == 4
    assert {r["judge"] for r in table(client, "worth")} == {"person", "models"}
    assert [r["part"] for r in table(client, "costs")] == ["council", "alone", "samples"]
    assert len(table(client, "sessions", figure="board", board="person")) == person["questions"]
    assert [r["verdict"] for r in table(client, "adherence")] == ["keeps", "keeps", "not sure", "not judged"]
    assert len(table(client, "adherence_items")) == 3
    assert len(table(client, "adherence_style")) == 4
    assert len(table(client, "adherence_turns")) == 15


# --- A/B ---


def test_nobodys_name_is_told_while_a_question_waits(client: httpx.Client) -> None:
    tests = {t["name"]: t for t in client.get("/api/dashboard/ab").json()["tests"]}
    assert (tests["waiting"]["a"], tests["waiting"]["words"]) == ("", "")
    assert tests["shorter"]["e_value"] >= tests["shorter"]["enough"] == 20
    lines = {r["test"]: r for r in table(client, "ab")}
    assert "old" not in str(lines["waiting"])
    assert lines["shorter"]["b"] == "'=shorter new"
    assert client.get("/api/ab/waiting/pairs").status_code == 400
    page = client.get("/api/ab/shorter/pairs").json()
    assert [p["number"] for p in page["pairs"]] == list(range(30, 10, -1))
    rest = client.get("/api/ab/shorter/pairs", params={"before": page["next"]}).json()
    assert ([p["number"] for p in rest["pairs"]], rest["next"]) == (list(range(10, 0, -1)), None)
    outcomes = [p["outcome"] for p in page["pairs"] + rest["pairs"]]
    shorter = tests["shorter"]
    assert [outcomes.count(x) for x in ("a", "b", "tie")] == [shorter["a_wins"], shorter["b_wins"], shorter["ties"]]


# --- the page ---


def test_the_chart_library_is_the_published_file() -> None:
    told = (VENDOR / "chart.LICENSE.txt").read_text("utf-8")
    digest = hashlib.sha256((VENDOR / "chart.umd.min.js").read_bytes()).hexdigest()
    assert f"SHA-256: {digest}" in told
    assert "MIT License" in told


def test_a_chart_leads_to_the_sessions_by_keyboard_and_by_mouse(base: str, browser: Browser) -> None:
    watched = Watched(browser, base)
    page = watched.open("/dashboard")
    chart = page.get_by_role("application", name=re.compile("Standings in your eyes"))
    chart.focus()
    live = page.locator("#standings [aria-live]")
    expect(live).to_contain_text("Maker: ")
    page.keyboard.press("ArrowDown")
    expect(live).to_contain_text("Planner: ")
    page.screenshot(path=ARTEFACTS / "dashboard-keyboard.png")
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    page.wait_for_url("**/dashboard/sessions?*slug=maker*")
    expect(page.locator("#heading")).to_have_text("Maker in your eyes, all topics")
    counted = page.locator("#count").inner_text()
    page.get_by_role("button", name="Show more").click()
    expect(page.locator("#list > li")).to_have_count(int(counted.split()[0]))
    page.get_by_role("link", name="Dashboard").last.click()
    expect(page.get_by_role("link", name=f"{counted} behind Maker")).to_be_visible()

    box = page.locator("#standings canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 45)
    page.screenshot(path=ARTEFACTS / "dashboard-hover.png")
    page.mouse.click(box["x"] + box["width"] * 0.6, box["y"] + 45)
    page.wait_for_url("**/dashboard/sessions?*slug=maker*")
    page.locator("#list a").first.click()
    page.wait_for_url("**/sessions/*")
    expect(page.locator("#session")).to_contain_text("The council's answer")
    assert not watched.problems


def test_another_board_is_chosen_and_stands_in_the_address(base: str, browser: Browser) -> None:
    watched = Watched(browser, base)
    page = watched.open("/dashboard")
    page.locator("#board").select_option("models")
    page.locator("#topic").select_option("software")
    page.wait_for_url("**/dashboard?board=models&topic=software")
    page.reload()
    expect(
        page.get_by_role("application", name=re.compile("Standings in the models' eyes, on software"))
    ).to_be_visible()
    page.locator("#topic").select_option("creative")
    expect(page.locator("#gauges")).to_contain_text("In the models' eyes, on creative.")
    assert not watched.problems


def test_a_new_vote_is_shown_without_a_reload(base: str, browser: Browser, client: httpx.Client) -> None:
    watched = Watched(browser, base)
    page = watched.open("/dashboard?board=person")
    before = page.locator("#standings p").first.inner_text()
    unvoted = next(s["id"] for s in client.get("/api/sessions").json()["sessions"] if not s["voted"])
    client.post(f"/api/sessions/{unvoted}/votes", json={"tiers": [[0], [1], [2]], "blind": True})
    page.evaluate("window.stayed = true")
    page.get_by_role("button", name="Refresh").click()
    expect(page.locator("#standings p").first).not_to_have_text(before)
    assert page.evaluate("window.stayed")
    assert not watched.problems


def test_a_test_leads_to_its_pairs(base: str, browser: Browser) -> None:
    watched = Watched(browser, base)
    page = watched.open("/dashboard")
    page.get_by_role("link", name="30 pairs behind shorter").click()
    expect(page.locator("#pairs summary").nth(1)).to_have_text("30. Question 30?")
    page.locator("#pairs summary").nth(1).click()
    expect(page.locator("#pairs article").first).to_contain_text("a says 30")
    assert not watched.problems


def test_a_name_that_looks_like_markup_is_shown_as_text(base: str, browser: Browser) -> None:
    watched = Watched(browser, base)
    page = watched.open("/dashboard")
    expect(page.locator("#standings table")).to_contain_text("Story <b>Writer</b>")
    assert page.locator("main table b").count() == 0
    assert not watched.problems


def test_an_empty_workspace_says_what_is_missing(tmp_path: Path, browser: Browser) -> None:
    workspace: Workspace = empty(tmp_path / "data")
    with run_py(workspace.root) as address:
        watched = Watched(browser, address, width=390)
        page = watched.open("/dashboard")
        expect(page.locator("#standings")).to_contain_text("Not enough votes yet: 10 more questions with your vote")
        expect(page.locator("#twins")).to_contain_text("innercouncil evaluate twins")
        expect(page.locator("#adherence")).to_contain_text("innercouncil evaluate adherence")
        expect(page.locator("#worth")).to_contain_text("no session has a baseline to judge against")
        expect(page.locator("#ab")).to_contain_text("No test yet")
        page.screenshot(path=ARTEFACTS / "dashboard-empty.png", full_page=True)
        (workspace.prompts / "twins.json").write_text("{", "utf-8")
        page.get_by_role("button", name="Refresh").click()
        expect(page.locator("#twins")).to_contain_text("twins.json cannot be read")
        assert not watched.problems


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_fits_the_window_and_keeps_to_the_policy(base: str, browser: Browser, width: int, dark: bool) -> None:
    watched = Watched(browser, base, width=width, dark=dark)
    violations = "document.addEventListener('securitypolicyviolation', (e) => { (window.violated ??= []).push(e.violatedDirective); });"
    watched.page.add_init_script(violations)
    for name, path in (("dashboard", "/dashboard"), ("behind", "/dashboard/sessions?figure=board&board=models")):
        page = watched.open(path)
        page.screenshot(path=ARTEFACTS / f"{name}-{width}-{'dark' if dark else 'light'}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("window.violated ?? []") == []
    page = watched.open("/dashboard")
    assert page.locator("main canvas").count() == 8
    for at, canvas in enumerate(page.locator("main canvas").all()):
        assert canvas.evaluate("(c) => c.closest('section').querySelector('table tbody tr') !== null"), (
            f"chart {at} has no table"
        )
        box = canvas.bounding_box()
        assert box is not None
        assert box["height"] > 90, "it is redrawn at the width there is, not made smaller"
    assert not watched.problems


def test_the_chart_is_drawn_anew_when_the_window_is_narrowed(base: str, browser: Browser) -> None:
    watched = Watched(browser, base)
    page = watched.open("/dashboard")
    canvas = page.locator("#standings canvas")
    page.set_viewport_size({"width": 390, "height": 900})
    expect(canvas).to_have_css("width", re.compile(r"^(2|3)\d\d(\.\d+)?px$"))
    page.wait_for_function("document.documentElement.scrollWidth <= 390")
    assert not watched.problems
