"""The part of the HTTP API that shows a persona's training data and takes answers written by hand."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.requests import Request

from innercouncil.app import tune_hand
from innercouncil.app.council import House
from innercouncil.app.findings import names_of
from innercouncil.app.tune_prepare import PrepareSettings, last_report, prepare_training_data, settings_again
from innercouncil.model.tuning import AwaitingRow, PersonaReport
from innercouncil.web.api import TABLE, JobOut, jobs_of, source_of
from innercouncil.web.jobs import JobWatcher


class TrainingOut(msgspec.Struct):
    """A persona's training data."""

    discovered: bool
    """False for a persona that was not found in messages: it has none."""
    report: PersonaReport | None
    """None where no rows were made yet."""
    awaiting: list[AwaitingRow]
    """Questions that wait for an answer in the persona's voice; `assistant` holds what was written since the rows were made."""


class AnswerIn(msgspec.Struct, forbid_unknown_fields=True):
    """An answer written by hand; empty takes the earlier one back."""

    assistant: str


@TABLE.add("GET", "/api/personas/{slug}/training", "A persona's training data", returns=TrainingOut)
async def get_training(house: House, request: Request) -> TrainingOut:
    """What the last run made, and what awaits an answer."""
    slug = house.cards.get(request.path_params["slug"]).source
    if slug is None:
        return TrainingOut(False, None, [])

    def read() -> TrainingOut:
        report = last_report(house.workspace)
        names = names_of(house.workspace, slug)
        mine = next((p for p in report.personas if p.slug in names), None) if report else None
        return TrainingOut(True, mine, tune_hand.awaiting(house.workspace, house.database, slug))

    return await asyncio.to_thread(read)


@TABLE.add(
    "PUT", "/api/personas/{slug}/training/{id}", "Answer a question of the training data by hand", body=AnswerIn,
    returns=list[AwaitingRow],
)  # fmt: skip
async def answer_training(house: House, request: Request, body: AnswerIn) -> list[AwaitingRow]:
    """Keep the person's answer; it becomes a row when the rows are made again."""
    slug, row = source_of(house, request.path_params["slug"]), request.path_params["id"]
    return await asyncio.to_thread(tune_hand.answer_by_hand, house.workspace, house.database, slug, row, body.assistant)


@TABLE.add("POST", "/api/training", "Make the training rows of all personas, without asking a model", returns=JobOut, status=202)  # fmt: skip
async def make_training(house: House, request: Request) -> JobOut:
    """A job with the settings of the last run."""

    def work(watcher: JobWatcher) -> None:
        report = last_report(house.workspace)
        settings = settings_again(report) if report else PrepareSettings()
        prepare_training_data(house.workspace, settings, stage=lambda title: watcher.stage(title, done=False))

    return JobOut(jobs_of(request).start("tuning", work).id)
