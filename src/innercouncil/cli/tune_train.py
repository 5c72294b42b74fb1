"""`innercouncil tune check`, `tune train` and `tune export`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from innercouncil.app.tune_continue import check_continuing
from innercouncil.app.tune_plan import check_training, jobs_of
from innercouncil.app.tune_train import Trained, train_each
from innercouncil.cli.options import JSON, WORKSPACE, with_options
from innercouncil.cli.progress import StageProgress
from innercouncil.cli.terminal import clean, print_json
from innercouncil.cli.tune_watch import TrainingWatch
from innercouncil.model.errors import TrainingError, UsageError
from innercouncil.model.times import duration
from innercouncil.model.training import TrainingCheck, Wish
from innercouncil.store.workspace import Workspace, writing
from innercouncil.tuning.hardware import look
from innercouncil.tuning.memory import GIB
from innercouncil.tuning.plan import DEFAULT_BASE, MODES
from innercouncil.tuning.script import script_name, training_script

_FILE: Final = click.Path(path_type=Path, dir_okay=False)
_FOLDER: Final = click.Path(path_type=Path, file_okay=False)


def _both(name: str, **more: Any) -> Callable[[Any], Any]:
    """An option under its name with dashes and under the one with underscores that the plan writes."""
    under = name.replace("-", "_")
    return click.option(f"--{name}", *((f"--{under}",) if under != name else ()), under, **more)


JOB_OPTIONS: Final = (
    click.option("--persona", "personas", multiple=True, metavar="SLUG", help="Whom to train; repeatable, or all."),
    click.option("--mode", type=click.Choice(MODES), help="Memory to stay within (default: what is free now)."),
    _both("base-model", metavar="NAME|DIR", help=f"What is trained on top of: a name of Ollama, or a folder with weights (default {DEFAULT_BASE})."),
    click.option("--data", type=_FILE, help="Training rows (default: the persona's in WORKSPACE/personas/lora_training)."),
    _both("eval-data", type=_FILE, help="Held-out rows (default: the file beside, _eval.jsonl)."),
    click.option("--output", type=_FOLDER, help="Folder of the adapter (default: loras/persona_SLUG)."),
)  # fmt: skip
WISH_OPTIONS: Final = (
    click.option("--epochs", type=float, help="Passes over the rows (default 3, fewer where held-out loss rises)."),
    _both("batch-size", type=int, help="Rows at a time (default 1)."),
    click.option("--accumulation", type=int, help="Batches before a step (default: 8 rows a step)."),
    _both("max-length", type=int, help="Tokens at which rows are cut (default 1024)."),
    _both("lora-r", type=int, help="Rank (default 16; 8 for fewer than 300 rows)."),
    _both("lora-alpha", type=float, help="Alpha (default twice the rank)."),
    _both("lora-dropout", type=float, help="Dropout (default 0)."),
    _both("learning-rate", type=float, help="Highest learning rate (default 2e-4, cosine)."),
    click.option("--quantise", type=click.Choice(["nf4", "none"]), help="Base in 4 bits, or not (default: 4 bits where memory asks for it)."),
    click.option("--targets", metavar="WHICH", help="all-linear (default) or attention."),
    click.option("--device", type=click.Choice(["cuda", "mps", "cpu"]), help="Where to train (default: the best there is)."),
    click.option("--patience", type=click.IntRange(0, 100), help="Evaluations without a better held-out loss before it stops (default 3, 0 never)."),
    click.option("--rslora", is_flag=True, help="Scale by alpha / sqrt(r) (Kalajdzievski 2023)."),
    click.option("--neftune", type=click.FloatRange(0), metavar="ALPHA", help="Noise on embeddings (default none)."),
    click.option("--unsloth/--no-unsloth", default=True, help="Train with unsloth where it is installed and works (default yes)."),
    click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Seed of everything random."),
    click.option("--dora", is_flag=True, hidden=True),
    _both("modules-to-save", multiple=True, hidden=True),
    click.option("--anyway", is_flag=True, help="Try it even where the arithmetic says that memory is too small."),
)  # fmt: skip


def wish_of(options: dict[str, Any]) -> Wish:
    """The settings among a command's options."""
    names = set(Wish.__struct_fields__)
    return Wish(**{k: v for k, v in options.items() if k in names})


