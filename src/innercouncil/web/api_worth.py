"""The part of the HTTP API that asks whether the council was worth it."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.requests import Request

from innercouncil.app import worth
from innercouncil.app.council import House
from innercouncil.model.worth import Worth, WorthTrial
from innercouncil.web.api import TABLE
from innercouncil.web.markdown import to_html


class TrialOut(msgspec.Struct):
    """The next session to judge, blind; None where none waits."""

    waiting: int
    trial: WorthTrial | None
    html: list[str]
    """Its answers as safe HTML."""


class TiersIn(msgspec.Struct, forbid_unknown_fields=True):
    """Numbers of the answers from 0, best tier first."""

    tiers: list[list[int]]


@TABLE.add("GET", "/api/worth", "Was the council worth it?", returns=Worth)
async def get_worth(house: House, request: Request) -> Worth:
    """What all blind judgements come to."""
    return await asyncio.to_thread(worth.meter, house.database)


@TABLE.add("GET", "/api/worth/trial", "The next session to judge blindly", returns=TrialOut)
async def get_trial(house: House, request: Request) -> TrialOut:
    """Its answers, nobody told whose they are."""
    waiting = await asyncio.to_thread(worth.open_trials, house.database)
    first = waiting[0] if waiting else None
    return TrialOut(len(waiting), first, [to_html(text) for text in first.answers] if first else [])


@TABLE.add("POST", "/api/worth/{id}", "Judge a session's final answers", body=TiersIn, returns=Worth, status=201)
async def judge_session(house: House, request: Request, body: TiersIn) -> Worth:
    """Keep the person's judgement."""
    worth.vote(house.database, request.path_params["id"], body.tiers)
    return await asyncio.to_thread(worth.meter, house.database)
