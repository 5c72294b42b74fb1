"""The part of the HTTP API in which a model writes personas, and the person chooses."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.requests import Request

from innercouncil.app.council import House
from innercouncil.app.written_prompts import Offered, Which, choices_of, offered_prompt, write_prompts
from innercouncil.llm.select import parse_model
from innercouncil.web.api import TABLE, JobOut, asked_model, jobs_of, rebuild, source_of
from innercouncil.web.jobs import JobWatcher


class WrittenOut(msgspec.Struct):
    """What a model wrote for a persona, and which model would be asked."""

    offered: Offered | None
    """None where none did, or its evidence has changed since."""
    model: str


class ModelIn(msgspec.Struct, forbid_unknown_fields=True):
    """A model, as `innercouncil models use` takes it."""

    model: str


class Choose(msgspec.Struct, forbid_unknown_fields=True):
    """Which prompt a persona is to have, and whether it takes the model's name too."""

    which: Which
    name: bool = False


class Yes(msgspec.Struct, forbid_unknown_fields=True):
    """An answer to a job's question."""

    yes: bool


@TABLE.add("GET", "/api/personas/{slug}/written", "What a model wrote for a persona", returns=WrittenOut)
async def get_written(house: House, request: Request) -> WrittenOut:
    """The offer beside the offline prompt."""
    slug = source_of(house, request.path_params["slug"])
    settings = house.backends.settings
    return WrittenOut(
        await asyncio.to_thread(offered_prompt, house.workspace, slug),
        settings.worker if settings.lite else settings.synthesizer,
    )


@TABLE.add(
    "POST", "/api/personas/{slug}/write", "Let a model write a persona; it asks before it begins", body=ModelIn,
    returns=JobOut, status=202,
)  # fmt: skip
async def write_persona(house: House, request: Request, body: ModelIn) -> JobOut:
    """A job that asks for a yes and keeps what the model wrote."""
    slug = source_of(house, request.path_params["slug"])
    parse_model(body.model)

    def work(watcher: JobWatcher) -> None:
        with asked_model(house, watcher, body.model) as author:
            write_prompts(house.workspace, [slug], author, watcher.stage("Writing the persona", done=False))

    return JobOut(jobs_of(request).start("writing", work).id)


@TABLE.add(
    "POST", "/api/personas/{slug}/choose", "Give a persona the model's prompt or the offline one", body=Choose,
    returns=JobOut, status=202,
)  # fmt: skip
async def choose_prompt(house: House, request: Request, body: Choose) -> JobOut:
    """A job that writes the personas again with the choice."""
    slug = source_of(house, request.path_params["slug"])
    changes = await asyncio.to_thread(choices_of, house.workspace, slug, body.which, with_name=body.name)
    return rebuild(house, request, *changes)


@TABLE.add("POST", "/api/jobs/{id}/answer", "Answer a job's question", body=Yes, status=204)
async def answer_job(house: House, request: Request, body: Yes) -> None:
    """Yes or no to what the job asks."""
    jobs_of(request).answer(request.path_params["id"], body.yes)