@click.command(epilog="Example: innercouncil tune check --persona software-builder --base-model qwen2.5:3b --mode 16GB")
@with_options(WORKSPACE, *JOB_OPTIONS, *WISH_OPTIONS, JSON)
def check(workspace: Path, **options: Any) -> None:
    """Say which packages and hardware are there, what a training needs, term by term, how long it takes, what to install.

    Ends with exit code 1 where something stands in the way.
    """
    checks = checks_of(workspace, options)
    show_checks(checks, as_json=options["as_json"])
    if any(c.problems for c in checks):
        sys.exit(1)


@click.command(epilog="Example: innercouncil tune train --persona software-builder --mode 16GB")
@with_options(
    WORKSPACE, *JOB_OPTIONS, *WISH_OPTIONS,
    click.option("--check-only", is_flag=True, help="Only say what is there, what it needs, and what to install."),
    _both("generate-script", is_flag=True, help="Only write train_PERSONA_lora.py, which does the same elsewhere."),
    click.option("--from-adapter", type=_FOLDER, metavar="DIR", help="Continue this adapter, with --preferences."),
    click.option("--preferences", type=_FILE, help="Rows of `tune preferences` to continue it from (learning rate 5e-6)."),
    click.option("--refresh", is_flag=True, help="Begin anew, even where an adapter or a checkpoint is there."),
    click.option("--yes", is_flag=True, help="Take a smaller plan without asking where memory runs out."),
    JSON,
)  # fmt: skip
def train(workspace: Path, **options: Any) -> None:
    """Train the adapter of a persona, or of several, one after another.

    The loss is taken over the persona's own words only; the best state by held-out loss is kept. Interrupted or killed, the
    same command goes on from the last checkpoint. In the end OUTPUT holds the adapter for PEFT, its GGUF, and its card.
    """
    checks = _continuing(workspace, options) or checks_of(workspace, options)
    if options["check_only"]:
        show_checks(checks, as_json=options["as_json"])
        if any(c.problems for c in checks):
            sys.exit(1)
        return
    if options["generate_script"]:
        for c in checks:
            write_script(c)
        return
    problems = list(dict.fromkeys(f"{c.plan.slug}: {p}" if len(checks) > 1 else p for c in checks for p in c.problems))
    if problems:
        raise TrainingError(" ".join(problems))
    done = _train(checks, options)
    if options["as_json"]:
        print_json([d.card if d.card is not None else {"persona": d.slug, "problem": d.problem} for d in done])
    if any(d.problem for d in done):
        sys.exit(1)


def _continuing(workspace: Path, options: dict[str, Any]) -> list[TrainingCheck]:
    """The check of a training that continues an adapter; none where no adapter was named."""
    folder, file = options["from_adapter"], options["preferences"]
    if folder is None and file is None:
        return []
    if folder is None or file is None:
        raise UsageError("--from-adapter and --preferences go together: which adapter, and from which rows.")
    if options["data"] is not None or options["generate_script"]:
        raise UsageError("--from-adapter goes without --data and without --generate-script.")
    wish = wish_of(options)
    named = {k: options[k] for k in ("output", "eval_data", "anyway")}
    return [check_continuing(Workspace(workspace), folder, file, wish, look(wish.device), **named)]


def write_script(c: TrainingCheck) -> None:
    """Write the script of a plan into this folder."""
    path = Path(script_name(c.plan.slug))
    with writing(path) as out:
        out.write(training_script(c).encode())
    click.echo(f"Wrote {path}; it needs only the packages it lists.")


def _train(checks: list[TrainingCheck], options: dict[str, Any]) -> list[Trained]:
    done = []
    with StageProgress() as progress:
        watch = TrainingWatch(progress, live=sys.stderr.isatty())

        def agrees(smaller: TrainingCheck, step: str) -> bool:
            with progress.paused():
                return _agrees(smaller, step, yes=options["yes"])

        for result in train_each(checks, wish_of(options), watch=watch, agrees=agrees, refresh=options["refresh"]):
            done.append(result)
            with progress.paused():
                click.echo(_told(result), err=True)
    return done


