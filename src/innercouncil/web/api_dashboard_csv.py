"""The tables of the dashboard as CSV files."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from innercouncil.app.behind import BIASES, all_behind
from innercouncil.app.council import House
from innercouncil.model.adherence import PersonaAdherence
from innercouncil.model.ratings import Board, Standings
from innercouncil.model.similarity import Estimated
from innercouncil.web.api import TABLE
from innercouncil.web.api_dashboard import BOARD, FIGURE, ab_rows, figure_of, figures_of, twins_out, worth_out
from innercouncil.web.spreadsheet import MEDIA_TYPE, Cell, csv_response


@TABLE.add(
    "GET", "/api/dashboard/sessions.csv", "The same as CSV, all of them", returns=MEDIA_TYPE, query=FIGURE
)  # fmt: skip
async def dashboard_sessions_csv(house: House, request: Request) -> Response:
    """One line a session."""
    found = await asyncio.to_thread(lambda: list(all_behind(figures_of(request), figure_of(request))))
    rows: list[list[Cell]] = [
        [s.id, s.created_at, s.question, s.winner, int(s.voted), row.said] for row in found for s in (row.session,)
    ]
    head = ["session", "created_at", "question", "winner", "you_voted", "said"]
    return csv_response("sessions.csv", head, rows)


@TABLE.add("GET", "/api/dashboard/standings.csv", "Ratings as CSV", returns=MEDIA_TYPE, query=BOARD)
async def dashboard_standings_csv(house: House, request: Request) -> Response:
    """Of one board, or of all."""
    found = await asyncio.to_thread(figures_of(request).standings)
    head = ["board", "topic", "place_first", "place_last", "slug", "persona", "win_rate", "low", "high", "strength",
            "strength_low", "strength_high", "won", "tied", "lost", "questions"]  # fmt: skip
    rows: list[list[Cell]] = [
        [b.name, b.topic, r.first, r.last, r.slug, found.names.get(r.slug, r.slug), r.win_rate, r.win_low, r.win_high,
         r.strength, r.low, r.high, r.wins, r.ties, r.losses, r.questions]
        for b in _chosen(found, request) for r in b.ratings
    ]  # fmt: skip
    return csv_response("standings.csv", head, rows)


@TABLE.add("GET", "/api/dashboard/gauges.csv", "Bias gauges as CSV", returns=MEDIA_TYPE, query=BOARD)
async def dashboard_gauges_csv(house: House, request: Request) -> Response:
    """Of one board, or of all; a bias that could not be measured has no figures."""
    found = await asyncio.to_thread(figures_of(request).standings)
    rows: list[list[Cell]] = []
    for b in _chosen(found, request):
        rows += [[b.name, b.topic, BIASES[g.name], g.value, g.low, g.high, g.meaning, b.questions] for g in b.gauges]
        rows += [[b.name, b.topic, BIASES[u.name], None, None, None, u.why, b.questions] for u in b.unmeasured]
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
    found = await asyncio.to_thread(twins_out, figures_of(request))
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
    found = await asyncio.to_thread(twins_out, figures_of(request))
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
    found = await asyncio.to_thread(worth_out, figures_of(request))
    head = ["baseline", "judge", "council_better", "baseline_better", "alike", "preferred", "low", "high", "e_value",
            "verdict", "sessions", "judgements"]  # fmt: skip
    rows: list[list[Cell]] = [
        [c.baseline, c.judge, c.wins, c.losses, c.ties, c.share, c.low, c.high, c.evidence, c.verdict, row.sessions,
         c.judgements]
        for row in found.rows for c in (row.contest,)
    ]  # fmt: skip
    return csv_response("worth.csv", head, rows)


@TABLE.add("GET", "/api/dashboard/costs.csv", "What a question takes, as CSV", returns=MEDIA_TYPE)
async def dashboard_costs_csv(house: House, request: Request) -> Response:
    """One line a way of answering."""
    found = await asyncio.to_thread(figures_of(request).worth)
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
        for t in await asyncio.to_thread(ab_rows, house)
    ]  # fmt: skip
    return csv_response("ab.csv", head, rows)


@TABLE.add("GET", "/api/dashboard/adherence.csv", "Adherence of each persona as CSV", returns=MEDIA_TYPE)
async def dashboard_adherence_csv(house: House, request: Request) -> Response:
    """One line a persona; `change` is late less early in long conversations."""
    head = ["persona", "kept", "low", "high", "control", "control_low", "control_high", "difference", "difference_low",
            "difference_high", "verdict", "answers", "unjudged", "conversations", "early", "late", "change", "change_low",
            "change_high", "drift"]  # fmt: skip
    rows: list[list[Cell]] = [
        [p.name, *_three(p.kept), *_three(p.control), *_three(p.difference), p.verdict, p.answers, p.unjudged,
         *([d.conversations, d.early, d.late, *_three(d.change), d.verdict] if (d := p.drift) else [None] * 7)]
        for p in await _adherence(request)
    ]  # fmt: skip
    return csv_response("adherence.csv", head, rows)


@TABLE.add(
    "GET", "/api/dashboard/adherence_items.csv", "Checklists and what became of them, as CSV", returns=MEDIA_TYPE
)
async def dashboard_adherence_items_csv(house: House, request: Request) -> Response:
    """One line an item."""
    head = ["persona", "line", "item", "by", "questions", "kept", "low", "high", "control", "control_low", "control_high",
            "difference", "difference_low", "difference_high", "verdict"]  # fmt: skip
    rows: list[list[Cell]] = [
        [p.name, i.line, i.question, i.by, i.questions, *_three(i.persona), *_three(i.control), *_three(i.difference), i.verdict]
        for p in await _adherence(request) for i in p.items
    ]  # fmt: skip
    return csv_response("adherence_items.csv", head, rows)


@TABLE.add("GET", "/api/dashboard/adherence_style.csv", "Style against the own voice, as CSV", returns=MEDIA_TYPE)
async def dashboard_adherence_style_csv(house: House, request: Request) -> Response:
    """One line a persona and measure."""
    head = ["persona", "measure", "with_persona", "control", "voice", "nearer_by", "low", "high", "verdict"]
    rows: list[list[Cell]] = [
        [p.name, m.name, m.persona, m.control, m.voice, *_three(m.gain), m.verdict]
        for p in await _adherence(request) for m in p.style
    ]  # fmt: skip
    return csv_response("adherence_style.csv", head, rows)


@TABLE.add("GET", "/api/dashboard/adherence_turns.csv", "Adherence turn by turn, as CSV", returns=MEDIA_TYPE)
async def dashboard_adherence_turns_csv(house: House, request: Request) -> Response:
    """One line a persona and turn of its long conversations."""
    head = ["persona", "turn", "answers", "kept", "sentence_length", "question_rate", "function_words"]
    rows: list[list[Cell]] = [
        [p.name, t.turn, t.answers, t.kept, t.sentence_length, t.question_rate, t.function_words]
        for p in await _adherence(request) if p.drift for t in p.drift.by_turn
    ]  # fmt: skip
    return csv_response("adherence_turns.csv", head, rows)


async def _adherence(request: Request) -> Sequence[PersonaAdherence]:
    found = await asyncio.to_thread(figures_of(request).adherence)
    return found.report.personas if found.report else ()


def _three(e: Estimated | None) -> list[float | None]:
    return [e.value, e.low, e.high] if e else [None, None, None]
