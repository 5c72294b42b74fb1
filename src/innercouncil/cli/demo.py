"""`innercouncil demo`: the whole way on the bundled example."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from innercouncil.cli.given import GivenPath
from innercouncil.cli.options import with_options
from innercouncil.cli.progress import StageProgress
from innercouncil.cli.terminal import clean, in_house
from innercouncil.model.errors import InnerCouncilError

if TYPE_CHECKING:
    from innercouncil.app.backends import Check
    from innercouncil.app.council import House


@click.command(epilog="Example: innercouncil demo --workspace try-it --no-browser")
@with_options(
    click.option(
        "--workspace", type=GivenPath(file_okay=False),
        show_default="innercouncil-demo among this system's data of programs",
        help="A new folder, or that of an earlier demo.",
    ),
    click.option("--no-browser", is_flag=True, help="End after the tour in the terminal; the web app is not started."),
)  # fmt: skip
def demo(workspace: Path | None, no_browser: bool) -> None:
    """Show the whole way on a bundled example: import, personas, council, and then the web app, until Ctrl-C.

    The example is an export of invented chats. Your own chats and workspaces are not touched. Without any model it says
    what to get and shows what needs none. Run again, it goes on where it stopped and keeps what is there.
    """
    from innercouncil.app.demo import demo_workspace, example_export
    from innercouncil.app.discover import discover_personas
    from innercouncil.app.settings import Settings
    from innercouncil.reporting.tour import print_tour

    ws = demo_workspace(workspace)
    click.echo(f"The demo's workspace is {ws.root}; delete it whenever you like.", err=True)
    with StageProgress() as watcher:
        outcome = discover_personas(example_export(), ws, Settings(), watcher)
    print_tour(Console(), outcome.discovery, outcome.report, outcome.files)
    click.echo()
    try:
        code = in_house(ws.root, _ask_council)
    except InnerCouncilError as error:
        click.echo(f"Error: {clean(str(error))}", err=True)
        code = error.exit_code
    place = f'"{ws.root}"' if " " in str(ws.root) else ws.root
    click.echo("\nYour own chats:  innercouncil discover EXPORT.zip")
    click.echo(f"This demo again: innercouncil serve --open --workspace {place}\n")
    if not no_browser:
        from innercouncil.cli.serve import serve_workspace

        serve_workspace(ws.root, port=5000, open_=True, elsewhere=True)
    if code:
        sys.exit(code)


async def _ask_council(house: House) -> int:
    from innercouncil.app.demo import put_question, seat_models
    from innercouncil.cli.ask import watch
    from innercouncil.questions import of_the_demo

    check = await seat_models(house)
    if not check.ready:
        _say_what_to_get(house, check)
        return 0
    click.echo(f"The four as a council, with {clean(check.worker)}, are asked:\n  {of_the_demo()}\n")
    return await watch(house, await put_question(house), as_json=False)


def _say_what_to_get(house: House, check: Check) -> None:
    """Where no model was chosen: the one to fetch, with its sizes. Else what is wrong with the choice."""
    from innercouncil.llm.memory import GIB, KNOWN

    settings = house.backends.settings
    shape = KNOWN.get(settings.worker)
    if shape is None:
        click.echo(clean(check.problem))
        return
    need = shape.need(settings.slots, settings.context_tokens) / GIB
    click.echo(
        "No model was found on this machine: all of the above needs none, but the council cannot be asked. To get one:\n"
        f"  innercouncil models pull {shape.name}    {shape.weights / 1e9:.1f} GB to fetch, {need:.1f} GiB of memory; into Ollama where it runs\n"
        "and then this demo again, in the same folder. A .gguf file of a chat model, laid in this folder, will do as well."
    )
