"""Discover personas from data/personas/raw_imports/conversations.json.

python scripts/extract_personas.py --mode 16GB
python scripts/extract_personas.py --clusters 4
python scripts/extract_personas.py --clusters 5 --refresh
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from innercouncil.app.settings import Mode, Settings
from innercouncil.cli.discover import OPTIONS, run_discovery
from innercouncil.cli.main import run
from innercouncil.cli.options import WORKSPACE, with_options


@click.command()
@with_options(WORKSPACE, *OPTIONS)
def extract(
    workspace: Path, clusters: int | None, mode: Mode, refresh: bool, seed: int, prompt_tokens: int, embedder: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Discover personas from the export in WORKSPACE/personas/raw_imports/conversations.json."""
    export = workspace / "personas" / "raw_imports" / "conversations.json"
    settings = Settings(
        clusters=clusters, mode=mode, seed=seed, prompt_tokens=prompt_tokens, refresh=refresh, embedder=embedder
    )
    run_discovery(export, workspace, settings, as_json=as_json)


if __name__ == "__main__":
    sys.exit(run(extract))