def _agrees(smaller: TrainingCheck, step: str, *, yes: bool) -> bool:
    click.echo(f"Memory ran out. A smaller plan: {step}; it needs {smaller.need / GIB:.2f} GiB.", err=True)
    if yes or not sys.stdin.isatty():
        return yes
    return click.confirm("Go on with it?", default=True, err=True)


def _told(result: Trained) -> str:
    if result.card is None:
        return f"{clean(result.slug)}: {clean(result.problem)}"
    card = result.card
    held = f", held-out loss {card.best_loss:.4f} at step {card.best_step}" if card.best_loss is not None else ""
    before = " (done before)" if result.kept else f" in {duration(card.seconds)}"
    return f"{clean(result.slug)}: adapter {card.id}{before}{held}, {card.supervised_tokens:,} supervised tokens."


def checks_of(workspace: Path, options: dict[str, Any]) -> list[TrainingCheck]:
    """One check for every persona of the options."""
    wish = wish_of(options)
    named = {k: options[k] for k in ("data", "eval_data", "output")}
    jobs = jobs_of(Workspace(workspace), options["personas"], **named)
    hardware = look(wish.device)
    return [check_training(job, wish, hardware, anyway=options["anyway"]) for job in jobs]


def show_checks(checks: list[TrainingCheck], *, as_json: bool) -> None:
    """Print checks for people, or as JSON."""
    if as_json:
        print_json(checks)
        return
    console = Console(highlight=False)
    _print_hardware(console, checks[0])
    for c in checks:
        _print_check(console, c)


def _print_hardware(console: Console, c: TrainingCheck) -> None:
    h = c.hardware
    speed = f", {h.tflops:.2f} TFLOP/s measured" if h.tflops else ""
    memory = f"{h.memory_free / GIB:.1f} of {h.memory_total / GIB:.1f} GiB free"
    _say(console, Text(f"{h.name} ({h.device}): {memory}{speed}"))
    packages = ", ".join(f"{name} {version}" for name, version in h.packages.items())
    _say(console, Text(f"Packages: {packages or 'none of them'}"))


def _print_check(console: Console, c: TrainingCheck) -> None:
    p = c.plan
    rows = f"{c.data.rows} rows of about {c.data.tokens // c.data.rows} tokens" if c.data else "no rows"
    console.print()
    _say(console, Text(f"{p.slug}: {p.base.name} ({p.base.weights}), {rows}, {p.epochs:g} epochs", style="bold"))
    bits = "4 bits" if p.quantise == "nf4" else p.dtype
    _say(console, Text(
        f"rank {p.lora_r}, alpha {p.lora_alpha:g}, {p.targets}, base in {bits}, {p.batch_size} x {p.accumulation} rows a step, "
        f"rows of at most {p.max_length} tokens, learning rate {p.learning_rate:g}, {p.optimizer}"
    ))  # fmt: skip
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    for term in c.terms:
        table.add_row(term.name, term.formula, f"{term.size / GIB:.2f} GiB")
    table.add_row(Text("together", style="bold"), f"of {c.budget / GIB:.2f} GiB that may be used", Text(f"{c.need / GIB:.2f} GiB", style="bold"))  # fmt: skip
    console.print(table)
    size = f"{c.adapter_bytes / 1e6:.1f} MB, as GGUF in 16 bits half of it"
    _say(console, Text(f"The adapter has {c.adapter_parameters:,} numbers: {size}."))
    if c.seconds is not None:
        assumed = "from the measured speed, of which a training is assumed to reach 35%"
        _say(console, Text(f"Expected time: {duration(c.seconds)} ({assumed})."))
    for note in c.notes:
        _say(console, Text(clean(note), style="dim"))
    for problem in c.problems:
        _say(console, Text("!   ", style="bold red") + Text(clean(problem)))


def _say(console: Console, text: Text) -> None:
    console.print(text, soft_wrap=True)
