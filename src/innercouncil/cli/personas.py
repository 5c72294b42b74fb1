"""`innercouncil personas …`: look at the personas and change them."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from innercouncil.app.changes import finish_earlier, make_change, take_back
from innercouncil.app.findings import load_discovery, persona_named
from innercouncil.app.helper_model import Price
from innercouncil.app.written_prompts import Offered, Which, choices_of, offered_prompt, write_prompts
from innercouncil.cli.discover import persona_row
from innercouncil.cli.given import GivenPath, given_text
from innercouncil.cli.helper import LLM_OPTIONS, Choice, chosen_model
from innercouncil.cli.options import JSON, WORKSPACE, with_options
from innercouncil.cli.progress import StageProgress
from innercouncil.cli.terminal import clean as _clean
from innercouncil.cli.terminal import print_json as _print_json
from innercouncil.model.errors import UsageError
from innercouncil.model.persona import Change, Persona
from innercouncil.model.slug import NAME_CHARS
from innercouncil.store.workspace import Workspace


@click.group(epilog="Example: innercouncil personas show software-builder")
def personas() -> None:
    """List, show, edit, rename, merge, split or drop personas; let a model write them."""


@personas.command("list", epilog="Example: innercouncil personas list --json")
@WORKSPACE
@JSON
def list_(workspace: Path, as_json: bool) -> None:
    """List the personas, largest first."""
    discovery = load_discovery(Workspace(workspace))
    if as_json:
        _print_json([persona_row(p) for p in msgspec.to_builtins(discovery.personas)])
        return
    table = Table(box=None, header_style="bold")
    for title in ("persona", "name", "share", "stability", "prompt", ""):
        table.add_column(title, justify="right" if title in ("share", "stability", "prompt") else "left")
    for p in discovery.personas:
        table.add_row(
            p.slug, Text(_clean(p.name)), f"{100 * p.share:.0f}%", f"{p.stability:.2f} {p.verdict}", f"{p.prompt.tokens} tokens",
            "" if p.origin == "discovered" else p.origin,
        )  # fmt: skip
    Console().print(table)


@personas.command(epilog="Example: innercouncil personas show software-builder --prompt")
@click.argument("slug")
@WORKSPACE
@JSON
@click.option("--prompt", "only_prompt", is_flag=True, help="Print only the system prompt.")
def show(slug: str, workspace: Path, as_json: bool, only_prompt: bool) -> None:
    """Show one persona with its evidence and its system prompt."""
    persona = _find(Workspace(workspace), slug)
    if as_json:
        _print_json(msgspec.to_builtins(persona))
    elif only_prompt:
        sys.stdout.write(_clean(persona.prompt.text))
    else:
        _print_persona(persona)


def _print_persona(p: Persona) -> None:
    console = Console()
    console.print(Text(_clean(f"{p.name}  ({p.slug})"), style="bold"))
    console.print(Text(_clean(p.description)))
    facts = f"{p.size} messages, {100 * p.share:.0f}%; {p.verdict}, stability {p.stability:.2f}; {100 * p.ambiguous_share:.0f}% lie close to another persona"
    console.print(Text(facts, style="dim"))
    for claim in p.claims:
        share = "" if claim.share is None else f" {100 * claim.share:.0f}%"
        elsewhere = "" if claim.elsewhere is None else f" (elsewhere {100 * claim.elsewhere:.0f}%)"
        console.print(Text(_clean(f"  - {claim.text}{share}{elsewhere}  [{', '.join(claim.evidence[:3])}]")))
    console.print(Text(f"\nSystem prompt ({p.prompt.tokens} of {p.prompt.budget} tokens):", style="bold"))
    console.print(Text(_clean(p.prompt.text)))


@personas.command(epilog="Example: innercouncil personas edit software-builder --file prompt.md")
@click.argument("slug")
@WORKSPACE
@click.option(
    "--file",
    "source",
    type=GivenPath(exists=True, dir_okay=False, dash=True),
    help="Take the prompt from a file, - for stdin (default: open your editor).",
)
def edit(slug: str, workspace: Path, source: Path | None) -> None:
    """Write the persona's system prompt yourself; the generated one stays in generated_prompts.json."""
    ws = Workspace(workspace)
    _finish_earlier(ws)
    persona = _find(ws, slug)
    text = given_text(source) if source is not None else click.edit(persona.prompt.text, extension=".md")
    if text is None or text.strip() == persona.prompt.text.strip():
        click.echo("Nothing changed.", err=True)
        return
    if not text.strip():
        raise UsageError("The prompt is empty; write at least one line, or drop the persona with `personas drop`.")
    _change(ws, Change(action="edit", slug=persona.slug, value=text.strip() + "\n"))


