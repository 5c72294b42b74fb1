"""The part of the HTTP API about council sessions."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from innercouncil.app.council import House, options_from
from innercouncil.model.council import Attachment, PersonVote, SessionRecord, SessionSummary
from innercouncil.model.errors import UsageError
from innercouncil.web.api import SSE, TABLE, TEXT, download, whole
from innercouncil.web.http import event_stream, read_file

SESSION_BYTES = 32 << 20


class Ask(msgspec.Struct, forbid_unknown_fields=True):
    """A question to the council."""

    question: str
    personas: list[str] | None = None
    options: dict[str, Any] = {}
    parent: str | None = None
    attachments: list[Attachment] = []


class IdOut(msgspec.Struct):
    """A session."""

    id: str


class SessionsOut(msgspec.Struct):
    """A page of sessions; `next` is `before` of the next page."""

    sessions: list[SessionSummary]
    next: str | None
    total: int


class Seat(msgspec.Struct, forbid_unknown_fields=True):
    """A worker's seat."""

    seat: int


class Slugs(msgspec.Struct, forbid_unknown_fields=True):
    """Personas to seat."""

    personas: list[str]


class VoteIn(msgspec.Struct, forbid_unknown_fields=True):
    """The person's vote: seats, best tier first."""

    tiers: list[list[int]]
    blind: bool = False


@TABLE.add("POST", "/api/sessions", "Ask the council", body=Ask, returns=IdOut, status=201)
async def ask(house: House, request: Request, body: Ask) -> IdOut:
    options = options_from(body.options, house.default_options())
    return IdOut(
        await house.ask(
            body.question, personas=body.personas, options=options, parent=body.parent, attachments=body.attachments
        )
    )


@TABLE.add("POST", "/api/sessions/import", "Keep an exported session", body=bytes, returns=IdOut, status=201)
async def import_session(house: House, request: Request) -> IdOut:
    return IdOut(house.sessions.import_session(await read_file(request, SESSION_BYTES)))


@TABLE.add(
    "GET", "/api/sessions", "Sessions, newest first", returns=SessionsOut,
    query={"query": TEXT, "before": TEXT, "limit": {"type": "integer", "minimum": 1, "maximum": 200}},
)  # fmt: skip
async def list_sessions(house: House, request: Request) -> SessionsOut:
    given = request.query_params
    page = house.sessions.page(
        query=given.get("query", "")[:1000], before=given.get("before") or None, limit=whole(given.get("limit", "30"))
    )
    return SessionsOut(page.sessions, page.next, page.total)


@TABLE.add("GET", "/api/sessions/{id}", "A session", returns=SessionRecord)
async def get_session(house: House, request: Request) -> SessionRecord:
    record = house.sessions.get(request.path_params["id"])
    return record


@TABLE.add("DELETE", "/api/sessions/{id}", "Delete a session for real, with the follow-ups that quote it", status=204)
async def delete_session(house: House, request: Request) -> None:
    session = request.path_params["id"]
    if not {session, *house.sessions.followups(session)}.isdisjoint(house.running()):
        raise UsageError("The session, or one that follows up on it, is still running; stop it first.")
    house.sessions.delete(session)


@TABLE.add("GET", "/api/sessions/{id}/events", "A session as it happens, from the beginning", returns=SSE)
async def session_events(house: House, request: Request) -> Response:
    house.sessions.get(request.path_params["id"])

    async def events() -> AsyncGenerator[tuple[str, Any], None]:
        async with contextlib.aclosing(house.events(request.path_params["id"])) as all_events:
            async for event in all_events:
                yield str(event.__struct_config__.tag), event

    return event_stream(events())


@TABLE.add("POST", "/api/sessions/{id}/stop", "Stop a session", returns=IdOut, status=202)
async def stop_session(house: House, request: Request) -> IdOut:
    house.stop(request.path_params["id"])
    return IdOut(request.path_params["id"])


@TABLE.add("POST", "/api/sessions/{id}/resume", "Go on with a session", returns=IdOut, status=202)
async def resume_session(house: House, request: Request) -> IdOut:
    await house.resume(request.path_params["id"])
    return IdOut(request.path_params["id"])


@TABLE.add("POST", "/api/sessions/{id}/retry", "Let one worker answer again", body=Seat, returns=IdOut, status=202)
async def retry_worker(house: House, request: Request, body: Seat) -> IdOut:
    await house.retry(request.path_params["id"], body.seat)
    return IdOut(request.path_params["id"])


@TABLE.add("POST", "/api/sessions/{id}/replay", "Ask again with other personas", body=Slugs, returns=IdOut, status=201)
async def replay_session(house: House, request: Request, body: Slugs) -> IdOut:
    return IdOut(await house.replay(request.path_params["id"], body.personas))


@TABLE.add("POST", "/api/sessions/{id}/votes", "The person's vote", body=VoteIn, returns=PersonVote, status=201)
async def vote(house: House, request: Request, body: VoteIn) -> PersonVote:
    return house.vote(request.path_params["id"], body.tiers, blind=body.blind)


@TABLE.add("GET", "/api/sessions/{id}/export", "The session as a file", returns="application/octet-stream")
async def export_session(house: House, request: Request) -> Response:
    id_ = request.path_params["id"]
    return download(house.sessions.export(id_), f"session-{id_[:8]}.json", "application/json")
