"""`innercouncil doctor`: what is there, what fits, what to do."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.text import Text

from innercouncil.cli.options import JSON, WORKSPACE, with_options
from innercouncil.cli.terminal import clean, in_house, print_json

_SIGNS = {"good": ("ok  ", "green"), "note": ("    ", ""), "bad": ("!   ", "bold red")}


@click.command(epilog="Example: innercouncil doctor --measure")
@with_options(
    WORKSPACE,
    click.option("--measure", is_flag=True, help="Also time the workers' model with 1, 2, 4 and 6 answers at a time."),
    JSON,
)
def doctor(workspace: Path, measure: bool, as_json: bool) -> None:
    """Say what is there, what fits into this machine's memory (with the arithmetic), and what to do.

    Ends with exit code 1 where a council cannot be held yet.
    """
    from innercouncil.app.doctor import examine

    lines = in_house(workspace, lambda house: examine(house, measure=measure))
    if as_json:
        print_json(msgspec.to_builtins(lines))
    else:
        console = Console(highlight=False)
        for line in lines:
            sign, style = _SIGNS[line.verdict]
            console.print(Text(sign, style=style) + Text(clean(line.text)), soft_wrap=True)
    if any(line.verdict == "bad" for line in lines):
        sys.exit(1)
