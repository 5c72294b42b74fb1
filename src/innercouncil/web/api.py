"""The HTTP API: what the pages use, and scripts may."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import shutil
import time
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from innercouncil import __version__
from innercouncil.app import personas as people
from innercouncil.app.council import House, options_from
from innercouncil.app.council_settings import CouncilSettings
from innercouncil.app.doctor import Found, Line, examine, list_models, pull_model
from innercouncil.app.findings import load_discovery
from innercouncil.app.helper_model import DEFAULT_BUDGET, HelperModel, Offer
from innercouncil.app.messages import find_message
from innercouncil.llm.select import FORMS, parse_model
from innercouncil.model.card import CARD_FORMATS, CardFormat, Original, PersonaCard, PersonaVersion, SeatedPersona
from innercouncil.model.council import Attachment, CouncilOptions, PersonVote, SessionRecord, SessionSummary
from innercouncil.model.errors import DeclinedError, NothingToDiscoverError, UsageError
from innercouncil.model.persona import Change, Discovery, Persona
from innercouncil.model.ports import ChatRequest, ChatTurn
from innercouncil.model.slug import is_device
from innercouncil.model.tokens import estimate_tokens
from innercouncil.store.workspace import disk_errors
from innercouncil.web.http import check_file, event_stream, read_file
from innercouncil.web.jobs import Job, Jobs, JobWatcher
from innercouncil.web.markdown import to_html
from innercouncil.web.routing import Table

TABLE = Table()
CARD_BYTES = 8 << 20
SESSION_BYTES = 32 << 20
_TEXT = {"type": "string"}
_NUMBER = {"type": "integer", "minimum": 0}
SSE = "text/event-stream"
UPLOADS = "uploads"
"""Folder under the stamps where an export lies while it is read."""


class Backend(msgspec.Struct):
    """Whether models are there."""

    ready: bool
    problem: str
    worker: str
    synthesizer: str
    remote: tuple[str, ...]


class ModelsOut(msgspec.Struct):
    """The council's models."""

    settings: CouncilSettings
    backend: Backend
    found: list[Found]
    consent: list[str]
    """Hosts that wait for the person's consent."""
    forms: str
    folder: str


class DoctorOut(msgspec.Struct):
    """What a look at this machine found."""

    lines: list[Line]


class StatusOut(msgspec.Struct):
    """The state of the app."""

    version: str
    workspace: str
    personas: int
    discovered: bool
    backend: Backend
    running: list[str]
    defaults: CouncilOptions


class ListedPersona(msgspec.Struct):
    """A persona of the list."""

    persona: SeatedPersona
    tokens: int


class PersonasOut(msgspec.Struct):
    """All personas; `conflicts` were edited by the person while discovery wrote a newer prompt."""

    personas: list[ListedPersona]
    conflicts: list[str]


class PersonaIn(msgspec.Struct, forbid_unknown_fields=True):
    """A persona as written by a person."""

    name: str
    system: str
    description: str = ""
    temperature: float | None = None


class PersonaOut(msgspec.Struct):
    """A persona with its history and the evidence it came from."""

    persona: SeatedPersona
    tokens: int
    versions: list[PersonaVersion]
    generated: str | None
    discovered: Persona | None


class Enabled(msgspec.Struct, forbid_unknown_fields=True):
    """Whether to seat a persona by default."""

    enabled: bool


class Name(msgspec.Struct, forbid_unknown_fields=True):
    """A name."""

    name: str = ""


class Number(msgspec.Struct, forbid_unknown_fields=True):
    """A version's number."""

    version: int


class SystemText(msgspec.Struct, forbid_unknown_fields=True):
    """A prompt."""

    system: str


class DiffOut(msgspec.Struct):
    """The generated prompt against another."""

    lines: list[people.DiffLine]


class Try(msgspec.Struct, forbid_unknown_fields=True):
    """One question to one persona; `system` tries another wording without keeping it."""

    question: str
    system: str | None = None


class Merge(msgspec.Struct, forbid_unknown_fields=True):
    """Two discovered personas to make one of."""

    slugs: tuple[str, str]
    name: str = ""


class JobOut(msgspec.Struct):
    """A job that was started."""

    job: str


class Overwrite(msgspec.Struct, forbid_unknown_fields=True):
    """Personas whose edits are given up for the newly generated prompt."""

    overwrite: list[str] = []


class SyncOut(msgspec.Struct):
    """What bringing the discovered personas in did, as slugs."""

    created: tuple[str, ...]
    updated: tuple[str, ...]
    kept: tuple[str, ...]
    archived: tuple[str, ...]


