"""`innercouncil backup`: copies of council.db, made, listed and restored."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from innercouncil.cli.given import GivenPath
from innercouncil.cli.options import JSON, WORKSPACE
from innercouncil.cli.terminal import clean, print_json
from innercouncil.model.errors import UsageError, WorkspaceError
from innercouncil.store.backups import KEPT, back_up, backups, damage, restore
from innercouncil.store.workspace import Workspace


@click.group(epilog="Example: innercouncil backup make")
def backup() -> None:
    """Copy council.db (edits, sessions, votes), list the copies, go back to one.

    A copy is also made by itself before a newer innercouncil changes the file's schema.
    """


@backup.command(epilog="Example: innercouncil backup make")
@WORKSPACE
def make(workspace: Path) -> None:
    """Make a copy now, also while a council is running; the five newest are kept."""
    database = Workspace(workspace).database
    if problem := damage(database):
        raise WorkspaceError(
            f"{database} is not copied: {problem}; `innercouncil backup list` shows the copies to go back to."
        )
    click.echo(str(back_up(database, "asked-for")))


@backup.command("list", epilog="Example: innercouncil backup list")
@WORKSPACE
@JSON
def list_(workspace: Path, as_json: bool) -> None:
    """List the copies, newest first, and whether each is sound."""
    database = Workspace(workspace).database
    found = backups(database)
    if as_json:
        print_json(msgspec.to_builtins(found))
        return
    problem = damage(database)
    click.echo(f"{database}: {clean(problem) or 'sound'}", err=True)
    for copy in found:
        state = f"damaged: {copy.problem}" if copy.problem else "sound"
        click.echo(clean(f"{copy.path}  {copy.size_bytes} bytes  {copy.reason}  {state}"))
    if not found:
        click.echo(
            f"There is no copy yet; `innercouncil backup make` makes one (the {KEPT} newest are kept).", err=True
        )


@backup.command("restore", epilog="Example: innercouncil backup restore")
@click.argument("copy", required=False, type=GivenPath(exists=True, dir_okay=False))
@WORKSPACE
def restore_(copy: Path | None, workspace: Path) -> None:
    """Put COPY (default: the newest sound one) in place of council.db; what was there is moved aside, not deleted."""
    ws = Workspace(workspace)
    with ws.lock():
        if copy is None:
            sound = [Path(b.path) for b in backups(ws.database) if not b.problem]
            if not sound:
                raise UsageError(f"There is no sound copy in {ws.database.parent / 'backups'} to go back to.")
            copy = sound[0]
        aside = restore(ws.database, copy)
    click.echo(f"Restored {copy}." + (f" What was there is now {aside}." if aside else ""), err=True)
