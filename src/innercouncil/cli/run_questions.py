"""`innercouncil run-questions`: a set of questions put to the council while nobody watches."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from innercouncil.cli.ask import named_options
from innercouncil.cli.options import JSON, WORKSPACE, with_options
from innercouncil.cli.progress import StageProgress
from innercouncil.cli.terminal import clean, in_house, print_json
from innercouncil.model.errors import UsageError
from innercouncil.model.times import duration
from innercouncil.store.workspace import Workspace

if TYPE_CHECKING:
    from innercouncil.app.council import House
    from innercouncil.app.run_questions import BatchSummary, Step


@click.command("run-questions", epilog="Example: innercouncil run-questions --bundled --limit 12 --baseline")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@with_options(
    click.option("--bundled", is_flag=True, help="The sixty varied questions that come with innercouncil."),
    click.option("--from-history", type=click.IntRange(1, 10_000), metavar="N", help="N questions you began conversations with, of all personas in turn."),
    WORKSPACE,
    click.option("--personas", metavar="A,B", help="Who sits in it, as slugs (default: all enabled personas)."),
    click.option("--baseline", is_flag=True, help="Also ask the synthesizer alone, and plain samples of the worker model."),
    click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Of the draw and of the models' sampling."),
    click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N questions."),
    click.option("--option", "more", multiple=True, metavar="NAME=VALUE", help="Any other option of a session, e.g. answer_tokens=300; repeatable."),
    click.option("--retry-failed", is_flag=True, help="Questions that failed twice get another try."),
    JSON,
)  # fmt: skip
def run_questions(
    file: Path | None, bundled: bool, from_history: int | None, workspace: Path, personas: str | None, baseline: bool,
    seed: int, limit: int | None, more: tuple[str, ...], retry_failed: bool, as_json: bool,
) -> None:  # fmt: skip
    """Ask the council every question of FILE, each in a session of its own, without anyone watching.

    FILE holds one question a line, or JSON objects with a "question". Stopped, killed or run again, it goes on where it was:
    no question is asked twice of the same council with the same options. The sessions are kept like any others.
    """
    questions = _questions(file, bundled, from_history, Workspace(workspace), seed)[:limit]
    given = {**named_options(more), "baselines": baseline, "seed": seed}
    seats = [s.strip() for s in personas.split(",") if s.strip()] if personas is not None else None

    async def work(house: House) -> BatchSummary:
        from innercouncil.app.council import options_from
        from innercouncil.app.run_questions import Run

        options = options_from(given, house.default_options())
        with StageProgress() as watcher:
            update = watcher.stage("Asking the council", done=False)

            def step(step: Step) -> None:
                update(step.number, step.total)
                if not sys.stderr.isatty():
                    click.echo(_told(step), err=True)

            try:
                return await Run(
                    house, questions, personas=seats, options=options, again=retry_failed, step=step
                ).play()
            except asyncio.CancelledError:
                _stopped()

    summary = in_house(workspace, work)
    if as_json:
        print_json(summary)
    else:
        _print(summary)
    if summary.failed or summary.unasked:
        sys.exit(1)


def _questions(file: Path | None, bundled: bool, number: int | None, workspace: Workspace, seed: int) -> list[str]:
    from innercouncil.app import question_sets

    if file is None and not bundled and number is None:
        raise UsageError("Say which questions: a FILE, --bundled, or --from-history N.")
    questions = question_sets.from_file(file) if file is not None else []
    questions += question_sets.bundled() if bundled else []
    questions += question_sets.from_history(workspace, number, seed) if number is not None else []
    return list(dict.fromkeys(questions))


def _stopped() -> NoReturn:
    click.echo("\nStopping; the question under way is kept as far as it came.", err=True)
    raise asyncio.CancelledError


def _told(step: Step) -> str:
    return f"{step.number} of {step.total}: {step.state} in {step.seconds:.0f} s, about {duration(step.left)} left"


def _print(s: BatchSummary) -> None:
    click.echo(
        f"{s.done} of {s.questions} questions answered ({s.done_before} before), {s.failed} failed, {s.unasked} not asked; "
        f"{duration(s.seconds)}, {s.prompt_tokens:,} tokens read, {s.completion_tokens:,} written."
    )
    for session in s.failed_sessions:
        click.echo(f"Failed: innercouncil sessions show {session[:8]}", err=True)
    if s.unasked:
        click.echo(f"Too many failed in a row, the last: {clean(s.problem)} Run the same command to go on.", err=True)
    elif s.failed:
        click.echo("The same command with --retry-failed tries those again.", err=True)
