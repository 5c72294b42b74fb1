"""`innercouncil models …`: which models the council uses, and getting them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

from innercouncil.cli.options import JSON, WORKSPACE
from innercouncil.cli.terminal import clean, in_house, print_json

if TYPE_CHECKING:
    from innercouncil.app.council import House

_FORMS = (
    "MODEL is a name (qwen2.5:3b: Ollama if it runs, else the built-in llama.cpp), ollama:NAME, a path to a .gguf file, "
    "https://host/v1#MODEL for an OpenAI-compatible server, or anthropic:MODEL."
)


@click.group(epilog="Example: innercouncil models use --worker ~/models/qwen2.5-3b-q4_k_m.gguf --lite")
def models() -> None:
    """See and choose the models of the council."""


@models.command("list", epilog="Example: innercouncil models list --json")
@WORKSPACE
@JSON
def list_(workspace: Path, as_json: bool) -> None:
    """Show which models the council uses and which are on this machine."""
    from innercouncil.app.doctor import list_models

    found, check, settings = in_house(workspace, list_models)
    if as_json:
        print_json({"uses": msgspec.to_builtins(settings), "ready": check.ready, "problem": check.problem,
                    "models": msgspec.to_builtins(found)})  # fmt: skip
        return
    click.echo(f"workers      {clean(check.worker)}")
    click.echo(f"synthesizer  {clean(check.synthesizer)}{' (lite: the same model)' if settings.lite else ''}")
    if check.problem:
        click.echo(clean(check.problem), err=True)
    if found:
        table = Table(box=None, header_style="bold")
        for title in ("model", "where", "size", "quantization"):
            table.add_column(title, justify="right" if title == "size" else "left")
        for m in found:
            size = f"{m.size_bytes / 1e9:.1f} GB" if m.size_bytes else ""
            table.add_row(*(Text(clean(cell)) for cell in (m.name, m.where, size, m.quantization)))
        Console().print(table)


@models.command(epilog="Example: innercouncil models use --worker qwen2.5:3b --synthesizer qwen2.5:7b")
@click.option("--worker", metavar="MODEL", help="Model of the workers.")
@click.option("--synthesizer", metavar="MODEL", help="Model that writes the final answer.")
@click.option("--lite/--no-lite", default=None, help="Let the workers' model write the final answer too.")
@click.option("--context", type=click.IntRange(512, 131072), help="Tokens of prompt and answer of a call.")
@click.option("--slots", type=click.IntRange(1, 12), help="Answers the built-in llama.cpp writes at a time.")
@click.option("--gpu-layers", type=click.IntRange(-1, 999), help="Layers llama.cpp puts on the GPU; -1: all that fit.")
@WORKSPACE
def use(workspace: Path, **given: Any) -> None:
    """Choose the models."""
    names = {"context": "context_tokens"}
    changes = {names.get(k, k): v for k, v in given.items() if v is not None}
    for key in ("worker", "synthesizer"):
        if str(changes.get(key, "")).lower().endswith(".gguf") and "://" not in changes[key]:
            changes[key] = str(Path(changes[key]).expanduser().absolute())

    async def change(house: House) -> str:
        house.backends.change(msgspec.structs.replace(house.backends.settings, **changes))
        check = await house.backends.check()
        if check.problem:
            return f"Kept, but the council cannot be asked yet. {check.problem}"
        return f"The council uses {check.worker} and, for the final answer, {check.synthesizer}."

    click.echo(clean(in_house(workspace, change)), err=True)


use.help = f"{use.help} {_FORMS}"


@models.command(epilog="Example: innercouncil models pull qwen2.5:3b")
@click.argument("name")
@WORKSPACE
def pull(name: str, workspace: Path) -> None:
    """Fetch a model by its name in Ollama's library: with Ollama where it runs, else for the built-in llama.cpp.

    Interrupted, the same command goes on where it stopped; the checksum is verified.
    """
    from innercouncil.app.doctor import pull_model

    async def fetch(house: House) -> None:
        console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=28),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
            task = bar.add_task(clean(name), total=None)
            said = ""
            async for step in pull_model(house, name):
                bar.update(task, description=clean(step.what), completed=step.done, total=step.total or None)
                if not console.is_terminal and step.what != said:
                    said = step.what
                    click.echo(clean(said), err=True)
        click.echo(f"{clean(name)} is here.", err=True)

    in_house(workspace, fetch)


@models.command(epilog="Example: innercouncil models allow api.example.com")
@click.argument("host")
@click.option("--revoke", is_flag=True, help="Take the consent back.")
@WORKSPACE
def allow(host: str, revoke: bool, workspace: Path) -> None:
    """Agree that questions and prompts are sent to HOST; without it nothing leaves this machine."""

    async def agree(house: House) -> None:
        if revoke:
            house.backends.revoke(host)
        else:
            house.backends.allow(host)

    in_house(workspace, agree)
    click.echo(f"Text {'stays away from' if revoke else 'may be sent to'} {clean(host)}.", err=True)


@models.command(epilog="Example: innercouncil models key api.anthropic.com")
@click.argument("host")
@click.option("--delete", is_flag=True, help="Take the key out of the keyring.")
def key(host: str, delete: bool) -> None:
    """Keep the API key for HOST in this system's keyring; it is asked for and never shown.

    On a server without a keyring set INNERCOUNCIL_API_KEY instead.
    """
    from innercouncil.app.backends import forget_key, keep_key

    if delete:
        said = "Taken out of the keyring." if forget_key(host) else f"The keyring holds no key for {clean(host)}."
        click.echo(said, err=True)
        return
    text = click.prompt(f"API key for {clean(host)}", hide_input=True, err=True).strip()
    keep_key(host, text)
    click.echo("Kept in the keyring.", err=True)
