"""`innercouncil tune gates`, `tune seat` and `tune unseat`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.text import Text

from innercouncil.cli.given import GivenPath
from innercouncil.cli.options import JSON, WORKSPACE, with_options
from innercouncil.cli.progress import StageProgress
from innercouncil.cli.terminal import clean, in_house, print_json
from innercouncil.model.errors import UsageError
from innercouncil.model.gates import GateReport

if TYPE_CHECKING:
    from innercouncil.app.council import House

_PERSONA: Final = click.option("--persona", required=True, metavar="SLUG", help="Whose adapter.")
_FILE: Final = GivenPath(dir_okay=False)
_STYLES: Final = {"pass": "green", "fail": "bold red", "open": "yellow"}


@click.command(
    epilog="Example: innercouncil tune gates --persona software-builder --base-gguf qwen2.5-3b-instruct-q4_k_m.gguf"
)
@with_options(
    WORKSPACE, _PERSONA,
    click.option("--base-gguf", type=_FILE, help="The base for llama.cpp (default: the workers' model, or the file kept under the base's name)."),
    click.option("--data", type=_FILE, help="The rows it was trained on, where they lie elsewhere; the held-out ones beside."),
    click.option("--prompts", type=click.IntRange(0, 1000), default=40, show_default=True, help="Held-out questions at most."),
    click.option("--answer-tokens", type=click.IntRange(16, 4096), default=200, show_default=True, help="Most tokens of an answer to one."),
    click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Seed of the model's sampling."),
    JSON,
)  # fmt: skip
def gates(
    workspace: Path, persona: str, base_gguf: Path | None, data: Path | None, prompts: int, answer_tokens: int, seed: int,
    as_json: bool,
) -> None:  # fmt: skip
    """Judge an adapter before it may serve: held-out perplexity, voice, forgetting, copying, privacy.

    The base with the persona's prompt answers, and so does the same base with the adapter; llama.cpp serves both, torch is
    not needed. Cut off, the same command goes on. Ends with exit code 1 where the adapter may not serve.
    """
    with StageProgress() as watcher:

        def stage(title: str) -> Callable[[int, int], None]:
            return watcher.stage(title, done=False)

        async def work(house: House) -> GateReport:
            from innercouncil.app.tune_gates import GateSettings, run_gates

            settings = GateSettings(prompts=prompts, answer_tokens=answer_tokens, seed=seed)
            return await run_gates(house, persona, base=base_gguf, data=data, settings=settings, stage=stage)

        report = in_house(workspace, work)
    if as_json:
        print_json(report)
    else:
        _print(Console(highlight=False), report)
    if not report.passed:
        raise SystemExit(1)


@click.command(epilog="Example: innercouncil tune seat --persona software-builder")
@with_options(
    WORKSPACE, _PERSONA,
    click.option("--force", metavar="REASON", help="Seat it although its gates say no; the reason goes on its card."),
    JSON,
)  # fmt: skip
def seat(workspace: Path, persona: str, force: str | None, as_json: bool) -> None:
    """Let a persona of the council speak with its adapter, once that has passed its gates."""
    if force is not None and not force.strip():
        raise UsageError("--force wants a reason in words: why should it serve although its gates say no?")

    async def work(house: House) -> None:
        from innercouncil.app.tune_adapters import seat_adapter

        seated = await seat_adapter(house, persona, force=force or "")
        if as_json:
            print_json({"persona": seated.slug, "adapter": seated.card.adapter})
        elif seated.card.adapter:
            click.echo(f"{clean(seated.slug)} speaks with {clean(seated.card.adapter.name)}.")

    in_house(workspace, work)


@click.command(epilog="Example: innercouncil tune unseat --persona software-builder")
@with_options(WORKSPACE, _PERSONA, JSON)
def unseat(workspace: Path, persona: str, as_json: bool) -> None:
    """Let a persona of the council speak with its prompt alone again; the adapter is kept."""

    async def work(house: House) -> None:
        from innercouncil.app.tune_adapters import unseat_adapter

        seated = unseat_adapter(house, persona)
        if as_json:
            print_json({"persona": seated.slug, "adapter": None})
        else:
            click.echo(f"{clean(seated.slug)} speaks with its prompt alone.")

    in_house(workspace, work)


def _print(console: Console, report: GateReport) -> None:
    from innercouncil.tuning.gates import verdict_of

    def say(text: Text) -> None:
        console.print(text, soft_wrap=True)

    say(Text(clean(f"{report.adapter} on {report.base}"), style="bold"))
    for gate in report.gates:
        say(
            Text(f"{gate.outcome:<5}", style=_STYLES[gate.outcome])
            + Text(clean(f"{gate.name}: {gate.words}"), style="")
        )
    for note in report.notes:
        say(Text(clean(note), style="dim"))
    say(Text(clean(verdict_of(report)), style="bold"))
