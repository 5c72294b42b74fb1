"""Changes of discovery's personas and all that follows from them, also where something cut an earlier one off."""

from __future__ import annotations

from innercouncil.app.discover import Outcome, rebuild_personas
from innercouncil.app.findings import load_discovery
from innercouncil.app.personas import follow_change
from innercouncil.app.settings import settings_of
from innercouncil.model.persona import Change
from innercouncil.model.ports import Watcher
from innercouncil.store import database
from innercouncil.store.cards import CardStore
from innercouncil.store.database import Database, Made
from innercouncil.store.workspace import Workspace


def make_change(workspace: Workspace, change: Change, watcher: Watcher) -> Outcome:
    """Record a change, write the personas anew, and let the council's follow, where there are any yet.

    Raises WorkspaceError where another process holds the workspace; then nothing is recorded.
    """
    with workspace.lock():
        database.add_change(workspace.database, change, begins=True)
    return _finish(workspace, Made(change, undone=False), watcher)


def take_back(workspace: Workspace, watcher: Watcher) -> Change | None:
    """Take back the newest change with all that followed, None where there is none."""
    with workspace.lock():
        change = database.undo_change(workspace.database)
    if change is not None:
        _finish(workspace, Made(change, undone=True), watcher)
    return change


def finish_earlier(workspace: Workspace, watcher: Watcher) -> Made | None:
    """Bring a change to its end that was cut off, and say which it was; None where none was."""
    made = database.unfinished(workspace.database)
    if made is not None:
        _finish(workspace, made, watcher)
    return made


def _finish(workspace: Workspace, made: Made, watcher: Watcher) -> Outcome:
    outcome = rebuild_personas(workspace, settings_of(load_discovery(workspace)), watcher)
    opened = Database(workspace.database)
    try:
        cards = CardStore(opened)
        if cards.all(archived=True):
            follow_change(workspace, cards, made.change, undone=made.undone)
    finally:
        opened.close()
    database.finish_change(workspace.database)
    return outcome
