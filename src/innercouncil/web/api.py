"""The HTTP API, what the pages use and scripts may: its table, what its parts share, and the state, models, imports and jobs."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from innercouncil import __version__
from innercouncil.app import personas as people
from innercouncil.app.council import House
from innercouncil.app.council_settings import CouncilSettings
from innercouncil.app.doctor import Found, Line, examine, list_models, pull_model
from innercouncil.app.findings import load_discovery
from innercouncil.app.helper_model import DEFAULT_BUDGET, HelperModel, Offer
from innercouncil.app.messages import find_message
from innercouncil.llm.select import FORMS, parse_model
from innercouncil.model.council import CouncilOptions
from innercouncil.model.errors import DeclinedError, NothingToDiscoverError, UsageError
from innercouncil.model.persona import Change, Discovery
from innercouncil.model.slug import is_device
from innercouncil.model.tokens import estimate_tokens
from innercouncil.store.workspace import disk_errors
from innercouncil.web.http import check_file, event_stream
from innercouncil.web.jobs import Job, Jobs, JobWatcher
from innercouncil.web.markdown import to_html
from innercouncil.web.routing import Table

TABLE = Table()
TEXT = {"type": "string"}
NUMBER = {"type": "integer", "minimum": 0}
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


class Name(msgspec.Struct, forbid_unknown_fields=True):
    """A name."""

    name: str = ""


class JobOut(msgspec.Struct):
    """A job that was started."""

    job: str


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


@TABLE.add("DELETE", "/api/jobs/{id}", "Stop a job; what was finished is kept", status=204)
async def stop_job(house: House, request: Request) -> None:
    jobs_of(request).cancel(request.path_params["id"])


@TABLE.add("GET", "/api/doctor", "What is there, what fits, what to do", returns=DoctorOut)
async def get_doctor(house: House, request: Request) -> DoctorOut:
    return DoctorOut(await examine(house))


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
    query={"filename": TEXT, "model": TEXT, "budget": NUMBER},
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


@TABLE.add("GET", "/api/jobs", "The jobs that run now, one at most", returns=list[Job])
async def running_jobs(house: House, request: Request) -> list[Job]:
    return jobs_of(request).running()


@TABLE.add("GET", "/api/jobs/{id}", "How far a job is", returns=Job)
async def get_job(house: House, request: Request) -> Job:
    return jobs_of(request).get(request.path_params["id"])


@TABLE.add("GET", "/api/jobs/{id}/events", "A job as it goes on", returns=SSE)
async def job_events(house: House, request: Request) -> Response:
    jobs_of(request).get(request.path_params["id"])
    return event_stream(jobs_of(request).events(request.path_params["id"]))


# --- helpers ---


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


def download(content: bytes, filename: str, media_type: str) -> Response:
    """A file to keep, under a name that is safe in a header."""
    safe = "".join(c for c in filename if c.isascii() and (c.isalnum() or c in "._-")) or "file"
    return Response(content, headers={"content-disposition": f'attachment; filename="{safe}"'}, media_type=media_type)


def whole(text: str) -> int:
    """A whole number that was sent as text. Raises UsageError."""
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise UsageError(f"{text[:20]!r} is not a whole number.")
    return int(text)
