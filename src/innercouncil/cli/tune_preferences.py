"""`innercouncil tune preferences`: your votes as rows to continue an adapter from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from innercouncil.cli.given import GivenPath
from innercouncil.cli.options import JSON, WORKSPACE, with_options
from innercouncil.cli.progress import StageProgress
from innercouncil.cli.terminal import clean, in_house, print_json
from innercouncil.model.preferences import PreferenceKind, PreferenceReport

if TYPE_CHECKING:
    from innercouncil.app.council import House


@click.command(epilog="Example: innercouncil tune preferences --persona software-builder --kind dpo")
@with_options(
    WORKSPACE,
    click.option("--persona", required=True, metavar="SLUG", help="Whose answers, as a slug of the council."),
    click.option("--kind", type=click.Choice(["dpo", "kto"]), default="dpo", show_default=True, help="Pairs of a preferred and another answer, or single answers liked or not."),
    click.option("--output", type=GivenPath(dir_okay=False), help="The file (default: preferences_SLUG_KIND.jsonl beside the training rows)."),
    click.option("--held-out", type=click.FloatRange(0, 0.5), default=0.15, show_default=True, help="Share of questions held out."),
    click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Draws the questions that are held out."),
    JSON,
)  # fmt: skip
def preferences(
    workspace: Path, persona: str, kind: PreferenceKind, output: Path | None, held_out: float, seed: int, as_json: bool
) -> None:
    """Write your votes on a persona's answers, in the council and in A/B tests, as rows for DPO or KTO.

    What is to become likelier is always an answer of the persona itself; where it lost, nobody else's answer is taught to it.
    `tune train --from-adapter DIR --preferences FILE` continues an adapter from them.
    """
    with StageProgress() as watcher:
        progress: Callable[[int, int], None] = watcher.stage("Reading your votes", done=False)

        async def work(house: House) -> PreferenceReport:
            from innercouncil.app.tune_preferences import export_preferences

            return export_preferences(
                house, persona, kind, output=output, held_out=held_out, seed=seed, progress=progress
            )

        report = in_house(workspace, work)
    if as_json:
        print_json(report)
        return
    where = ", ".join(
        f"{n} from {'sessions' if s == 'session' else 'A/B tests'}" for s, n in sorted(report.sources.items())
    )
    more = f"{report.own} of two answers of its own" if kind == "dpo" else f"{report.liked} liked"
    click.echo(clean(f"{report.file}: {report.rows} rows, {report.held_out} held out, over {report.questions} questions ({where}; {more})."))  # fmt: skip
    click.echo(f"Median words: {report.chosen_words:g} preferred, {report.rejected_words:g} not.")
    for reason, n in report.left_out.items():
        click.echo(clean(f"Left out {n}: {reason}."))
    for note in report.notes:
        click.echo(clean(note))
