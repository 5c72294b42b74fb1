"""The documentation site builds without a complaint, holds the reference, and loads nothing from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
LOADED = re.compile(
    r"""<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=["'](?:https?:)?//[^"']+["'][^>]*>""", re.IGNORECASE
)
NOT_LOADED = re.compile(r"""rel=["'](?:canonical|edit)["']""")


def test_the_site_builds_and_is_whole_by_itself(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)], capture_output=True, text=True,
        encoding="utf-8", check=False, cwd=ROOT,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    commands = next((tmp_path / "reference").glob("commands*")).read_text("utf-8")
    assert "innercouncil discover" in commands
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        foreign = [tag for tag in LOADED.findall(page.read_text("utf-8")) if not NOT_LOADED.search(tag)]
        assert foreign == [], page.name