@personas.command(epilog='Example: innercouncil personas rename software-builder "The Maker"')
@click.argument("slug")
@click.argument("name")
@WORKSPACE
def rename(slug: str, name: str, workspace: Path) -> None:
    """Give a persona another name."""
    ws = Workspace(workspace)
    name = " ".join(_clean(name).split())
    if _finish_earlier(ws, Change(action="rename", slug=slug, value=name)):
        return
    persona = _find(ws, slug)
    if not name or len(name) > NAME_CHARS:
        raise UsageError(f"A name has 1 to {NAME_CHARS} characters; give a shorter one.")
    if persona.name == name:
        click.echo("Nothing changed.", err=True)
        return
    _change(ws, Change(action="rename", slug=persona.slug, value=name))


@personas.command(epilog="Example: innercouncil personas merge story-writer business-explorer --name Writer")
@click.argument("slug")
@click.argument("other")
@WORKSPACE
@click.option("--name", default="", help="Name of the merged persona (default: the first one's).")
def merge(slug: str, other: str, workspace: Path, name: str) -> None:
    """Make one persona out of two."""
    ws = Workspace(workspace)
    name = " ".join(_clean(name).split())[:NAME_CHARS]
    if _finish_earlier(ws, Change(action="merge", slug=slug, other=other, value=name)):
        return
    first, second = _find(ws, slug), _find(ws, other)
    if first == second:
        raise UsageError("A persona cannot be merged with itself; name two different ones.")
    _change(ws, Change(action="merge", slug=first.slug, other=second.slug, value=name))


@personas.command(epilog="Example: innercouncil personas split story-writer")
@click.argument("slug")
@WORKSPACE
def split(slug: str, workspace: Path) -> None:
    """Divide a persona into two."""
    ws = Workspace(workspace)
    if _finish_earlier(ws, Change(action="split", slug=slug)):
        return
    _change(ws, Change(action="split", slug=_find(ws, slug).slug))


@personas.command(epilog="Example: innercouncil personas drop story-writer")
@click.argument("slug")
@WORKSPACE
def drop(slug: str, workspace: Path) -> None:
    """Take a persona out; its messages stay, without a persona."""
    ws = Workspace(workspace)
    if _finish_earlier(ws, Change(action="drop", slug=slug)):
        return
    persona = _find(ws, slug)
    if len(load_discovery(ws).personas) == 1:
        raise UsageError("This is the last persona; a council needs at least one.")
    _change(ws, Change(action="drop", slug=persona.slug))


@personas.command(epilog="Example: innercouncil personas write --llm ollama --llm-model qwen2.5:7b")
@click.argument("slugs", nargs=-1, metavar="[SLUG]...")
@with_options(WORKSPACE, JSON, *LLM_OPTIONS)
def write(
    slugs: tuple[str, ...], workspace: Path, as_json: bool, llm: str | None, llm_model: str | None, yes: bool,
    llm_price: Price | None,
) -> None:  # fmt: skip
    """Let a model write the personas from their evidence; nothing changes until you choose.

    Sentences that their evidence does not support are dropped. See the result with `personas diff`, take it with
    `personas choose`, measure it with `evaluate prompts --llm`.
    """
    ws = Workspace(workspace)
    with StageProgress() as watcher, chosen_model(Choice(llm, llm_model, yes, llm_price), ws, watcher) as author:
        if author is None:
            raise UsageError("Say which model is to write: add --llm ollama, embedded, anthropic or a URL.")
        offered = write_prompts(ws, slugs, author, watcher.stage("Writing prompts", done=False))
    if as_json:
        _print_json(offered)
        return
    for one in offered:
        _print_offer(one, with_diff=False)


