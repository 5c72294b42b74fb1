"""Changes of discovery's personas and all that follows from them, also where something cut an earlier one off."""

from __future__ import annotations

from innercouncil.app.discover import Outcome, rebuild_personas
from innercouncil.app.findings import load_discovery
from innercouncil.app.personas import follow_change
from innercouncil.app.settings import settings_of
from innercouncil.app.structure import in_the_way
from innercouncil.model.errors import UsageError, WorkspaceError
from innercouncil.model.persona import Change
from innercouncil.model.ports import Watcher
from innercouncil.store import database
from innercouncil.store.cards import CardStore
from innercouncil.store.database import Database, Made
from innercouncil.store.workspace import Workspace


def make_change(workspace: Workspace, change: Change, watcher: Watcher) -> Outcome:
    """Record a change, write the personas anew, and let the council's follow, where there are any yet.

    Raises UsageError where it would give a persona the name of another, WorkspaceError where another process holds the
    workspace; then nothing is recorded.
    """
    with workspace.lock():
        if (found := in_the_way(load_discovery(workspace).personas, change)) is not None:
            name, other = found
            raise UsageError(
                f"A half would be called {name}, as another persona is already; rename one of the two first."
                if change.action == "split"
                else f"Another persona is called {other.name} already; choose a different name."
            )
        database.add_change(workspace.database, change, begins=True)
    return _finish(workspace, Made(change, undone=False), watcher)


def take_back(workspace: Workspace, watcher: Watcher) -> Change | None:
    """Take back the newest change with all that followed, None where there is none.

    One that was cut off, or cannot be finished, is taken back as it is; a cut-off taking back is brought to its end.
    """
    made, cut_off = database.unfinished(workspace.database), None
    if made is not None and made.undone:
        _finish(workspace, made, watcher)
        return made.change
    if made is not None:
        newest = database.changes(workspace.database)[-1:] == [made.change]
        if newest or in_the_way(load_discovery(workspace).personas, made.change) is not None:
            cut_off = made.change
        else:
            _finish(workspace, made, watcher)
    with workspace.lock():
        change = database.undo_change(workspace.database, cut_off)
    if change is not None:
        _finish(workspace, Made(change, undone=True), watcher)
    return change


def finish_earlier(workspace: Workspace, watcher: Watcher) -> Made | None:
    """Bring a change to its end that was cut off, and say which it was; None where none was.

    Raises WorkspaceError for one that gives a persona the name of another, as older versions recorded it.
    """
    made = database.unfinished(workspace.database)
    if made is None:
        return None
    if not made.undone and (found := in_the_way(load_discovery(workspace).personas, made.change)) is not None:
        raise WorkspaceError(
            f"Your last change, to {made.change.action} {made.change.slug}, cannot be finished, because another persona is called "
            f"{found[1].name} already; take it back with `innercouncil personas undo`."
        )
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
