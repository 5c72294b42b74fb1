"""The part of the HTTP API in which a persona's adapter is judged, seated, tested and taken away."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.requests import Request

from innercouncil.app.council import House
from innercouncil.app.tune_adapters import seat_adapter, unseat_adapter
from innercouncil.app.tune_status import AdapterStatus, adapter_status, start_adapter_test
from innercouncil.web.api import TABLE, JobOut, Name, jobs_of
from innercouncil.web.jobs import JobWatcher


class Reason(msgspec.Struct, forbid_unknown_fields=True):
    """Why an adapter is to serve although its gates say no; empty where they do not."""

    reason: str = ""


@TABLE.add("GET", "/api/personas/{slug}/adapter", "Where a persona's adapter stands", returns=AdapterStatus)
async def get_adapter(house: House, request: Request) -> AdapterStatus:
    """Gates, seat and blind tests."""
    return await asyncio.to_thread(adapter_status, house, request.path_params["slug"])


@TABLE.add(
    "POST", "/api/personas/{slug}/adapter/seat", "Let a persona speak with its adapter", body=Reason, returns=AdapterStatus
)  # fmt: skip
async def seat(house: House, request: Request, body: Reason) -> AdapterStatus:
    """Only one that passed its gates, unless a reason is given."""
    slug = request.path_params["slug"]
    await seat_adapter(house, slug, force=body.reason)
    return await asyncio.to_thread(adapter_status, house, slug)


@TABLE.add("POST", "/api/personas/{slug}/adapter/unseat", "Let a persona speak with its prompt alone", returns=AdapterStatus)  # fmt: skip
async def unseat(house: House, request: Request) -> AdapterStatus:
    """The adapter is kept."""
    slug = request.path_params["slug"]
    unseat_adapter(house, slug)
    return await asyncio.to_thread(adapter_status, house, slug)


@TABLE.add("POST", "/api/personas/{slug}/adapter/gates", "Run the gates of a persona's adapter", returns=JobOut, status=202)  # fmt: skip
async def run_gates(house: House, request: Request) -> JobOut:
    """A job; cut off, another one goes on where it was."""
    from innercouncil.app import tune_gates

    slug = house.cards.get(request.path_params["slug"]).slug

    async def work(watcher: JobWatcher) -> None:
        await tune_gates.run_gates(house, slug, stage=lambda title: watcher.stage(title, done=False))

    return JobOut(jobs_of(request).start("tuning", work).id)


@TABLE.add(
    "POST", "/api/personas/{slug}/adapter/test", "Begin a blind test of the adapter against the prompt alone", returns=Name, status=201
)  # fmt: skip
async def begin_adapter_test(house: House, request: Request) -> Name:
    """An A/B test on the bundled questions."""
    return Name(start_adapter_test(house, request.path_params["slug"]).name)