@personas.command(epilog="Example: innercouncil personas diff software-builder")
@click.argument("slug")
@WORKSPACE
@JSON
def diff(slug: str, workspace: Path, as_json: bool) -> None:
    """Show what a model wrote for a persona against the offline prompt."""
    ws = Workspace(workspace)
    slug = _find(ws, slug).slug
    offered = offered_prompt(ws, slug)
    if offered is None:
        raise UsageError(
            f"No model has written {slug} from its present evidence; run `innercouncil personas write {slug} --llm WHERE` first."
        )
    if as_json:
        _print_json(offered)
    else:
        _print_offer(offered, with_diff=True)


@personas.command(epilog="Example: innercouncil personas choose software-builder model")
@click.argument("slug")
@click.argument("which", type=click.Choice(["model", "offline"]))
@WORKSPACE
@click.option("--name", "with_name", is_flag=True, help="Take the model's name for the persona too.")
def choose(slug: str, which: Which, workspace: Path, with_name: bool) -> None:
    """Give a persona the prompt a model wrote, or the offline one again; `personas undo` takes it back."""
    ws = Workspace(workspace)
    _finish_earlier(ws)
    for change in choices_of(ws, _find(ws, slug).slug, which, with_name=with_name):
        _change(ws, change)


def _print_offer(offered: Offered, *, with_diff: bool) -> None:
    console, w = Console(), offered.written
    if not w.usable:
        console.print(Text(f"{offered.slug}: the offline prompt stands", style="bold"))
    else:
        state = ", chosen" if offered.chosen else ""
        console.print(Text(_clean(f"{offered.slug}: {w.name} ({w.prompt.tokens} tokens{state})"), style="bold"))
        console.print(Text(_clean(w.description)))
    dropped = ", ".join(f"{n} {why}" for why, n in w.dropped.items())
    console.print(Text(_clean(f"by {w.model}; dropped: {dropped or 'nothing'}"), style="dim"))
    if with_diff and w.usable:
        for line in offered.diff:
            mark, style = {"same": (" ", ""), "added": ("+", "green"), "removed": ("-", "red")}[line.kind]
            console.print(Text(_clean(f"{mark} {line.text}"), style=style))


@personas.command(epilog="Example: innercouncil personas undo")
@WORKSPACE
def undo(workspace: Path) -> None:
    """Take back your latest change."""
    ws = Workspace(workspace)
    with StageProgress() as watcher:
        change = take_back(ws, watcher)
    if change is None:
        click.echo("There is no change to take back.", err=True)
        return
    click.echo(_clean(f"Took back: {change.action} {change.slug}."), err=True)


def _change(ws: Workspace, change: Change) -> None:
    with StageProgress() as watcher:
        make_change(ws, change, watcher)
    _tell(ws)


def _finish_earlier(ws: Workspace, change: Change | None = None) -> bool:
    """Finish what an earlier command was cut off in, and say whether that was this very change."""
    with StageProgress() as watcher:
        earlier = finish_earlier(ws, watcher)
    same = earlier is not None and earlier == (change, False)
    if same:
        _tell(ws)
    elif earlier is not None:
        click.echo(f"First finished what was cut off: {earlier.change.action} {_clean(earlier.change.slug)}.", err=True)
    return same


def _tell(ws: Workspace) -> None:
    click.echo("Now: " + ", ".join(p.slug for p in load_discovery(ws).personas), err=True)


def _find(ws: Workspace, name: str) -> Persona:
    return persona_named(ws, {p.slug: p for p in load_discovery(ws).personas}, name)
