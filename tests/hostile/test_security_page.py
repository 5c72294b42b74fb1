"""docs/security.md promises only what a test backs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = [line for line in (ROOT / "docs" / "security.md").read_text("utf-8").split("\n") if line.startswith("| ")][1:]


def test_every_threat_has_a_row_of_four_cells_and_a_test() -> None:
    assert len(ROWS) >= 20
    for row in ROWS:
        cells = [c.strip() for c in row.strip("|").split("|")]
        assert len(cells) == 4 and all(cells), row
        assert re.search(r"`tests/\S+\.py::test_\w+`", cells[3]), row


@pytest.mark.parametrize("name", sorted({n for row in ROWS for n in re.findall(r"`(tests/[^`]+)`", row)}))
def test_the_named_test_exists(name: str) -> None:
    file, _, test = name.partition("::")
    assert re.search(rf"^(?:async )?def {test}\(", (ROOT / file).read_text("utf-8"), re.MULTILINE)
