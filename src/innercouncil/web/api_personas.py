"""The part of the HTTP API about personas: the list, their versions, their cards as files."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from typing import Any, get_args

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from innercouncil.app import personas as people
from innercouncil.app.council import House
from innercouncil.model.card import (
    CARD_FORMATS,
    CardFormat,
    Original,
    PersonaCard,
    PersonaVersion,
    SeatedPersona,
    earlier_of,
)
from innercouncil.model.errors import UsageError
from innercouncil.model.persona import Change, Persona
from innercouncil.model.ports import ChatRequest, ChatTurn
from innercouncil.model.slug import NAME_CHARS
from innercouncil.model.tokens import estimate_tokens
from innercouncil.web.api import NUMBER, SSE, TABLE, TEXT, JobOut, Name, download, rebuild, source_of, whole
from innercouncil.web.http import event_stream, read_file

CARD_BYTES = 8 << 20


class ListedPersona(msgspec.Struct):
    """A persona of the list."""

    persona: SeatedPersona
    tokens: int


class RemovedPersona(msgspec.Struct):
    """A discovered persona that the person removed."""

    slug: str
    name: str


class PersonasOut(msgspec.Struct):
    """All personas; `conflicts` were edited by the person while discovery wrote a newer prompt, `removed` can be brought back."""

    personas: list[ListedPersona]
    conflicts: list[str]
    removed: list[RemovedPersona]


class PersonaIn(msgspec.Struct, forbid_unknown_fields=True):
    """A persona as written by a person."""

    name: str
    system: str
    description: str = ""
    temperature: float | None = None


class PersonaOut(msgspec.Struct):
    """A persona with its history and the evidence it came from; `earlier` is the number of the version an undo goes back to."""

    persona: SeatedPersona
    tokens: int
    versions: list[PersonaVersion]
    earlier: int | None
    generated: str | None
    discovered: Persona | None


class Enabled(msgspec.Struct, forbid_unknown_fields=True):
    """Whether to seat a persona by default."""

    enabled: bool


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


@TABLE.add("GET", "/api/personas", "All personas of the council", returns=PersonasOut)
async def list_personas(house: House, request: Request) -> PersonasOut:
    seated = house.cards.all()
    conflicts = people.sync_personas(house.workspace, house.cards).kept if house.workspace.discovery.exists() else ()
    listed = [ListedPersona(p, estimate_tokens(p.card.system)) for p in map(_plain, seated)]
    removed = [RemovedPersona(p.slug, p.card.name) for p in people.removed_personas(house.workspace, house.cards)]
    return PersonasOut(listed, list(conflicts), removed)


@TABLE.add("POST", "/api/personas", "Make a persona by hand", body=PersonaIn, returns=SeatedPersona, status=201)
async def create_persona(house: House, request: Request, body: PersonaIn) -> SeatedPersona:
    card = PersonaCard(name=body.name, system=body.system, description=body.description, temperature=body.temperature)
    return _plain(people.create_persona(house.cards, card))


@TABLE.add(
    "POST", "/api/personas/merge", "Make one persona out of two discovered ones", body=Merge, returns=JobOut, status=202
)
async def merge_personas(house: House, request: Request, body: Merge) -> JobOut:
    for persona in map(house.cards.get, body.slugs):
        if persona.archived:
            raise UsageError(f"{persona.card.name} was removed from the council; bring it back to merge it.")
    first, second = (source_of(house, slug) for slug in body.slugs)
    if first == second:
        raise UsageError("A persona cannot be merged with itself; choose two different ones.")
    return rebuild(
        house, request, Change(action="merge", slug=first, other=second, value=" ".join(body.name.split())[:NAME_CHARS])
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
    earlier = earlier_of(versions)
    return PersonaOut(
        persona, estimate_tokens(persona.card.system), versions, earlier.number if earlier else None,
        house.cards.generated(slug), discovered,
    )  # fmt: skip


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


@TABLE.add(
    "DELETE",
    "/api/personas/{slug}",
    "Delete a persona with its versions; a discovered one can be brought back",
    status=204,
)
async def remove_persona(house: House, request: Request) -> None:
    house.cards.remove(request.path_params["slug"])


@TABLE.add("POST", "/api/personas/{slug}/bring-back", "Seat a removed persona again", returns=SeatedPersona)
async def bring_persona_back(house: House, request: Request) -> SeatedPersona:
    return _plain(people.bring_back(house.workspace, house.cards, request.path_params["slug"]))


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
    return download(file.content, file.filename, file.media_type)


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
    query={"filename": TEXT},
)
async def read_cards(house: House, request: Request) -> CardsOut:
    data = await read_file(request, CARD_BYTES)
    found = await asyncio.to_thread(people.preview_cards, data, request.query_params.get("filename", ""))
    return CardsOut(
        [CardPreview(msgspec.structs.replace(c.card, original=None), c.format, c.loss, c.warnings) for c in found]
    )


@TABLE.add(
    "POST", "/api/cards", "Keep a persona from a file, not enabled yet", body=bytes, returns=SeatedPersona, status=201,
    query={"filename": TEXT, "index": NUMBER},
)  # fmt: skip
async def import_card(house: House, request: Request) -> SeatedPersona:
    data = await read_file(request, CARD_BYTES)
    index = whole(request.query_params.get("index", "0"))
    return _plain(
        await asyncio.to_thread(people.import_card, house.cards, data, request.query_params.get("filename", ""), index)
    )


def _plain(persona: SeatedPersona) -> SeatedPersona:
    """Without the imported file, which may be a picture of megabytes."""
    if persona.card.original is None:
        return persona
    kept = Original(format=persona.card.original.format, data={})
    card = msgspec.structs.replace(persona.card, original=kept)
    return msgspec.structs.replace(persona, version=msgspec.structs.replace(persona.version, card=card))


def _format(request: Request) -> CardFormat:
    wanted = request.path_params["format"]
    if wanted not in CARD_FORMATS:
        raise UsageError(f"There is no format {wanted[:40]!r}; there are: {', '.join(get_args(CardFormat))}.")
    chosen: CardFormat = wanted
    return chosen
