"""`innercouncil ask`: one question to the council, watched in the terminal."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from innercouncil.cli.given import GivenPath, given_text, read_text
from innercouncil.cli.options import WORKSPACE, with_options
from innercouncil.cli.terminal import clean, in_house, print_json
from innercouncil.cli.watch import Watch, print_record
from innercouncil.model.council import Attachment
from innercouncil.model.errors import InnerCouncilError, UsageError

if TYPE_CHECKING:
    from innercouncil.app.council import House

ATTACHMENT_BYTES: Final = 200_000


@click.command(epilog='Example: innercouncil ask "Should I rewrite it or mend it?" --baseline')
@click.argument("question")
@with_options(
    WORKSPACE,
    click.option("--personas", metavar="A,B", help="Who sits in it, as slugs (default: all enabled personas)."),
    click.option("--baseline", is_flag=True, help="Also ask the synthesizer alone, and plain samples of the worker model."),
    click.option("--rounds", type=click.IntRange(0, 1), default=0, help="1: each worker may revise once after reading the others."),
    click.option("--follow", metavar="SESSION", help="Follow up on a session: an id, its beginning, or `last`."),
    click.option("--attach", type=GivenPath(exists=True, dir_okay=False), multiple=True, help="A text file that goes with the question; repeatable."),
    click.option("--lite", is_flag=True, help="Let the workers' model write the final answer, this time."),
    click.option("--option", "more", multiple=True, metavar="NAME=VALUE", help="Any other option of a session, e.g. tally=copeland, answer_tokens=300, seed=1; repeatable."),
    click.option("--json", "as_json", is_flag=True, help="Print the finished session as JSON on stdout."),
)  # fmt: skip
def ask(
    question: str, workspace: Path, personas: str | None, baseline: bool, rounds: int, follow: str | None,
    attach: tuple[Path, ...], lite: bool, more: tuple[str, ...], as_json: bool,
) -> None:  # fmt: skip
    """Ask the council QUESTION (- reads it from stdin) and watch it answer, vote and conclude.

    The final answer goes to stdout, everything else to stderr. The session is kept: `innercouncil sessions show last`.
    """
    text = given_text(Path("-")) if question == "-" else question
    given = {**named_options(more), "baselines": baseline, "rounds": rounds, "lite": lite}
    seats = [s.strip() for s in personas.split(",") if s.strip()] if personas is not None else None
    attachments = [Attachment(path.name, _read(path)) for path in attach]

    async def work(house: House) -> int:
        from innercouncil.app.council import options_from

        session = await house.ask(
            text, personas=seats, options=options_from(given, house.default_options()), attachments=attachments,
            parent=house.sessions.find(follow) if follow else None,
        )  # fmt: skip
        return await watch(house, session, as_json=as_json)

    code = in_house(workspace, work)
    if code:
        sys.exit(code)


async def watch(house: House, session: str, *, as_json: bool) -> int:
    """Show a running session to its end; returns the exit code."""
    try:
        with Watch(quiet=as_json) as shown:
            async with contextlib.aclosing(house.events(session)) as events:
                async for event in events:
                    shown.event(event)
    except asyncio.CancelledError:
        with contextlib.suppress(InnerCouncilError):
            house.stop(session)
        click.echo(f"\nStopped; what was said is kept: `innercouncil sessions resume {session[:8]}` goes on.", err=True)
        raise
    record = house.sessions.get(session)
    if as_json:
        print_json({**msgspec.to_builtins(record), "final": record.final})
    else:
        print_record(record, final=False)
    if record.status != "done":
        click.echo(f"Error: {clean(record.problem) or 'The session did not finish.'}", err=True)
    return 0 if record.status == "done" else 1


def _read(path: Path) -> str:
    data = path.read_bytes()
    if len(data) > ATTACHMENT_BYTES:
        raise UsageError(f"{path} has {len(data)} bytes, {ATTACHMENT_BYTES} is the most; attach the part that matters.")
    return read_text(data, str(path), "only texts can be attached")


def named_options(more: tuple[str, ...]) -> dict[str, Any]:
    """What `--option NAME=VALUE` said. Raises UsageError."""
    out: dict[str, Any] = {}
    for item in more:
        name, found, value = item.partition("=")
        if not found:
            raise UsageError(f"{item!r} is not NAME=VALUE; write for example seed=1.")
        try:
            out[name.strip()] = msgspec.json.decode(value)
        except msgspec.DecodeError:
            out[name.strip()] = value
    return out
