"""`innercouncil evaluate …`: how good what discovery made is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from innercouncil.app.evaluate_modes import evaluate_modes
from innercouncil.app.evaluate_prompts import evaluate_prompts
from innercouncil.app.helper_model import Price
from innercouncil.cli.evaluate_adherence import adherence
from innercouncil.cli.evaluate_twins import twins
from innercouncil.cli.given import GivenPath
from innercouncil.cli.helper import LLM_OPTIONS, Choice, chosen_model
from innercouncil.cli.options import JSON, WORKSPACE, with_options
from innercouncil.cli.progress import StageProgress
from innercouncil.cli.terminal import clean, print_json
from innercouncil.model.quality import Accuracy, PromptQuality, PromptSet
from innercouncil.reporting.summary import print_comparison
from innercouncil.store.workspace import Workspace


@click.group(epilog="Example: innercouncil evaluate prompts")
def evaluate() -> None:
    """Measure what discovery made: the modes, the personas' prompts, and whether two personas are one."""


evaluate.add_command(twins)
evaluate.add_command(adherence)


@evaluate.command(epilog="Example: innercouncil evaluate prompts --llm ollama --json")
@with_options(WORKSPACE, JSON, *LLM_OPTIONS)
@click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Which conversations are held out."
)
def prompts(
    workspace: Path, as_json: bool, llm: str | None, llm_model: str | None, yes: bool,
    llm_price: Price | None, seed: int,
) -> None:  # fmt: skip
    """Write prompts from 70% of the conversations and measure them on the rest.

    Attribution: how often a held-out message is matched to its own persona's prompt. With --llm the model attributes too,
    writes prompts of its own from the same 70%, and answers held-out questions, to compare style and distinctness.
    """
    ws = Workspace(workspace)
    with StageProgress() as watcher, chosen_model(Choice(llm, llm_model, yes, llm_price), ws, watcher) as model:

        def stage(title: str) -> Callable[[int, int], None]:
            return watcher.stage(title, done=False)

        quality = evaluate_prompts(ws, seed=seed, model=model, stage=stage)
    if as_json:
        print_json(quality)
    else:
        _print(Console(), quality)


@evaluate.command(epilog="Example: innercouncil evaluate modes --gold labels.json --json")
@with_options(WORKSPACE, JSON)
@click.option(
    "--gold", type=GivenPath(dir_okay=False), metavar="LABELS.json",
    help="JSON object of message ids and their true modes, to measure against.",
)  # fmt: skip
def modes(workspace: Path, as_json: bool, gold: Path | None) -> None:
    """Show the ways of finding modes side by side: offline labels, and a model's facets where `discover --modes facets` ran."""
    comparison = evaluate_modes(Workspace(workspace), gold)
    if as_json:
        print_json(comparison)
        return
    console = Console()
    print_comparison(console, comparison)
    if comparison.hierarchy is None:
        console.print(
            Text("No facets yet: `innercouncil discover EXPORT --modes facets --llm WHERE` adds them.", style="dim")
        )


def _print(console: Console, q: PromptQuality) -> None:
    console.print(
        Text(
            f"{q.messages} messages of {q.conversations} held-out conversations, {len(q.personas)} personas; "
            f"chance is {_percent(q.sets[0].attribution.chance)}. In brackets: 95% intervals over conversations."
        )
    )
    table = Table(box=None, header_style="bold")
    table.add_column("")
    for s in q.sets:
        table.add_column(s.name, justify="right")
    for title, tell in _ROWS:
        cells = [tell(s) for s in q.sets]
        if any(cells):
            table.add_row(title, *(c or "–" for c in cells))
    console.print(table)
    for d in q.differences:
        sure = "" if d.low > 0 or d.high < 0 else ", which may be chance"
        console.print(Text(f"{d.name}: {100 * d.value:+.0f} points ({100 * d.low:+.0f} to {100 * d.high:+.0f}){sure}"))
    if q.judge is None:
        console.print(Text("Style and answers were not measured: name a model with --llm.", style="dim"))
    else:
        console.print(Text(f"The model is {clean(q.judge)}; {q.questions} questions.", style="dim"))
    for note in q.notes:
        console.print(Text(clean(note), style="dim"))


def _accuracy(a: Accuracy | None) -> str:
    if a is None:
        return ""
    unanswered = f", {a.unanswered} unanswered" if a.unanswered else ""
    return f"{_percent(a.value)} ({_percent(a.low)}–{_percent(a.high)}{unanswered})"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"


_ROWS: tuple[tuple[str, Callable[[PromptSet], str]], ...] = (
    ("prompt length, tokens", lambda s: f"{s.tokens}"),
    ("attribution, offline scorer", lambda s: _accuracy(s.attribution)),
    ("attribution, the model", lambda s: _accuracy(s.judged)),
    ("style: Delta to own words (less is nearer)", lambda s: f"{s.style.delta:.2f}" if s.style else ""),
    ("style: nearest to own words", lambda s: _percent(s.style.nearest_own) if s.style else ""),
    ("style: length of an answer, times a message", lambda s: f"{s.style.length_ratio:.1f}" if s.style else ""),
    ("style: distance of reasoning markers", lambda s: f"{s.style.marker_distance:.2f}" if s.style else ""),
    ("distinctness of the prompts", lambda s: f"{s.prompt_distinctness:.2f}"),
    (
        "distinctness of the answers",
        lambda s: f"{s.answer_distinctness:.2f}" if s.answer_distinctness is not None else "",
    ),
)
