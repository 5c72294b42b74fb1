"""What the last run of discovery found, and what the person changed about it; light to import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from innercouncil.model.errors import NothingToDiscoverError, PersonaNotFoundError
from innercouncil.model.facets import Way
from innercouncil.model.persona import Change, Discovery, Persona, PromptLine, SystemPrompt, called_before, called_now
from innercouncil.model.tokens import estimate_tokens
from innercouncil.store import database
from innercouncil.store.workspace import Workspace

TITLES: Final = {
    "read": "Reading the export",
    "label": "Labelling your messages",
    "embed": "Embedding your messages",
    "cluster": "Looking for modes",
    "personas": "Writing personas",
    "report": "Drawing the report",
}
"""The stages of a run, in order, and what they are called; `embed` only where an embedder was named."""


def load_discovery(workspace: Workspace) -> Discovery:
    """What the last run found. Raises NothingToDiscoverError where there was none."""
    try:
        return msgspec.json.decode(workspace.discovery.read_bytes(), type=Discovery)
    except (OSError, msgspec.MsgspecError):
        raise NothingToDiscoverError(
            f"There are no personas in {workspace.root} yet; run `innercouncil discover EXPORT` first."
        ) from None


def persona_named(workspace: Workspace, personas: Mapping[str, Persona], name: str) -> Persona:
    """The one of the discovered `personas` (by slug) that is called so, or was before it was renamed. Raises PersonaNotFoundError."""
    for slug in (name, called_now(name, database.changes(workspace.database))):
        if slug in personas:
            return personas[slug]
    raise PersonaNotFoundError(f"There is no persona called {name[:80]!r}; there are: {', '.join(personas)}.")


def names_of(workspace: Workspace, name: str) -> list[str]:
    """All slugs of a discovered persona, the present one first: what was made for it may lie under one it had before."""
    changes, there = database.changes(workspace.database), _slugs(workspace)
    present = name if name in there else called_now(name, changes)
    return [present, *dict.fromkeys(s for s in called_before(present, changes) if s not in there | {present})]


def _slugs(workspace: Workspace) -> set[str]:
    """Those of the discovered personas, without reading all that was found."""
    try:
        return set(msgspec.json.decode(workspace.system_prompts.read_bytes(), type=dict[str, msgspec.Raw]))
    except (OSError, msgspec.MsgspecError):
        return set()


def way_of(discovery: Discovery) -> Way:
    """How the personas' modes were found."""
    return "facets" if discovery.analysis.settings.get("modes") == "facets" else "labels"


def changed(workspace: Workspace, change: Change) -> None:
    """Record a change of the person."""
    database.add_change(workspace.database, change)


def edited_prompt(generated: SystemPrompt, text: str) -> SystemPrompt:
    """The person's text; lines they left in it keep their evidence, what they added has none."""
    flat = " ".join(text.split())
    kept = [line for line in generated.lines if " ".join(line.text.split()) in flat]
    known = {line.strip() for line in generated.text.splitlines()}
    added = [
        PromptLine(section="Written by you", text=line.strip(), evidence=())
        for line in text.splitlines()
        if line.strip() not in known | {""}
    ]
    return msgspec.structs.replace(generated, text=text, tokens=estimate_tokens(text), lines=(*kept, *added))
