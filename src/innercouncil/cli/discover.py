"""`innercouncil discover`: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click
import msgspec
from rich.console import Console

from innercouncil.app.discover import Outcome, discover_personas
from innercouncil.app.helper_model import Price
from innercouncil.app.settings import PROFILES, Mode, Settings
from innercouncil.cli.given import GivenPath
from innercouncil.cli.helper import LLM_BUDGET, LLM_OPTIONS, NO_MODEL, Choice, chosen_model
from innercouncil.cli.options import WORKSPACE, with_options
from innercouncil.cli.progress import StageProgress
from innercouncil.cli.terminal import clean, print_json
from innercouncil.model.errors import UsageError
from innercouncil.model.facets import Way
from innercouncil.reporting.summary import print_summary
from innercouncil.reporting.ways import told_of_facets
from innercouncil.store.workspace import Workspace

_DEFAULTS: Final = Settings()

FINDING: Final = (
    click.option("--clusters", type=click.IntRange(1, 12), help="Force the number of modes (default: found, 2 to 6)."),
    click.option(
        "--mode", type=click.Choice(list(PROFILES)), default=_DEFAULTS.mode, show_default=True,
        help="Memory of this machine; bounds what the run uses.",
    ),
    click.option("--refresh", is_flag=True, help="Do every stage again, even if nothing changed."),
    click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=_DEFAULTS.seed, show_default=True, help="Seed of everything random."),
    click.option(
        "--prompt-tokens", type=click.IntRange(120, 4000), default=_DEFAULTS.prompt_tokens, show_default=True,
        help="Most tokens a system prompt may have.",
    ),
)  # fmt: skip
"""What decides, with the export, which files are made."""

OPTIONS: Final = (
    *FINDING,
    click.option(
        "--embedder", metavar="KIND:PLACE",
        help="Let vectors of your words count too: ollama:NAME, onnx:DIR, model2vec:DIR or sentence-transformers:DIR, e.g. "
        "onnx:models/minilm. Never downloads anything.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout."),
)  # fmt: skip

MODES: Final = click.option(
    "--modes", type=click.Choice(["labels", "facets"]), default=_DEFAULTS.modes, show_default=True,
    help="How modes are found: from the offline labels, or from what a model (--llm) says of each conversation.",
)  # fmt: skip


@click.command(epilog="Example: innercouncil discover ~/Downloads/chatgpt-export.zip --workspace data")
@click.argument("export", type=GivenPath())
@with_options(WORKSPACE, MODES, *OPTIONS, *LLM_OPTIONS, LLM_BUDGET)
def discover(
    export: Path,
    workspace: Path,
    modes: Way,
    clusters: int | None,
    mode: Mode,
    refresh: bool,
    seed: int,
    prompt_tokens: int,
    embedder: str | None,
    as_json: bool,
    llm: str | None,
    llm_model: str | None,
    yes: bool,
    llm_price: Price | None,
    llm_budget: int,
) -> None:
    """Find the modes you think in, in EXPORT, and write a persona with a system prompt for each.

    EXPORT is what you downloaded: a ZIP, a conversations.json, or a folder of them, from ChatGPT, Claude, Gemini,
    Open WebUI, LM Studio or llm. Nothing leaves this machine, unless you name a model elsewhere with --llm or --embedder. Interrupted, the same command goes on where it stopped.
    """
    settings = Settings(
        clusters=clusters,
        modes=modes,
        mode=mode,
        seed=seed,
        prompt_tokens=prompt_tokens,
        refresh=refresh,
        embedder=embedder,
    )
    run_discovery(
        export, workspace, settings, as_json=as_json, choice=Choice(llm, llm_model, yes, llm_price, llm_budget)
    )


def run_discovery(
    export: Path, workspace: Path, settings: Settings, *, as_json: bool, choice: Choice = NO_MODEL
) -> None:
    """Run the job and show what it found."""
    if not export.exists():
        raise UsageError(f"{export} is not there; give the path of the export you downloaded.")
    ws = Workspace(workspace)
    with StageProgress() as watcher, chosen_model(choice, ws, watcher) as helper:
        outcome = discover_personas(export, ws, settings, watcher, helper)
    if outcome.model_labels is not None:
        m = outcome.model_labels
        click.echo(
            f"{clean(m.model)} labelled {m.accepted} of {m.asked} messages it was asked about (and {m.duplicates} near-duplicates); "
            f"{m.changed} got another label, {m.rejected} answers were not valid, twice, and the offline labels stand.",
            err=True,
        )
    if outcome.comparison is not None and outcome.comparison.hierarchy is not None and settings.modes == "facets":
        click.echo(clean(told_of_facets(outcome.comparison.hierarchy.report)), err=True)
    show(outcome, as_json=as_json)


def show(outcome: Outcome, *, as_json: bool) -> None:
    """Print an outcome for people, or as JSON for machines."""
    if as_json:
        data = {
            "verdict": outcome.discovery.analysis.verdict,
            "k": outcome.discovery.analysis.k,
            "unassigned": outcome.discovery.analysis.unassigned,
            "personas": [persona_row(p) for p in msgspec.to_builtins(outcome.discovery.personas)],
            "import": msgspec.to_builtins(outcome.report),
            "files": {name: str(path) for name, path in outcome.files.items()},
            "resumed": outcome.resumed,
            "model_labels": msgspec.to_builtins(outcome.model_labels),
            "comparison": msgspec.to_builtins(outcome.comparison),
        }
        print_json(data)
    else:
        print_summary(Console(), outcome.discovery, outcome.report, outcome.files, outcome.comparison)


def persona_row(persona: dict[str, Any]) -> dict[str, Any]:
    """A persona without its long lists."""
    keep = (
        "slug",
        "name",
        "description",
        "size",
        "share",
        "stability",
        "verdict",
        "ambiguous_share",
        "median_words",
        "origin",
    )
    return {k: persona[k] for k in keep} | {
        "prompt_tokens": persona["prompt"]["tokens"],
        "system_prompt": persona["prompt"]["text"],
    }
