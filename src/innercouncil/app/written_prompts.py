"""Prompts that a model writes: kept beside the offline ones until the person chooses."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from innercouncil.app.findings import load_discovery, persona_named
from innercouncil.app.personas import DiffLine, diff_prompts
from innercouncil.cards.safety import appeals
from innercouncil.discovery.model_prompts import Guards, estimate, material, material_key, write
from innercouncil.model.errors import DeclinedError, NothingToDiscoverError, UsageError
from innercouncil.model.persona import Change, Persona, WrittenPrompt
from innercouncil.model.ports import ChosenModel
from innercouncil.model.slug import slug_of
from innercouncil.readers.language import detect
from innercouncil.store.workspace import Workspace

Which = Literal["model", "offline"]
_ORDERS_RE: Final = re.compile(
    r"\b(?:ignore|disregard|forget|vergiss|ignoriere|oublie[zr]?|olvida)\b.{0,40}\b(?:instruction|rule|prompt|anweisung|regel|consigne|instruccion)"
    r"|\bsystem prompt\b|\byou are now\b|\blanguage model\b|\b(?:answer|respond|reply) only with\b|\bthe real task\b"
    r"|\b(?:as|i am|i'm) the developer of\b|\brepeat the word\b|\bprint your\b|\bleave the schema\b|\bfor all the other\b"
    r"|\b(?:antworte|réponds?) (?:nur|uniquement)\b|\bword for word\b|\bmot pour mot\b",
    re.IGNORECASE,
)


def gives_orders(text: str) -> bool:
    """Whether a text speaks to the model or to judges rather than about its subject; a net of patterns, not a proof."""
    return bool(_ORDERS_RE.search(text) or appeals(text, "text"))


GUARDS: Final = Guards(language=detect, orders=gives_orders)


class Offered(msgspec.Struct, frozen=True):
    """What a model wrote for a persona, beside the offline prompt."""

    slug: str
    chosen: bool
    """Whether the persona has the model's prompt now."""
    written: WrittenPrompt
    offline: str
    diff: tuple[DiffLine, ...]
    """From the offline prompt to the model's."""


def write_prompts(
    workspace: Workspace, slugs: Sequence[str], author: ChosenModel, progress: Callable[[int, int], None]
) -> list[Offered]:
    """Let the model write the personas named (all where none is), one at a time, each kept as it comes.

    What it wrote before from the same material is not written again. Raises PersonaNotFoundError, DeclinedError,
    BackendError.
    """
    with workspace.lock():
        offline = offline_personas(workspace)
        wanted = list({p.slug: p for p in (persona_named(workspace, offline, s) for s in slugs or offline)}.values())
        kept = _read(workspace)
        missing = [p for p in wanted if not (old := _written(kept, p)) or old.author != author.identity]
        if missing and not author.agrees(estimate(missing, GUARDS)):
            raise DeclinedError("Nothing was asked; the offline prompts stand.")
        if missing:
            names = {p.slug: p.name for p in offline.values()}

            def keep(slug: str, written: WrittenPrompt) -> None:
                kept[slug] = written
                workspace.write_json(workspace.model_prompts, kept)

            asyncio.run(_write_all(missing, names, author, keep, progress))
        return [_offered(workspace, p, written) for p in wanted if (written := _written(kept, p))]


async def _write_all(
    personas: Sequence[Persona], names: Mapping[str, str], author: ChosenModel,
    keep: Callable[[str, WrittenPrompt], None], progress: Callable[[int, int], None],
) -> None:  # fmt: skip
    model = await author.open()
    taken = dict(names)
    try:
        for n, persona in enumerate(personas):
            others = sorted(name for slug, name in taken.items() if slug != persona.slug)
            written = await write(persona, model, GUARDS, taken=others, label=author.label)
            taken[persona.slug] = written.name
            keep(persona.slug, msgspec.structs.replace(written, author=author.identity))
            progress(n + 1, len(personas))
    finally:
        await author.close()


def offline_personas(workspace: Workspace) -> dict[str, Persona]:
    """The personas with the prompts discovery wrote offline, whatever the person chose. Raises NothingToDiscoverError."""
    load_discovery(workspace)
    try:
        return msgspec.json.decode(workspace.offline_personas.read_bytes(), type=dict[str, Persona])
    except (OSError, msgspec.MsgspecError):
        raise NothingToDiscoverError(
            f"{workspace.offline_personas} is missing or damaged; run `innercouncil discover EXPORT --refresh` again."
        ) from None


def offered_prompt(workspace: Workspace, slug: str) -> Offered | None:
    """What a model wrote for a persona, None where none did or its material has changed since."""
    if not workspace.model_prompts.exists() or not workspace.offline_personas.exists():
        return None
    persona = offline_personas(workspace).get(slug)
    written = _written(_read(workspace), persona) if persona else None
    return _offered(workspace, persona, written) if persona and written else None


def choices_of(workspace: Workspace, slug: str, which: Which, *, with_name: bool = False) -> list[Change]:
    """The changes that give a persona the model's prompt or the offline one, and on request the model's name.

    Raises PersonaNotFoundError, UsageError.
    """
    slug = persona_named(workspace, offline_personas(workspace), slug).slug
    if which == "offline":
        return [Change(action="choose", slug=slug)]
    offered = offered_prompt(workspace, slug)
    if offered is None:
        raise UsageError(
            f"No model has written {slug} from its present evidence; run `innercouncil personas write {slug} --llm WHERE` first."
        )
    written = offered.written
    if not written.usable:
        raise UsageError(
            f"Too little of what {written.model} wrote for {slug} is supported by your messages; the offline prompt stands."
        )
    changes = [Change(action="choose", slug=slug, value=msgspec.json.encode(written).decode())]
    if with_name and slug_of(written.name) != slug:
        if any(p.slug == slug_of(written.name) for p in load_discovery(workspace).personas):
            raise UsageError(f"Another persona is called {written.name} already; choose without the name.")
        changes.append(Change(action="rename", slug=slug, value=written.name))
    return changes


def _written(kept: Mapping[str, WrittenPrompt], persona: Persona) -> WrittenPrompt | None:
    """What a model wrote from exactly the persona's material, perhaps when it had another name."""
    key, own = material_key(persona, material(persona, GUARDS)), kept.get(persona.slug)
    return next((w for w in (own, *kept.values()) if w is not None and w.key == key), None)


def _offered(workspace: Workspace, persona: Persona, written: WrittenPrompt) -> Offered:
    now = next((p for p in load_discovery(workspace).personas if p.slug == persona.slug), None)
    return Offered(
        persona.slug, now is not None and now.origin == "model", written, persona.prompt.text,
        tuple(diff_prompts(persona.prompt.text, written.prompt.text)),
    )  # fmt: skip


def _read(workspace: Workspace) -> dict[str, WrittenPrompt]:
    try:
        return msgspec.json.decode(workspace.model_prompts.read_bytes(), type=dict[str, WrittenPrompt])
    except (OSError, msgspec.MsgspecError):
        return {}
