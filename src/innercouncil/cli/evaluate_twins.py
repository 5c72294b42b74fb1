"""`innercouncil evaluate twins`: are two personas one?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from innercouncil.app.helper_model import Price, worker_model
from innercouncil.cli.helper import LLM_OPTIONS, Choice, chosen_model
from innercouncil.cli.options import JSON, WORKSPACE, with_options
from innercouncil.cli.progress import StageProgress
from innercouncil.cli.terminal import clean, print_json
from innercouncil.model.similarity import Estimated, TwinReport
from innercouncil.store.workspace import Workspace


@click.command(epilog="Example: innercouncil evaluate twins --questions 12 --samples 3")
@with_options(
    WORKSPACE, JSON,
    click.option("--questions", type=click.IntRange(5, 60), default=12, show_default=True, help="Bundled questions each persona answers."),
    click.option("--samples", type=click.IntRange(2, 20), default=3, show_default=True, help="How often each is answered."),
    click.option("--personas", metavar="A,B", help="Whom to compare, as slugs (default: all enabled personas)."),
    click.option("--from-sessions", is_flag=True, help="Ask nothing: compare the answers of kept sessions."),
    *LLM_OPTIONS,
)  # fmt: skip
def twins(
    workspace: Path, as_json: bool, questions: int, samples: int, personas: str | None, from_sessions: bool,
    llm: str | None, llm_model: str | None, yes: bool, llm_price: Price | None,
) -> None:  # fmt: skip
    """Find personas that answer alike, and say what to do about them.

    Every persona answers the same questions several times; the distance between two is set against the distance within
    each, and a classifier tries to tell whose answer is whose. Without --llm the council's worker model speaks.
    """
    from innercouncil.app.evaluate_twins import evaluate_kept, evaluate_twins

    ws = Workspace(workspace)
    seats = [s.strip() for s in personas.split(",") if s.strip()] if personas is not None else None
    with StageProgress() as watcher:

        def stage(title: str) -> Callable[[int, int], None]:
            return watcher.stage(title, done=False)

        if from_sessions:
            report = evaluate_kept(ws, personas=seats, stage=stage)
        else:
            choice = Choice(llm, llm_model, yes, llm_price)
            with chosen_model(choice, ws, watcher, otherwise=lambda: worker_model(ws)) as model:
                assert model is not None
                report = evaluate_twins(
                    ws, model=model, personas=seats, questions=questions, samples=samples, stage=stage
                )
    if as_json:
        print_json(report)
    else:
        _print(Console(), report)


def _print(console: Console, r: TwinReport) -> None:
    console.print(
        Text(
            f"{r.samples} answers of {len(r.personas)} personas to {r.questions} questions; whose is told in "
            f"{_percent(r.attribution)}, chance is {100 * r.chance:.0f}%. In brackets: 95% intervals over questions."
        )
    )
    table = Table(box=None, header_style="bold")
    for title in ("pair", "between / within", "told apart", "verdict"):
        table.add_column(title)
    for p in r.pairs:
        apart = f"{p.ratio.value:.2f} ({p.ratio.low:.2f} to {p.ratio.high:.2f})" if p.ratio else "–"
        table.add_row(*map(Text, (f"{clean(p.one)}, {clean(p.other)}", apart, _percent(p.attribution), p.verdict)))
    console.print(table)
    for p in r.pairs:
        if p.remedy != "none":
            console.print(Text(clean(p.advice)))
    for x in r.removals:
        if x.sessions:
            console.print(
                Text(
                    f"Without {clean(x.persona)} another would win in {_percent(x.changes)} of {x.sessions} sessions; it won "
                    f"{_percent(x.wins)}, and decided between others in {_percent(x.swings)}."
                )
            )
    for note in r.notes:
        console.print(Text(clean(note), style="dim"))


def _percent(e: Estimated) -> str:
    return f"{100 * e.value:.0f}% ({100 * max(e.low, 0):.0f} to {100 * min(e.high, 1):.0f})"