class LossOut(msgspec.Struct):
    """What a format cannot hold."""

    filename: str
    loss: tuple[str, ...]


class CardPreview(msgspec.Struct):
    """A card in a file."""

    card: PersonaCard
    format: CardFormat
    loss: tuple[str, ...]
    warnings: tuple[str, ...]


class CardsOut(msgspec.Struct):
    """The cards in a file."""

    cards: list[CardPreview]


class TextIn(msgspec.Struct, forbid_unknown_fields=True):
    """A text."""

    text: str


class TokensOut(msgspec.Struct):
    """Tokens of a text, an upper estimate."""

    tokens: int


class HtmlOut(msgspec.Struct):
    """Safe HTML."""

    html: str


class MessageOut(msgspec.Struct):
    """A message of the person."""

    id: str
    time: float | None
    title: str
    context: str
    text: str
    reply: str
    persona: str | None


class MapPersona(msgspec.Struct):
    """A persona on the map."""

    slug: str
    name: str


class MapOut(msgspec.Struct):
    """The persona map."""

    points: list[tuple[str, float, float, str | None]]
    personas: list[MapPersona]


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


class Host(msgspec.Struct, forbid_unknown_fields=True):
    """A host text may be sent to."""

    host: str


def jobs_of(request: Request) -> Jobs:
    """The jobs of this app."""
    jobs: Jobs = request.app.state.jobs
    return jobs


def _found(house: House) -> Discovery | None:
    with contextlib.suppress(NothingToDiscoverError):
        return load_discovery(house.workspace)
    return None


# --- state ---


@TABLE.add("GET", "/api/status", "Models, personas and running sessions", returns=StatusOut)
async def status(house: House, request: Request) -> StatusOut:
    check = await house.backends.check()
    return StatusOut(
        __version__, str(house.workspace.root.resolve()), sum(p.enabled for p in house.cards.all()), house.workspace.discovery.exists(),
        Backend(check.ready, check.problem, check.worker, check.synthesizer, check.remote), house.running(), house.default_options(),
    )  # fmt: skip


@TABLE.add("POST", "/api/tokens", "Count tokens", body=TextIn, returns=TokensOut)
async def tokens(house: House, request: Request, body: TextIn) -> TokensOut:
    return TokensOut(estimate_tokens(body.text))


@TABLE.add("POST", "/api/markdown", "Markdown as safe HTML", body=TextIn, returns=HtmlOut)
async def markdown(house: House, request: Request, body: TextIn) -> HtmlOut:
    return HtmlOut(to_html(body.text))


@TABLE.add("POST", "/api/consent", "Agree that text is sent to a host", body=Host, status=204)
async def consent(house: House, request: Request, body: Host) -> None:
    if body.host not in (await house.backends.check()).remote:
        raise UsageError("The council uses no such host; there is nothing to agree to.")
    house.backends.allow(body.host)


@TABLE.add("GET", "/api/models", "Models: which the council uses, and which are here", returns=ModelsOut)
async def get_models(house: House, request: Request) -> ModelsOut:
    return await _models(house)


async def _models(house: House) -> ModelsOut:
    found, check, settings = await list_models(house)
    waiting = [host for host in check.remote if not house.backends.allowed(host)]
    return ModelsOut(settings, Backend(*check), found, waiting, FORMS, str(house.backends.folder.root))


@TABLE.add("PUT", "/api/models", "Use other models", body=CouncilSettings, returns=ModelsOut)
async def put_models(house: House, request: Request, body: CouncilSettings) -> ModelsOut:
    house.backends.change(body)
    return await _models(house)


@TABLE.add("POST", "/api/models/pull", "Fetch a model", body=Name, returns=JobOut, status=202)
async def fetch_model(house: House, request: Request, body: Name) -> JobOut:
    async def work(watcher: JobWatcher) -> None:
        async with contextlib.aclosing(pull_model(house, body.name)) as steps:
            async for step in steps:
                watcher.at(step.what, step.done, step.total)

    return JobOut(jobs_of(request).start("model", work).id)


@TABLE.add("DELETE", "/api/jobs/{id}", "Stop fetching a model; what has arrived is kept", status=204)
async def stop_job(house: House, request: Request) -> None:
    jobs_of(request).cancel(request.path_params["id"])


@TABLE.add("GET", "/api/doctor", "What is there, what fits, what to do", returns=DoctorOut)
async def get_doctor(house: House, request: Request) -> DoctorOut:
    return DoctorOut(await examine(house))


# --- personas ---


