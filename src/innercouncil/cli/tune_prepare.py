"""`innercouncil tune prepare`: training rows from the person's messages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from innercouncil.app.helper_model import Price, synthesizer_model
from innercouncil.app.tune_prepare import SOURCES, PrepareSettings, Source, prepare_training_data
from innercouncil.cli.given import GivenPath
from innercouncil.cli.helper import LLM_OPTIONS, Choice, chosen_model
from innercouncil.cli.options import JSON, WORKSPACE, with_options
from innercouncil.cli.progress import StageProgress
from innercouncil.cli.terminal import clean, print_json
from innercouncil.model.errors import UsageError
from innercouncil.model.tuning import TARGETS, PrepareReport, TuneMode
from innercouncil.store.workspace import Workspace

_DEFAULTS: Final = PrepareSettings()


def _sources(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[Source, ...]:
    named = [s.strip() for s in value.split(",") if s.strip()]
    if not named or set(named) - set(SOURCES):
        raise click.BadParameter(f"name some of {', '.join(SOURCES)}, with commas between them.")
    return tuple(s for s in SOURCES if s in named)


OPTIONS: Final = (
    click.option("--mode", type=click.Choice(list(TARGETS)), default=_DEFAULTS.mode, show_default=True,
                 help="Memory of the machine to train on: it says which model, and how long a row may be."),
    click.option("--max-length", type=click.IntRange(256, 8192), help="Most tokens of a row (default: by --mode)."),
    click.option("--tokenizer", type=GivenPath(dir_okay=False), metavar="FILE",
                 help="Count tokens with this .gguf or tokenizer.json of the base model (default: its GGUF where it is here, else an estimate)."),
    click.option("--sources", default=",".join(SOURCES), show_default=True, callback=_sources, metavar="A,B",
                 help="Whose words become answers: your own, a model's, those you wrote by hand."),
    click.option("--neutral", type=click.FloatRange(0, 0.5), default=_DEFAULTS.neutral, show_default=True,
                 help="Share of neutral rows against forgetting."),
    click.option("--held-out", type=click.FloatRange(0, 0.5), default=_DEFAULTS.held_out, show_default=True,
                 help="Share of rows held out for evaluation: the newest conversations, whole."),
    click.option("--own", type=click.IntRange(0, 100_000), default=_DEFAULTS.own, show_default=True,
                 help="Most messages of a persona that become own words."),
    click.option("--questions", type=click.IntRange(0, 100_000), default=_DEFAULTS.questions, show_default=True,
                 help="Most questions of a persona for a model, or you, to answer."),
    click.option("--canaries", type=click.IntRange(0, 8), default=_DEFAULTS.canaries, show_default=True,
                 help="Made-up secrets among the rows at most; the gates ask for them. 0 for none."),
    click.option("--personas", metavar="A,B", help="Whom the model writes for, as slugs (default: all)."),
    click.option("--synthesizer", is_flag=True, help="Let the council's synthesizer write the answers."),
    click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=_DEFAULTS.seed, show_default=True, help="Seed of everything random."),
)  # fmt: skip


@click.command(epilog="Example: innercouncil tune prepare --mode 16GB --llm ollama --llm-model qwen2.5:7b")
@with_options(WORKSPACE, JSON, *OPTIONS, *LLM_OPTIONS)
def prepare(workspace: Path, as_json: bool, **given: Any) -> None:
    """Make training rows for each persona, and say what became of your messages.

    Without a model rows are made of your own words; questions that nobody answered in the persona's voice are written
    to persona_SLUG_awaiting.jsonl: fill in "assistant" there, or on the persona's page, and run the command again. With
    --llm or --synthesizer a model rewrites the answers you once got in the persona's voice; those that are no nearer to it
    than before are refused.
    """
    run_prepare(workspace, as_json=as_json, **given)


def run_prepare(
    workspace: Path, *, as_json: bool, mode: TuneMode, max_length: int | None, tokenizer: Path | None,
    sources: tuple[Source, ...], neutral: float, held_out: float, own: int, questions: int, personas: str | None,
    synthesizer: bool, canaries: int, seed: int, llm: str | None, llm_model: str | None, yes: bool, llm_price: Price | None,
) -> None:  # fmt: skip
    """Run the use case and show what it found."""
    settings = PrepareSettings(
        mode=mode, max_length=max_length, tokenizer=tokenizer, sources=sources, neutral=neutral, held_out=held_out,
        own=own, questions=questions, canaries=canaries, seed=seed,
    )  # fmt: skip
    if (llm or synthesizer) and "model" not in sources:
        raise UsageError("A model was named, but --sources leaves models out; drop one of the two.")
    if llm and synthesizer:
        raise UsageError("Name one model: --llm, or the council's own with --synthesizer.")
    ws = Workspace(workspace)
    asked = [s.strip() for s in personas.split(",") if s.strip()] if personas is not None else None
    otherwise = (lambda: synthesizer_model(ws)) if synthesizer else None
    with StageProgress() as watcher:

        def stage(title: str) -> Callable[[int, int], None]:
            return watcher.stage(title, done=False)

        choice = Choice(llm, llm_model, yes, llm_price)
        with chosen_model(choice, ws, watcher, otherwise=otherwise) as model:
            report = prepare_training_data(ws, settings, model=model, asked=asked, stage=stage)
    if as_json:
        print_json(report)
    else:
        _print(Console(), report, ws)


def _print(console: Console, r: PrepareReport, workspace: Workspace) -> None:
    how = f"tokens by {r.tokens_by}"
    console.print(Text(clean(f"Rows for {r.base}, at most {r.max_length} tokens ({how})."), style="bold"))
    table = Table(box=None, header_style="bold")
    for title in ("persona", "train", "held out", "awaiting", "tokens (min, median, max)", "from"):
        number = title in ("train", "held out", "awaiting")
        table.add_column(title, justify="right" if number else "left", no_wrap=title == "persona")
    for p in r.personas:
        t = p.train.tokens
        kinds = ", ".join(f"{n} {kind}" for kind, n in p.train.kinds.items())
        table.add_row(
            *map(Text, (clean(p.slug), f"{p.train.rows}", f"{p.eval.rows}", f"{p.awaiting}", f"{t.min}, {t.median}, {t.max}", clean(kinds)))
        )  # fmt: skip
    console.print(table)
    for p in r.personas:
        told = [f"{n} {why}" for why, n in {**p.refused, "longer than a row may be": p.too_long}.items() if n]
        if told:
            console.print(Text(clean(f"{p.slug}: left out {', '.join(told)}.")))
        if p.voice_gain is not None and p.voice_told is not None:
            said = f"{p.slug}: answers of models sound more like you than the plain ones (log-odds {p.voice_gain:+.2f}); of your own held-out messages the score places {p.voice_told:.0%} above theirs."
            console.print(Text(clean(said)))
        for note in p.notes:
            console.print(Text(clean(f"{p.slug}: {note}"), style="dim"))
    console.print(Text(f"Files: {workspace.lora_training}", style="dim"))
