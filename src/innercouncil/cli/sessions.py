"""`innercouncil sessions …`: what was asked before."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from innercouncil.cli.given import GivenPath
from innercouncil.cli.options import JSON, WORKSPACE
from innercouncil.cli.terminal import asking, clean, in_house, print_json
from innercouncil.model.errors import UsageError, WorkspaceError
from innercouncil.model.steering import escaped

if TYPE_CHECKING:
    from innercouncil.app.council import House

_SESSION = click.argument("session")


@click.group(epilog="Example: innercouncil sessions list --search database")
def sessions() -> None:
    """Search, show, resume, export, import and delete sessions.

    SESSION is an id, its first six digits or more, or `last`.
    """


@sessions.command("list", epilog="Example: innercouncil sessions list --search database --limit 10")
@click.option("--search", default="", help="Only sessions that hold all these words.")
@click.option(
    "--limit", type=click.IntRange(1, 200), default=30, show_default=True, help="Most sessions that are listed."
)
@WORKSPACE
@JSON
def list_(workspace: Path, search: str, limit: int, as_json: bool) -> None:
    """List sessions, newest first."""

    async def work(house: House) -> None:
        page = house.sessions.page(query=search, limit=limit)
        if as_json:
            print_json({"sessions": msgspec.to_builtins(page.sessions), "total": page.total})
            return
        table = Table(box=None, header_style="bold")
        for title in ("session", "when", "status", "won", "question"):
            table.add_column(title, no_wrap=title != "question")
        for s in page.sessions:
            question = " ".join(clean(s.question).split())
            row = (s.id[:8], s.created_at[:16].replace("T", " "), s.status, clean(s.winner), question[:160])
            table.add_row(*map(Text, row))
        Console().print(table)
        click.echo(f"{len(page.sessions)} of {page.total}", err=True)

    in_house(workspace, work)


@sessions.command(epilog="Example: innercouncil sessions show last")
@_SESSION
@WORKSPACE
@JSON
def show(session: str, workspace: Path, as_json: bool) -> None:
    """Show a session: answers, votes, final answer and where it comes from."""
    from innercouncil.cli.watch import print_record

    async def work(house: House) -> None:
        record = house.sessions.get(house.sessions.find(session))
        if as_json:
            print_json({**msgspec.to_builtins(record), "final": record.final})
        else:
            print_record(record)

    in_house(workspace, work)


@sessions.command(epilog="Example: innercouncil sessions resume last")
@_SESSION
@WORKSPACE
@JSON
def resume(session: str, workspace: Path, as_json: bool) -> None:
    """Go on with a session that was stopped, failed or cut off: what is missing or failed is asked, the rest is kept.

    A finished session stays as it is and is shown.
    """
    from innercouncil.cli.ask import watch

    async def work(house: House) -> int:
        found = house.sessions.find(session)
        await house.resume(found)
        return await watch(house, found, as_json=as_json)

    if code := in_house(workspace, work):
        sys.exit(code)


@sessions.command(
    epilog="Example: innercouncil sessions replay last --personas software-builder,story-writer,science-solver"
)
@_SESSION
@click.option("--personas", required=True, metavar="A,B", help="Who sits in it this time.")
@WORKSPACE
@JSON
def replay(session: str, personas: str, workspace: Path, as_json: bool) -> None:
    """Ask an old question again with other personas."""
    from innercouncil.cli.ask import watch

    async def work(house: House) -> int:
        seats = [s.strip() for s in personas.split(",") if s.strip()]
        return await watch(house, await house.replay(house.sessions.find(session), seats), as_json=as_json)

    if code := in_house(workspace, work):
        sys.exit(code)


@sessions.command(epilog="Example: innercouncil sessions export last --output session.json")
@_SESSION
@click.option("--output", type=GivenPath(dir_okay=False), help="File to write (default: stdout).")
@WORKSPACE
def export(session: str, output: Path | None, workspace: Path) -> None:
    """Write a session as JSON."""

    async def work(house: House) -> bytes:
        return house.sessions.export(house.sessions.find(session))

    data = in_house(workspace, work)
    if output is None:
        sys.stdout.write(escaped(data.decode("utf-8")))
        return
    try:
        output.write_bytes(data)
    except OSError as error:
        raise WorkspaceError(f"Cannot write {output}: {error.strerror}; choose another place.") from error
    click.echo(f"Written to {output}.", err=True)


@sessions.command("import", epilog="Example: innercouncil sessions import session.json")
@click.argument("file", type=GivenPath(exists=True, dir_okay=False))
@WORKSPACE
def import_(file: Path, workspace: Path) -> None:
    """Keep a session that was exported here or elsewhere."""
    if file.stat().st_size > 32 << 20:
        raise UsageError(f"{file} is larger than 32 MB; that is no exported session.")

    async def work(house: House) -> str:
        return house.sessions.import_session(file.read_bytes())

    click.echo(f"Kept as {in_house(workspace, work)}.", err=True)


@sessions.command(epilog="Example: innercouncil sessions delete 4f2a90c1")
@_SESSION
@click.option("--yes", is_flag=True, help="Do not ask.")
@WORKSPACE
def delete(session: str, yes: bool, workspace: Path) -> None:
    """Delete a session for real, with the follow-ups that quote it: the bytes are overwritten, nothing brings them back."""

    async def work(house: House) -> bool:
        found = house.sessions.find(session)
        question = " ".join(clean(house.sessions.get(found).council.question).split())[:100]
        after = len(house.sessions.followups(found))
        more = f" and the {after} that follow up on it and quote it" if after else ""
        with asking():
            if not yes and not click.confirm(f"Delete {found[:8]} ({question}){more} for good?", err=True):
                return False
        house.sessions.delete(found)
        return True

    click.echo("Deleted." if in_house(workspace, work) else "Nothing deleted.", err=True)
