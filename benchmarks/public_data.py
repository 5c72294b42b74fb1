"""Real public conversations, from which the benchmarks build their exports. They are not in this repository."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def build(kind: str, export: Path, *options: object) -> None:
    """Build an export, `mix` (many people's conversations as one person's) or `gold` (with known modes), in a file."""
    script = DATA / "build_export.py"
    if not script.is_file():
        sys.exit(
            "This benchmark builds its export from public conversations that are not in this repository "
            "(../shared/data beside it). Where it takes an export, give it one of your own."
        )
    command = [sys.executable, str(script), kind, str(export), *map(str, options)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