@TABLE.add("GET", "/api/personas", "All personas of the council", returns=PersonasOut)
async def list_personas(house: House, request: Request) -> PersonasOut:
    seated = house.cards.all()
    conflicts = people.sync_personas(house.workspace, house.cards).kept if house.workspace.discovery.exists() else ()
    return PersonasOut([ListedPersona(p, estimate_tokens(p.card.system)) for p in map(_plain, seated)], list(conflicts))


@TABLE.add("POST", "/api/personas", "Make a persona by hand", body=PersonaIn, returns=SeatedPersona, status=201)
async def create_persona(house: House, request: Request, body: PersonaIn) -> SeatedPersona:
    card = PersonaCard(name=body.name, system=body.system, description=body.description, temperature=body.temperature)
    return _plain(people.create_persona(house.cards, card))


@TABLE.add(
    "POST", "/api/personas/merge", "Make one persona out of two discovered ones", body=Merge, returns=JobOut, status=202
)
async def merge_personas(house: House, request: Request, body: Merge) -> JobOut:
    first, second = (source_of(house, slug) for slug in body.slugs)
    if first == second:
        raise UsageError("A persona cannot be merged with itself; choose two different ones.")
    return rebuild(
        house, request, Change(action="merge", slug=first, other=second, value=" ".join(body.name.split())[:80])
    )


@TABLE.add("POST", "/api/personas/sync", "Bring the discovered personas in", body=Overwrite, returns=SyncOut)
async def sync_personas(house: House, request: Request, body: Overwrite) -> SyncOut:
    return SyncOut(*people.sync_personas(house.workspace, house.cards, overwrite=frozenset(body.overwrite)))


@TABLE.add("GET", "/api/personas/{slug}", "A persona with history and evidence", returns=PersonaOut)
async def get_persona(house: House, request: Request) -> PersonaOut:
    slug = request.path_params["slug"]
    persona = _plain(house.cards.get(slug))
    discovered = people.discovered_persona(house.workspace, house.cards, slug)
    versions = [
        msgspec.structs.replace(v, card=msgspec.structs.replace(v.card, original=None))
        for v in house.cards.versions(slug)
    ]
    return PersonaOut(persona, estimate_tokens(persona.card.system), versions, house.cards.generated(slug), discovered)


@TABLE.add("PUT", "/api/personas/{slug}", "Keep a new version", body=PersonaIn, returns=SeatedPersona)
async def edit_persona(house: House, request: Request, body: PersonaIn) -> SeatedPersona:
    slug = request.path_params["slug"]
    card = msgspec.structs.replace(
        house.cards.get(slug).card,
        name=body.name,
        system=body.system,
        description=body.description,
        temperature=body.temperature,
    )
    return _plain(people.edit_persona(house.workspace, house.cards, slug, card))


@TABLE.add("DELETE", "/api/personas/{slug}", "Remove a persona", status=204)
async def remove_persona(house: House, request: Request) -> None:
    house.cards.remove(request.path_params["slug"])


@TABLE.add("POST", "/api/personas/{slug}/undo", "Go back one version", returns=SeatedPersona)
async def undo_persona(house: House, request: Request) -> SeatedPersona:
    return _plain(people.undo_persona(house.workspace, house.cards, request.path_params["slug"]))


@TABLE.add("POST", "/api/personas/{slug}/restore", "Bring a version back", body=Number, returns=SeatedPersona)
async def restore_persona(house: House, request: Request, body: Number) -> SeatedPersona:
    return _plain(people.restore_persona(house.workspace, house.cards, request.path_params["slug"], body.version))


@TABLE.add("POST", "/api/personas/{slug}/enabled", "Seat by default, or not", body=Enabled, returns=SeatedPersona)
async def enable_persona(house: House, request: Request, body: Enabled) -> SeatedPersona:
    return _plain(house.cards.enable(request.path_params["slug"], body.enabled))


@TABLE.add("POST", "/api/personas/{slug}/duplicate", "Seat a copy", body=Name, returns=SeatedPersona, status=201)
async def duplicate_persona(house: House, request: Request, body: Name) -> SeatedPersona:
    return _plain(people.duplicate_persona(house.cards, request.path_params["slug"], body.name))


@TABLE.add("POST", "/api/personas/{slug}/split", "Divide a discovered persona into two", returns=JobOut, status=202)
async def split_persona(house: House, request: Request) -> JobOut:
    return rebuild(house, request, Change(action="split", slug=source_of(house, request.path_params["slug"])))


@TABLE.add(
    "POST", "/api/personas/{slug}/diff", "The generated prompt against another", body=SystemText, returns=DiffOut
)
async def diff_persona(house: House, request: Request, body: SystemText) -> DiffOut:
    house.cards.get(request.path_params["slug"])
    generated = house.cards.generated(request.path_params["slug"])
    return DiffOut(people.diff_prompts(generated or "", body.system[: people.SYSTEM_CHARS]))


