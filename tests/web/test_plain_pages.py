"""What is easily wrong on a page and seen by nobody who knows it: long paths on a telephone, marks of Markdown, a legend without its shapes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from browser import Watched, chromium, run_py

PAGES = ("/", "/sessions", "/personas", "/personas/software-builder", "/import", "/map", "/dashboard", "/worth", "/ab", "/adapters", "/models")  # fmt: skip
SEEN = "() => document.body.innerText"


@pytest.fixture(scope="module")
def far_down(discovered: tuple[object, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose path has a long part."""
    folder = tmp_path_factory.mktemp("home") / "a-folder-with-a-name-as-long-as-those-that-programs-like-to-make"
    folder.mkdir()
    shutil.copytree(discovered[1], folder / "data")
    return folder / "data"


def test_no_page_is_wider_than_a_telephone_or_shows_backticks(far_down: Path) -> None:
    with run_py(far_down) as base, chromium() as browser:
        watched = Watched(browser, base, width=390)
        for path in PAGES:
            page = watched.open(path)
            page.wait_for_load_state("networkidle")
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
            assert "`" not in page.evaluate(SEEN), path
            if path == "/models":
                assert far_down.parent.name in page.evaluate(SEEN)
                assert page.locator("#lines code").all_inner_texts()
            if path == "/map":
                assert [s.inner_text() for s in page.locator("#legend .sign").all()] == ["●", "■", "▲", "◆"]
        assert not watched.problems
