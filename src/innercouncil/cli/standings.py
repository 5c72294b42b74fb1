"""`innercouncil standings`: whose answers win, drawn with intervals."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from innercouncil.app.standings import standings as all_standings
from innercouncil.cli.options import JSON, WORKSPACE
from innercouncil.cli.terminal import clean, print_json
from innercouncil.evaluation.gauges import votes_needed
from innercouncil.model.errors import UsageError
from innercouncil.model.ratings import Board, Rating, Standings
from innercouncil.store.workspace import Workspace

BAR: int = 33
_TITLES = {"person": "In your eyes", "models": "In the models' eyes"}


@click.command(epilog="Example: innercouncil standings --board person --topic software")
@click.option("--board", type=click.Choice(list(_TITLES)), help="Only votes by you, or only votes by the models.")
@click.option("--topic", metavar="TOPIC", help="Only questions on this topic; `all` for the boards over all topics.")
@WORKSPACE
@JSON
def standings(board: str | None, topic: str | None, workspace: Path, as_json: bool) -> None:
    """Show whose answers win, by your votes and by the models', over all topics and on each.

    Shares are against an average persona, length and formatting held equal, with 95% intervals. Personas whose intervals
    overlap share a range of places: their order is not known.
    """
    found = _chosen(all_standings(Workspace(workspace)), board, topic)
    if as_json:
        print_json(msgspec.to_builtins(found))
        return
    console = Console()
    for n, each in enumerate(found.boards):
        if n:
            console.print()
        _print(console, each, found)


def _chosen(found: Standings, board: str | None, topic: str | None) -> Standings:
    topics = sorted({b.topic for b in found.boards if b.topic})
    if topic not in (None, "all", *topics):
        raise UsageError(f"No question was on {topic!r} so far; choose from: {', '.join(['all', *topics])}.")
    wanted = None if topic is None else "" if topic == "all" else topic
    boards = [b for b in found.boards if board in (None, b.name) and wanted in (None, b.topic)]
    return msgspec.structs.replace(found, boards=tuple(boards))


def _print(console: Console, board: Board, found: Standings) -> None:
    topic = f", {board.topic}" if board.topic else ""
    console.print(
        Text(f"{_TITLES[board.name]}{topic}", style="bold")
        + Text(f"  {_count(board.questions, 'question')}, {_count(board.judgements, 'vote')}", style="not bold dim")
    )
    if board.missing:
        console.print(Text(f"Not enough votes yet: {_count(board.missing, 'more question')}. {_sizes()}"))
        return
    table = Table(box=None, header_style="bold")
    for title in ("place", "persona", "wins"):
        table.add_column(title, justify="right" if title == "wins" else "left", no_wrap=True)
    table.add_column("95% interval", no_wrap=True)
    table.add_column("0%" + "50%".center(BAR - 6) + "100%", no_wrap=True)
    for r in board.ratings:
        name = clean(found.names.get(r.slug, r.slug))[:40] + (" (gone)" if r.slug in found.gone else "")
        cells = (_place(r), name, _percent(r.win_rate), f"{_percent(r.win_low)}–{_percent(r.win_high)}", bar(r))
        table.add_row(*map(Text, cells))
    console.print(table)
    for g in board.gauges:
        sure = "" if g.shown else ", which may be chance"
        console.print(Text(f"{g.meaning[:-1]} ({_percent(g.low)}–{_percent(g.high)}){sure}.", style="dim"))
    for u in board.unmeasured:
        console.print(Text(f"Not measured: {u.name}. {u.why}", style="dim"))
    for warning in board.warnings:
        console.print(Text(f"! {clean(warning)}", style="yellow"))


def bar(r: Rating) -> str:
    """The interval on a line from 0% to 100%, the middle of the line marked."""
    low, at, high = (round(share * (BAR - 1)) for share in (r.win_low, r.win_rate, r.win_high))
    cells = ["─" if low <= n <= high else " " for n in range(BAR)]
    if cells[BAR // 2] == " ":
        cells[BAR // 2] = "·"
    cells[at] = "●"
    return "".join(cells)


def _place(r: Rating) -> str:
    return str(r.first) if r.first == r.last else f"{r.first}–{r.last}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _sizes() -> str:
    told = ", ".join(f"{p}%: {votes_needed(p / 100)}" for p in (55, 60, 70))
    return f"Votes that tell a favourite who wins so often from chance: {told}."
