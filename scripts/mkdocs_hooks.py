"""What MkDocs does beside rendering: makes the reference out of the code, and leaves no page out of the navigation."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

OTHERS = "Explanation"
"""Group of the pages that the navigation does not name."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, and the pages the navigation does not name."""
    here = str(Path(__file__).parent)
    if here not in sys.path:  # MkDocs takes it away again after it has loaded this file
        sys.path.insert(0, here)
    from make_reference import pages

    for name, text in pages().items():
        files.append(File.generated(config, name, content=text))
    named = set(_named(config.nav or []))
    rest = sorted(f.src_uri for f in files.documentation_pages() if f.src_uri not in named)
    group = next(g[OTHERS] for g in config.nav or [] if isinstance(g, dict) and OTHERS in g)
    group += rest
    return files


def _named(nav: Any) -> list[str]:
    """The pages that a piece of the navigation names."""
    if isinstance(nav, str):
        return [nav]
    parts = nav.values() if isinstance(nav, dict) else nav
    return [name for part in parts for name in _named(part)]
