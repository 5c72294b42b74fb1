"""Write the reference (commands, settings, files, HTTP API) out of the code.

python scripts/make_reference.py FOLDER

`mkdocs build` does the same while it builds: these pages are made, never kept.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from reference import commands, files, http_api, settings


def pages() -> dict[str, str]:
    """Every generated file of the reference: its path below docs/ -> its text."""
    return {
        "reference/commands.md": commands.page(),
        "reference/settings.md": settings.page(),
        "reference/files.md": files.page(),
        **files.schemas(),
        "reference/http-api.md": http_api.page(),
        "reference/openapi.json": http_api.document(),
    }


def main(folder: Path) -> None:
    for name, text in pages().items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
        print(target)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Usage: python scripts/make_reference.py FOLDER")
    main(Path(sys.argv[1]))
