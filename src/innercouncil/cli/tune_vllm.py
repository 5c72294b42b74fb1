"""`innercouncil tune vllm`: how vLLM serves the council's adapters."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from innercouncil.cli.options import JSON, WORKSPACE, with_options
from innercouncil.cli.terminal import clean, in_house, print_json

if TYPE_CHECKING:
    from innercouncil.app.council import House
    from innercouncil.app.tune_vllm import Serving


@click.command(epilog="Example: innercouncil tune vllm --persona software-builder")
@with_options(
    WORKSPACE,
    click.option("--persona", "personas", multiple=True, metavar="SLUG", help="Whose adapter; may be given several times (default: those that sit in the council, else all)."),
    JSON,
)  # fmt: skip
def vllm(workspace: Path, personas: tuple[str, ...], as_json: bool) -> None:
    """Print the command that serves adapters with vLLM, all behind one port, under the names the council asks for.

    Nothing is started. One line for each base; the folders are those of this machine.
    """

    async def work(house: House) -> list[Serving]:
        from innercouncil.app.tune_vllm import servings

        return servings(house, personas)

    found = in_house(workspace, work)
    if as_json:
        print_json([{"base": s.base, "adapters": [a.name for a in s.adapters], "command": s.command} for s in found])
        return
    for serving in found:
        click.echo(clean(serving.line))