@TABLE.add("POST", "/api/personas/{slug}/try", "Ask one persona one question, streamed", body=Try, returns=SSE)
async def try_persona(house: House, request: Request, body: Try) -> Response:
    card = house.cards.get(request.path_params["slug"]).card
    if not body.question.strip():
        raise UsageError("The question is empty; write what you want to try.")
    worker, adapter = await house.speaker(request.path_params["slug"])
    options = house.default_options()
    asked = ChatRequest(
        turns=(ChatTurn("system", body.system or card.system), ChatTurn("user", body.question)),
        temperature=options.temperature if card.temperature is None else card.temperature, max_tokens=options.answer_tokens,
        adapter=adapter,
    )  # fmt: skip

    async def events() -> AsyncGenerator[tuple[str, Any], None]:
        began, used = time.monotonic(), 0
        async with contextlib.aclosing(worker.stream(asked)) as chunks:
            async for chunk in chunks:
                used = chunk.usage.completion_tokens if chunk.usage else used
                if chunk.text:
                    yield "delta", {"text": chunk.text}
        yield "done", {"tokens": used, "seconds": round(time.monotonic() - began, 2)}

    return event_stream(events())


@TABLE.add("GET", "/api/personas/{slug}/export/{format}", "The persona as a file", returns="application/octet-stream")
async def export_persona(house: House, request: Request) -> Response:
    file = people.export_card(house.cards, request.path_params["slug"], _format(request))
    return _download(file.content, file.filename, file.media_type)


@TABLE.add("GET", "/api/personas/{slug}/export/{format}/loss", "What the format cannot hold", returns=LossOut)
async def export_loss(house: House, request: Request) -> LossOut:
    file = people.export_card(house.cards, request.path_params["slug"], _format(request))
    return LossOut(file.filename, file.loss)


@TABLE.add(
    "POST",
    "/api/cards/read",
    "Look into a card file; nothing is kept",
    body=bytes,
    returns=CardsOut,
    query={"filename": _TEXT},
)
async def read_cards(house: House, request: Request) -> CardsOut:
    data = await read_file(request, CARD_BYTES)
    found = await asyncio.to_thread(people.preview_cards, data, request.query_params.get("filename", ""))
    return CardsOut(
        [CardPreview(msgspec.structs.replace(c.card, original=None), c.format, c.loss, c.warnings) for c in found]
    )


@TABLE.add(
    "POST", "/api/cards", "Keep a persona from a file, not enabled yet", body=bytes, returns=SeatedPersona, status=201,
    query={"filename": _TEXT, "index": _NUMBER},
)  # fmt: skip
async def import_card(house: House, request: Request) -> SeatedPersona:
    data = await read_file(request, CARD_BYTES)
    index = whole(request.query_params.get("index", "0"))
    return _plain(
        await asyncio.to_thread(people.import_card, house.cards, data, request.query_params.get("filename", ""), index)
    )


# --- discovery ---


@TABLE.add("GET", "/api/messages/{id}", "A message of the person", returns=MessageOut)
async def get_message(house: House, request: Request) -> MessageOut:
    found = _found(house)
    if found is None:
        raise UsageError("Nothing was discovered yet; import an export first.")
    id_ = request.path_params["id"]
    message = await asyncio.to_thread(find_message, house.workspace, id_)
    return MessageOut(
        message.id, message.time, message.title, message.context or "", message.text, message.reply or "",
        found.analysis.assignments.get(id_),
    )  # fmt: skip


@TABLE.add("GET", "/api/map", "The persona map", returns=MapOut)
async def persona_map(house: House, request: Request) -> MapOut:
    found = _found(house)
    if found is None:
        return MapOut([], [])
    return MapOut([(p.id, p.x, p.y, p.slug) for p in found.map], [MapPersona(p.slug, p.name) for p in found.personas])


