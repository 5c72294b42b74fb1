"""What the last run of discovery found, and what the person changed about it; light to import."""

from __future__ import annotations

from typing import Final

import msgspec

from innercouncil.model.errors import NothingToDiscoverError
from innercouncil.model.facets import Way
from innercouncil.model.persona import Change, Discovery, PromptLine, SystemPrompt
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


def way_of(discovery: Discovery) -> Way:
    """How the personas' modes were found."""
    return "facets" if discovery.analysis.settings.get("modes") == "facets" else "labels"


def changed(workspace: Workspace, change: Change) -> None:
    """Record a change of the person; the next run writes what follows from it."""
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
