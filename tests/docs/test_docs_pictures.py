"""The pictures that are kept are those the script takes, or a benchmark draws, and the docs show, and they are small."""

from __future__ import annotations

import ast
import json
import re

from docs_commands import ROOT, pages

IMAGES = ROOT / "docs" / "img"


def test_kept_taken_and_shown_are_the_same() -> None:
    kept = {p.name for p in IMAGES.iterdir()}
    shown = {n for page in pages() for n in re.findall(r"img/([\w.-]+)\)", (ROOT / page).read_text("utf-8"))}
    drawn = {f"scale-{axis}.svg" for axis in json.loads((ROOT / "benchmarks" / "scale.json").read_bytes())}
    assert kept == shown == _taken() | drawn


def _taken() -> set[str]:
    """Names of the pictures the script takes, read from its source: importing it would need a browser's driver."""
    source = (ROOT / "scripts" / "make_screenshots.py").read_text("utf-8")
    calls = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call) and ast.unparse(n.func) == "Shot"]
    named = [
        ([ast.literal_eval(a) for a in c.args], {k.arg: ast.literal_eval(k.value) for k in c.keywords}) for c in calls
    ]
    return {f"{a[0]}-{a[2] if len(a) > 2 else 1280}-{'dark' if k.get('dark') else 'light'}.webp" for a, k in named}


def test_they_are_small() -> None:
    assert sum(p.stat().st_size for p in IMAGES.iterdir()) < 1_500_000