@TABLE.add(
    "POST",
    "/api/imports",
    "Read an export and discover personas",
    body=bytes,
    returns=JobOut,
    status=202,
    query={"filename": _TEXT, "model": _TEXT, "budget": _NUMBER},
)
async def import_export(house: House, request: Request) -> JobOut:
    check_file(request)
    model = request.query_params.get("model", "").strip()
    budget = whole(request.query_params.get("budget", "") or str(DEFAULT_BUDGET))
    if model:
        parse_model(model)
    name = re.sub(r"[^\w.-]", "_", Path(request.query_params.get("filename", "")).name)[-80:].lstrip(".")
    folder = house.workspace.stamps / UPLOADS / secrets.token_hex(8)
    upload = folder / (name if name and not is_device(name) else "conversations.json")
    jobs_of(request).check_free()
    try:
        with disk_errors(upload):
            folder.mkdir(parents=True)
            with upload.open("wb") as out:
                async for part in request.stream():
                    out.write(part)
    except BaseException:  # also where the browser went away
        shutil.rmtree(folder, ignore_errors=True)
        raise

    def work(watcher: JobWatcher) -> None:
        from innercouncil.app.discover import discover_personas
        from innercouncil.app.settings import Settings

        try:
            if model:
                with asked_model(house, watcher, model, budget=budget) as helper:
                    discover_personas(upload, house.workspace, Settings(), watcher, helper)
            else:
                discover_personas(upload, house.workspace, Settings(), watcher)
            people.sync_personas(house.workspace, house.cards)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    try:
        return JobOut(jobs_of(request).start("import", work).id)
    except UsageError:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@TABLE.add("GET", "/api/jobs/{id}", "How far a job is", returns=Job)
async def get_job(house: House, request: Request) -> Job:
    return jobs_of(request).get(request.path_params["id"])


@TABLE.add("GET", "/api/jobs/{id}/events", "A job as it goes on", returns=SSE)
async def job_events(house: House, request: Request) -> Response:
    jobs_of(request).get(request.path_params["id"])
    return event_stream(jobs_of(request).events(request.path_params["id"]))


# --- sessions ---


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
    query={"query": _TEXT, "before": _TEXT, "limit": {"type": "integer", "minimum": 1, "maximum": 200}},
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
    return _download(house.sessions.export(id_), f"session-{id_[:8]}.json", "application/json")


# --- helpers ---


def _plain(persona: SeatedPersona) -> SeatedPersona:
    """Without the imported file, which may be a picture of megabytes."""
    if persona.card.original is None:
        return persona
    kept = Original(format=persona.card.original.format, data={})
    card = msgspec.structs.replace(persona.card, original=kept)
    return msgspec.structs.replace(persona, version=msgspec.structs.replace(persona.version, card=card))


def source_of(house: House, slug: str) -> str:
    """What discovery calls a persona. Raises PersonaNotFoundError, UsageError for one that was not discovered."""
    source = house.cards.get(slug).source
    if source is None:
        raise UsageError("This works for discovered personas only: the others have no messages behind them.")
    return source


def rebuild(house: House, request: Request, *changes: Change) -> JobOut:
    """Apply the person's changes to the discovered personas, one after another, in a job."""

    def work(watcher: JobWatcher) -> None:
        from innercouncil.app.changes import finish_earlier, make_change

        earlier = finish_earlier(house.workspace, watcher)
        for change in changes:
            if earlier != (change, False):
                make_change(house.workspace, change, watcher)

    return JobOut(jobs_of(request).start("personas", work).id)


@contextlib.contextmanager
def asked_model(
    house: House, watcher: JobWatcher, model: str, *, budget: int = DEFAULT_BUDGET
) -> Iterator[HelperModel]:
    """A model that helps a job, after the person saw what it will take and said yes.

    The council's own models leave memory before, where no session needs them. Raises UsageError, BackendError.
    """
    if not house.running():
        house.backends.rest()

    def agrees(offer: Offer) -> bool:
        return watcher.ask(offer.told())

    helper = HelperModel(
        house.workspace, model, agrees=agrees, budget=budget, spends=lambda spent: watcher.note(spent.told())
    )
    try:
        yield helper
    except DeclinedError:
        raise UsageError("Nothing was asked and nothing has changed; without a model it goes on offline.") from None
    finally:
        helper.release()


def _format(request: Request) -> CardFormat:
    wanted = request.path_params["format"]
    if wanted not in CARD_FORMATS:
        raise UsageError(f"There is no format {wanted[:40]!r}; there are: {', '.join(get_args(CardFormat))}.")
    chosen: Literal[
        "card-v2", "card-v3", "card-png", "modelfile", "open-webui", "llm-template", "skill", "markdown"
    ] = wanted
    return chosen


def _download(content: bytes, filename: str, media_type: str) -> Response:
    safe = "".join(c for c in filename if c.isascii() and (c.isalnum() or c in "._-")) or "file"
    return Response(content, headers={"content-disposition": f'attachment; filename="{safe}"'}, media_type=media_type)


def whole(text: str) -> int:
    """A whole number that was sent as text. Raises UsageError."""
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise UsageError(f"{text[:20]!r} is not a whole number.")
    return int(text)
