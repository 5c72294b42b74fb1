"""`innercouncil discover`: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click
import msgspec
from rich.console import Console

from innercouncil.app.discover import Outcome, discover_personas
from innercouncil.app.settings import PROFILES, Mode, Settings
from innercouncil.cli.options import WORKSPACE, with_options
from innercouncil.cli.progress import StageProgress
from innercouncil.cli.terminal import print_json
from innercouncil.model.errors import UsageError
from innercouncil.reporting.summary import print_summary
from innercouncil.store.workspace import Workspace

_DEFAULTS: Final = Settings()

OPTIONS: Final = (
    click.option("--clusters", type=click.IntRange(1, 12), help="Force the number of modes (default: found, 3 to 6)."),
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
    click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout."),
)  # fmt: skip


@click.command(epilog="Example: innercouncil discover ~/Downloads/chatgpt-export.zip --workspace data")
@click.argument("export", type=click.Path(path_type=Path))
@with_options(WORKSPACE, *OPTIONS)
def discover(
    export: Path,
    workspace: Path,
    clusters: int | None,
    mode: Mode,
    refresh: bool,
    seed: int,
    prompt_tokens: int,
    as_json: bool,
) -> None:
    """Find the modes you think in, in EXPORT, and write a persona with a system prompt for each.

    EXPORT is what you downloaded: a ZIP, a conversations.json, or a folder of them, from ChatGPT, Claude, Gemini,
    Open WebUI, LM Studio or llm. Nothing leaves this machine. Interrupted, the same command goes on where it stopped.
    """
    settings = Settings(clusters=clusters, mode=mode, seed=seed, prompt_tokens=prompt_tokens, refresh=refresh)
    run_discovery(export, workspace, settings, as_json=as_json)


def run_discovery(export: Path, workspace: Path, settings: Settings, *, as_json: bool) -> None:
    """Run the job and show what it found."""
    if not export.exists():
        raise UsageError(f"{export} is not there; give the path of the export you downloaded.")
    with StageProgress() as watcher:
        outcome = discover_personas(export, Workspace(workspace), settings, watcher)
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
        }
        print_json(data)
    else:
        print_summary(Console(), outcome.discovery, outcome.report, outcome.files)


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
