"""What the last run of discovery found, and what the person changed about it; light to import."""

from __future__ import annotations

from typing import Final

import msgspec

from innercouncil.model.errors import NothingToDiscoverError
from innercouncil.model.persona import Change, Discovery
from innercouncil.store import database
from innercouncil.store.workspace import Workspace

TITLES: Final = {
    "read": "Reading the export",
    "label": "Labelling your messages",
    "cluster": "Looking for modes",
    "personas": "Writing personas",
    "report": "Drawing the report",
}
"""The stages of a run, in order, and what they are called."""


def load_discovery(workspace: Workspace) -> Discovery:
    """What the last run found. Raises NothingToDiscoverError where there was none."""
    try:
        return msgspec.json.decode(workspace.discovery.read_bytes(), type=Discovery)
    except (OSError, msgspec.MsgspecError):
        raise NothingToDiscoverError(
            f"There are no personas in {workspace.root} yet; run `innercouncil discover EXPORT` first."
        ) from None


def changed(workspace: Workspace, change: Change) -> None:
    """Record a change of the person."""
    database.add_change(workspace.database, change)
