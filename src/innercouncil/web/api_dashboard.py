"""The part of the HTTP API behind the dashboard: its figures, each as a CSV too, and the sessions behind each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final, get_args

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from innercouncil.app import ab_tests
from innercouncil.app.behind import BIASES, Behind, Figure, Kind, behind
from innercouncil.app.council import House
from innercouncil.app.dashboard import Figures, Unmeasured, unmeasured
from innercouncil.model.errors import UsageError
from innercouncil.model.ratings import Board, Standings
from innercouncil.model.similarity import Estimated, TwinReport
from innercouncil.model.worth import Contest, Worth
from innercouncil.store.ab_tests import AbStore
from innercouncil.web.api import TABLE, whole
from innercouncil.web.spreadsheet import MEDIA_TYPE, Cell, csv_response

_TEXT: Final = {"type": "string"}
_BOARD: Final[dict[str, Any]] = {"board": {"type": "string", "enum": ["person", "models"]}, "topic": _TEXT}
_FIGURE: Final[dict[str, Any]] = {
    "figure": {"type": "string", "enum": list(get_args(Kind))},
    **_BOARD,
    **dict.fromkeys(("slug", "other", "baseline", "judge"), _TEXT),
}


class BoardOut(msgspec.Struct):
    """A board, and the biases there is no gauge of."""

    board: Board
    unmeasured: list[Unmeasured]


class BoardsOut(msgspec.Struct):
    """Every board: the person's and the models', over all topics and on each."""

    boards: list[BoardOut]
    names: dict[str, str]
    gone: tuple[str, ...]
    """Slugs of those who are no longer among the personas."""


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


def _figures(request: Request) -> Figures:
    figures: Figures = request.app.state.figures
    return figures


# --- figures ---


@TABLE.add("GET", "/api/dashboard/standings", "Whose answers win, and what moves the judges", returns=BoardsOut)
async def dashboard_standings(house: House, request: Request) -> BoardsOut:
    """Computed once after each vote."""
    found = await asyncio.to_thread(_figures(request).standings)
    return BoardsOut([BoardOut(b, unmeasured(b)) for b in found.boards], found.names, found.gone)


@TABLE.add("GET", "/api/dashboard/twins", "Which personas are twins", returns=TwinsOut)
async def dashboard_twins(house: House, request: Request) -> TwinsOut:
    """As it was found last."""
    return await asyncio.to_thread(_twins, _figures(request))


def _twins(figures: Figures) -> TwinsOut:
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
    return await asyncio.to_thread(_worth, _figures(request))


def _worth(figures: Figures) -> WorthOut:
    found = figures.worth()
    rows = [
        WorthRow(c, len({v.session for v in figures.worth_votes(c.baseline, c.judge)})) for c in found.contests
    ]  # fmt: skip
    return WorthOut(found, rows)


@TABLE.add("GET", "/api/dashboard/ab", "A/B tests with their verdicts", returns=AbRowsOut)
async def dashboard_ab(house: House, request: Request) -> AbRowsOut:
    """Newest first."""
    return AbRowsOut(await asyncio.to_thread(_ab_rows, house))


def _ab_rows(house: House) -> list[AbRow]:
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


# --- sessions behind a figure ---


@TABLE.add(
    "GET", "/api/dashboard/sessions", "The sessions that a figure was counted over, newest first", returns=Behind,
    query={**_FIGURE, "before": _TEXT, "limit": {"type": "integer", "minimum": 1, "maximum": 200}},
)  # fmt: skip
async def dashboard_sessions(house: House, request: Request) -> Behind:
    """A page of them."""
    given = request.query_params
    before, limit = given.get("before") or None, whole(given.get("limit", "30"))
    return await asyncio.to_thread(behind, _figures(request), _figure(request), before=before, limit=limit)


def _figure(request: Request) -> Figure:
    given = {name: request.query_params[name] for name in _FIGURE if name in request.query_params}
    try:
        return msgspec.convert(given, Figure)
    except msgspec.ValidationError:
        raise UsageError(f"There is no such figure; `figure` is one of: {', '.join(get_args(Kind))}.") from None


# --- CSV ---


@TABLE.add(
    "GET", "/api/dashboard/sessions.csv", "The same as CSV, all of them", returns=MEDIA_TYPE, query=_FIGURE
)  # fmt: skip
async def dashboard_sessions_csv(house: House, request: Request) -> Response:
    """One line a session."""
    rows = await asyncio.to_thread(lambda: list(_session_rows(_figures(request), _figure(request))))
    head = ["session", "created_at", "question", "winner", "you_voted", "said"]
    return csv_response("sessions.csv", head, rows)


def _session_rows(figures: Figures, figure: Figure) -> Iterable[list[Cell]]:
    before: str | None = None
    while True:
        page = behind(figures, figure, before=before, limit=200)
        for row in page.sessions:
            s = row.session
            yield [s.id, s.created_at, s.question, s.winner, int(s.voted), row.said]
        if (before := page.next) is None:
            return


@TABLE.add("GET", "/api/dashboard/standings.csv", "Ratings as CSV", returns=MEDIA_TYPE, query=_BOARD)
async def dashboard_standings_csv(house: House, request: Request) -> Response:
    """Of one board, or of all."""
    found = await asyncio.to_thread(_figures(request).standings)
    head = ["board", "topic", "place_first", "place_last", "slug", "persona", "win_rate", "low", "high", "strength",
            "strength_low", "strength_high", "won", "tied", "lost", "questions"]  # fmt: skip
    rows: list[list[Cell]] = [
        [b.name, b.topic, r.first, r.last, r.slug, found.names.get(r.slug, r.slug), r.win_rate, r.win_low, r.win_high,
         r.strength, r.low, r.high, r.wins, r.ties, r.losses, r.questions]
        for b in _chosen(found, request) for r in b.ratings
    ]  # fmt: skip
    return csv_response("standings.csv", head, rows)


@TABLE.add("GET", "/api/dashboard/gauges.csv", "Bias gauges as CSV", returns=MEDIA_TYPE, query=_BOARD)
async def dashboard_gauges_csv(house: House, request: Request) -> Response:
    """Of one board, or of all; a bias that could not be measured has no figures."""
    found = await asyncio.to_thread(_figures(request).standings)
    rows: list[list[Cell]] = []
    for b in _chosen(found, request):
        rows += [[b.name, b.topic, BIASES[g.name], g.value, g.low, g.high, g.meaning, b.questions] for g in b.gauges]
        rows += [[b.name, b.topic, BIASES[u.name], None, None, None, u.why, b.questions] for u in unmeasured(b)]
    head = ["board", "topic", "bias", "favoured_wins", "low", "high", "meaning", "questions"]
    return csv_response("gauges.csv", head, rows)


def _chosen(found: Standings, request: Request) -> list[Board]:
    given = request.query_params
    return [
        b
        for b in found.boards
        if given.get("board") in (None, b.name) and given.get("topic", b.topic) == b.topic
    ]  # fmt: skip


@TABLE.add("GET", "/api/dashboard/twins.csv", "Pairs of personas as CSV", returns=MEDIA_TYPE)
async def dashboard_twins_csv(house: House, request: Request) -> Response:
    """One line a pair, the most alike first."""
    found = await asyncio.to_thread(_twins, _figures(request))
    head = ["one", "other", "told_apart", "low", "high", "between_over_within", "ratio_low", "ratio_high",
            "prompt_overlap", "verdict", "remedy", "advice", "questions", "answers", "sessions"]  # fmt: skip
    pairs = found.report.pairs if found.report else ()
    rows: list[list[Cell]] = [
        [found.names[p.one], found.names[p.other], *_three(p.attribution), *_three(p.ratio), p.prompt_overlap, p.verdict,
         p.remedy, p.advice, p.questions, p.samples, sessions]
        for p, sessions in zip(pairs, found.sessions, strict=True)
    ]  # fmt: skip
    return csv_response("twins.csv", head, rows)


@TABLE.add("GET", "/api/dashboard/removals.csv", "Votes without each persona, as CSV", returns=MEDIA_TYPE)
async def dashboard_removals_csv(house: House, request: Request) -> Response:
    """One line a persona."""
    found = await asyncio.to_thread(_twins, _figures(request))
    head = ["persona", "changes", "changes_low", "changes_high", "wins", "wins_low", "wins_high", "swings", "swings_low",
            "swings_high", "sessions"]  # fmt: skip
    rows: list[list[Cell]] = [
        [found.names[r.persona], *_three(r.changes), *_three(r.wins), *_three(r.swings), r.sessions]
        for r in (found.report.removals if found.report else ()) if r.sessions
    ]  # fmt: skip
    return csv_response("removals.csv", head, rows)


@TABLE.add("GET", "/api/dashboard/worth.csv", "The worth-it meter as CSV", returns=MEDIA_TYPE)
async def dashboard_worth_csv(house: House, request: Request) -> Response:
    """One line a baseline and kind of judge."""
    found = await asyncio.to_thread(_worth, _figures(request))
    head = ["baseline", "judge", "council_better", "baseline_better", "alike", "preferred", "low", "high", "e_value",
            "verdict", "sessions"]  # fmt: skip
    rows: list[list[Cell]] = [
        [c.baseline, c.judge, c.wins, c.losses, c.ties, c.share, c.low, c.high, c.evidence, c.verdict, row.sessions]
        for row in found.rows for c in (row.contest,)
    ]  # fmt: skip
    return csv_response("worth.csv", head, rows)


@TABLE.add("GET", "/api/dashboard/costs.csv", "What a question takes, as CSV", returns=MEDIA_TYPE)
async def dashboard_costs_csv(house: House, request: Request) -> Response:
    """One line a way of answering."""
    found = await asyncio.to_thread(_figures(request).worth)
    rows: list[list[Cell]] = [[c.part, c.sessions, c.seconds, c.tokens] for c in found.costs]
    return csv_response("costs.csv", ["part", "sessions", "seconds", "tokens"], rows)


@TABLE.add("GET", "/api/dashboard/ab.csv", "A/B tests as CSV", returns=MEDIA_TYPE)
async def dashboard_ab_csv(house: House, request: Request) -> Response:
    """One line a test."""
    head = [
        "test",
        "begun",
        "asked",
        "a",
        "b",
        "a_wins",
        "b_wins",
        "ties",
        "e_value",
        "enough",
        "b_low",
        "b_high",
        "verdict",
    ]
    rows: list[list[Cell]] = [
        [t.name, t.made_at, t.asked, *(["", "", None, None, None, None, None, None, None, "a question waits for its vote"]
         if t.waiting else [t.a, t.b, t.a_wins, t.b_wins, t.ties, t.e_value, t.enough, t.low, t.high, t.words])]
        for t in await asyncio.to_thread(_ab_rows, house)
    ]  # fmt: skip
    return csv_response("ab.csv", head, rows)


def _three(e: Estimated | None) -> list[float | None]:
    return [e.value, e.low, e.high] if e else [None, None, None]
