"""The part of the HTTP API that shows how trainings go; they are started in a terminal."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from innercouncil.app.council import House
from innercouncil.app.tune_watch import follow, training_run, training_runs
from innercouncil.model.training import TrainingRun
from innercouncil.web.api import SSE, TABLE
from innercouncil.web.http import event_stream


class RunsOut(msgspec.Struct):
    """All adapters, there or under way."""

    runs: list[TrainingRun]


@TABLE.add("GET", "/api/tuning", "Adapters and how far their trainings are", returns=RunsOut)
async def get_runs(house: House, request: Request) -> RunsOut:
    """Read from the files of the trainings."""
    return RunsOut(await asyncio.to_thread(training_runs, house.workspace))


@TABLE.add("GET", "/api/tuning/{slug}/events", "A training as it goes on, from its beginning", returns=SSE)
async def get_events(house: House, request: Request) -> Response:
    """Loss, speed, memory and time left, several events at a time, until it ends."""
    slug = request.path_params["slug"]
    await asyncio.to_thread(training_run, house.workspace, slug)
    return event_stream(follow(house.workspace, slug))
