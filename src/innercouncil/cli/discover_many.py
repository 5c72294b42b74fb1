"""`innercouncil discover-many`: the main job for the exports of many people."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from innercouncil.app.discover_many import Engine
from innercouncil.app.discover_many import discover_many as run_many
from innercouncil.app.many_task import Finding
from innercouncil.app.settings import Mode, Settings
from innercouncil.cli.discover import FINDING
from innercouncil.cli.options import JSON, with_options
from innercouncil.cli.progress import StageProgress
from innercouncil.cli.terminal import clean, print_json
from innercouncil.model.errors import UsageError
from innercouncil.model.times import duration

ROWS: Final = 50
"""Most rows of a table on a terminal; with --json all are told."""


@click.command(
    "discover-many", epilog="Example: innercouncil discover-many exports/ --out people/ --workers 8",
)  # fmt: skip
@click.argument("source")
@click.option(
    "--out", required=True, help="Folder, or URL, that gets a workspace for every export, under the export's name."
)
@click.option("--workers", type=click.IntRange(1, 1024), help="Processes on this machine (default: its cores).")
@click.option(
    "--scheduler", metavar="ADDRESS", help="Let the workers of this Dask scheduler do it, e.g. tls://head:8786."
)
@click.option(
    "--worker-memory", metavar="SIZE", default="auto", show_default="this machine's, divided",
    help="Most memory of a process here, e.g. 4GB; one that needs more is ended.",
)  # fmt: skip
@with_options(*FINDING, JSON)
def discover_many(
    source: str, out: str, workers: int | None, scheduler: str | None, worker_memory: str, clusters: int | None, mode: Mode,
    refresh: bool, seed: int, prompt_tokens: int, as_json: bool,
) -> None:  # fmt: skip
    """Find the modes of many people: of every export in SOURCE, each by itself.

    SOURCE is a folder, or a URL of an object store (s3://bucket/exports), that holds the exports as they were downloaded: a ZIP,
    a file or a folder for each person. Every person gets a workspace of their own with the files `discover` makes; no data of
    two people meet. What is done is kept: the same command goes on where it was stopped, and does again what failed.
    """
    if scheduler and (workers or worker_memory != "auto"):
        raise UsageError(
            "--workers and --worker-memory are for workers of this machine; those of --scheduler have their own."
        )
    settings = Settings(clusters=clusters, mode=mode, seed=seed, prompt_tokens=prompt_tokens, refresh=refresh)
    engine = Engine(workers or os.cpu_count() or 1, worker_memory, scheduler or "")
    with StageProgress() as bars:
        findings, left_out = run_many(source, out, settings, engine, _Speed(bars))
    if as_json:
        print_json(
            {"exports": [{"how": f.how, **msgspec.to_builtins(f.record)} for f in findings], "left_out": left_out}
        )
    else:
        _show(findings, left_out)
    if any(f.how == "failed" for f in findings):
        sys.exit(1)


class _Speed:
    """Draws how far it is, how fast, and how long it will take; says nothing of whose exports they are."""

    def __init__(self, bars: StageProgress) -> None:
        self._bars, self._began, self._counts = bars, time.perf_counter(), Counter[str]()
        self._update = bars.stage("Exports", done=False)

    def __call__(self, finding: Finding, total: int) -> None:
        self._counts[finding.how] += 1
        done = self._counts.total()
        words = told(self._counts, total, time.perf_counter() - self._began)
        self._update(done, total)
        if not self._bars.drawn:
            if 100 * done // total > 100 * (done - 1) // total:
                click.echo(words, err=True)
        else:
            self._bars.note(words)


def told(counts: Counter[str], total: int, seconds: float) -> str:
    """How far it is, and how long it will take at most, by those that were done: one that fails or is kept takes no time."""
    words = [f"{counts.total()} of {total}"]
    if done := counts["done"]:
        words.append(f"{60 * done / seconds:.1f} a minute")
        if left := total - counts.total():
            words.append(f"{duration(left * seconds / done)} left")
    if failed := counts["failed"]:
        words.append(f"{failed} failed")
    return ", ".join(words)


def _show(findings: Sequence[Finding], left_out: int) -> None:
    """A table of the exports, those that failed first, and the sum."""
    table = Table(box=None, pad_edge=False)
    for heading in ("export", "", "personas", "messages", "seconds", "problem"):
        table.add_column(heading, justify="right" if heading in ("personas", "messages", "seconds") else "left")
    shown = sorted(findings, key=lambda f: f.how != "failed")[:ROWS]
    for record, how in shown:
        numbers = (
            (str(record.personas), f"{record.messages:,}", f"{record.seconds:.1f}") if how != "failed" else ("", "", "")
        )
        table.add_row(Text(clean(record.name)), how, *numbers, Text(clean(record.problem)))
    console = Console()
    console.print(table)
    if len(findings) > ROWS:
        console.print(f"… and {len(findings) - ROWS:,} more; --json tells all.")
    counts = Counter(f.how for f in findings)
    console.print(
        f"{len(findings):,} exports: {counts['done']:,} done, {counts['kept']:,} kept, {counts['failed']:,} failed."
    )
    if left_out:
        console.print(f"{left_out:,} other files are no exports and were left out.")
