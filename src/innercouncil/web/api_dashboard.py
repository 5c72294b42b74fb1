"""The part of the HTTP API behind the dashboard: its figures and the sessions behind each."""

from __future__ import annotations

import asyncio
from typing import Any, Final, get_args

import msgspec
from starlette.requests import Request

from innercouncil.app import ab_tests
from innercouncil.app.behind import Behind, Figure, Kind, behind
from innercouncil.app.council import House
from innercouncil.app.dashboard import Figures
from innercouncil.model.adherence import AdherenceReport
from innercouncil.model.errors import UsageError
from innercouncil.model.ratings import Standings
from innercouncil.model.similarity import TwinReport
from innercouncil.model.worth import Contest, Worth
from innercouncil.store.ab_tests import AbStore
from innercouncil.web.api import TABLE, TEXT, whole

BOARD: Final[dict[str, Any]] = {"board": {"type": "string", "enum": ["person", "models"]}, "topic": TEXT}
FIGURE: Final[dict[str, Any]] = {
    "figure": {"type": "string", "enum": list(get_args(Kind))},
    **BOARD,
    **dict.fromkeys(("slug", "other", "baseline", "judge"), TEXT),
}


class TwinsOut(msgspec.Struct):
    """What `evaluate twins` found last."""

    made_at: str
    report: TwinReport | None
    names: dict[str, str]
    problem: str
    sessions: list[int]
    """Kept sessions behind each pair of the report; none where answers were asked for it."""


class WorthRow(msgspec.Struct):
    """A line of the meter and how many sessions were judged for it."""

    contest: Contest
    sessions: int


class WorthOut(msgspec.Struct):
    """The worth-it meter."""

    worth: Worth
    rows: list[WorthRow]


class AdherenceOut(msgspec.Struct):
    """What `evaluate adherence` found last."""

    made_at: str
    report: AdherenceReport | None
    problem: str


class AbRow(msgspec.Struct):
    """An A/B test. While a question waits for its vote nobody's name is told."""

    name: str
    made_at: str
    asked: int
    running: bool
    waiting: bool
    a: str = ""
    b: str = ""
    words: str = ""
    a_wins: int = 0
    b_wins: int = 0
    ties: int = 0
    e_value: float = 1.0
    enough: float = 20.0
    """E-value at which a winner is named."""
    low: float = 0.0
    """95% confidence sequence for the share of decisive votes that B wins."""
    high: float = 1.0


class AbRowsOut(msgspec.Struct):
    """All tests, newest first."""

    tests: list[AbRow]


def figures_of(request: Request) -> Figures:
    """The figures of this app."""
    figures: Figures = request.app.state.figures
    return figures


# --- figures ---


@TABLE.add("GET", "/api/dashboard/standings", "Whose answers win, and what moves the judges", returns=Standings)
async def dashboard_standings(house: House, request: Request) -> Standings:
    """Computed once after each vote."""
    return await asyncio.to_thread(figures_of(request).standings)


@TABLE.add("GET", "/api/dashboard/twins", "Which personas are twins", returns=TwinsOut)
async def dashboard_twins(house: House, request: Request) -> TwinsOut:
    """As it was found last."""
    return await asyncio.to_thread(twins_out, figures_of(request))


def twins_out(figures: Figures) -> TwinsOut:
    """Names for slugs, and counts for the ids of sessions."""
    found = figures.twins()
    if found.report is None:
        return TwinsOut("", None, {}, found.problem, [])
    report, known = found.report, figures.names()
    names = {slug: known.get(slug, slug) for slug in report.personas}
    sessions = [sum({p.one, p.other} <= set(b.compared) for b in report.sessions) for p in report.pairs]
    return TwinsOut(found.made_at, msgspec.structs.replace(report, sessions=()), names, "", sessions)


@TABLE.add("GET", "/api/dashboard/worth", "The worth-it meter with its sessions", returns=WorthOut)
async def dashboard_worth(house: House, request: Request) -> WorthOut:
    """What all blind judgements come to."""
    return await asyncio.to_thread(worth_out, figures_of(request))


def worth_out(figures: Figures) -> WorthOut:
    """Lines with the number of their sessions."""
    found = figures.worth()
    rows = [
        WorthRow(c, len({v.session for v in figures.worth_votes(c.baseline, c.judge)})) for c in found.contests
    ]  # fmt: skip
    return WorthOut(found, rows)


@TABLE.add("GET", "/api/dashboard/ab", "A/B tests with their verdicts", returns=AbRowsOut)
async def dashboard_ab(house: House, request: Request) -> AbRowsOut:
    """Newest first."""
    return AbRowsOut(await asyncio.to_thread(ab_rows, house))


def ab_rows(house: House) -> list[AbRow]:
    """Newest first; a test that waits for a vote tells nothing."""
    out = []
    for test in AbStore(house.database).all():
        found = ab_tests.report(house, test.name)
        v = found.verdict
        row = AbRow(
            test.name, test.made_at, found.asked, v.state == "open" and test.stopped_at is None, found.open_trial is not None,
        )  # fmt: skip
        if not row.waiting:
            row.a, row.b, row.words, row.enough = test.a.name, test.b.name, found.words, 1 / test.options.alpha
            row.a_wins, row.b_wins, row.ties = v.a_wins, v.b_wins, v.ties
            row.e_value, row.low, row.high = v.e_value, v.low, v.high
        out.append(row)
    return out


@TABLE.add("GET", "/api/dashboard/adherence", "Whether personas keep to their prompts", returns=AdherenceOut)
async def dashboard_adherence(house: House, request: Request) -> AdherenceOut:
    """As it was found last."""
    found = await asyncio.to_thread(figures_of(request).adherence)
    return AdherenceOut(found.made_at, found.report, found.problem)


# --- sessions behind a figure ---


@TABLE.add(
    "GET", "/api/dashboard/sessions", "The sessions that a figure was counted over, newest first", returns=Behind,
    query={**FIGURE, "before": TEXT, "limit": {"type": "integer", "minimum": 1, "maximum": 200}},
)  # fmt: skip
async def dashboard_sessions(house: House, request: Request) -> Behind:
    """A page of them."""
    given = request.query_params
    before, limit = given.get("before") or None, whole(given.get("limit", "30"))
    return await asyncio.to_thread(behind, figures_of(request), figure_of(request), before=before, limit=limit)


def figure_of(request: Request) -> Figure:
    """The figure a request names. Raises UsageError."""
    given = {name: request.query_params[name] for name in FIGURE if name in request.query_params}
    try:
        return msgspec.convert(given, Figure)
    except msgspec.ValidationError:
        raise UsageError(f"There is no such figure; `figure` is one of: {', '.join(get_args(Kind))}.") from None
