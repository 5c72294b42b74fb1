"""Real commands killed by SIGKILL at single writes and run again: they end as if nothing had happened.

Here are a few writes of each. `INNERCOUNCIL_EVERY_WRITE=1` takes all of them, as benchmarks/kill_matrix.py does for every command.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import pytest

from kill_cases import cases, killed_and_again, uninterrupted
from kill_cases_asked import asked_cases
from kill_points import some

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")


def spread(at_most: int) -> Callable[[int], list[int]]:
    return lambda writes: some(writes, at_most)


def middle(writes: int) -> list[int]:
    return [writes // 2]


def late(writes: int) -> list[int]:
    """The personas are written; the report and the council's own personas still have to follow."""
    return [writes - 6]


SAMPLES = {
    "discover": spread(2), "rename": late, "import": spread(2), "prepare": spread(2), "migration": spread(4), "vote": spread(3),
    "rename-seated": late, "undo-seated": late,
    "ask": spread(3), "run-questions": middle, "write": middle, "backup-make": spread(2), "backup-restore": spread(3),
    "seat": spread(2), "unseat": middle,
}  # fmt: skip


@pytest.fixture(scope="module")
def all_cases(discovered: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    slugs = [p.slug for p in discovered[0].discovery.personas]
    with asked_cases(slugs, tmp_path_factory.mktemp("asked")) as asked:
        yield cases(slugs) | asked


@pytest.mark.parametrize("name", SAMPLES)
def test_killed_at_a_write_and_run_again_it_ends_the_same(discovered, all_cases, tmp_path, name):
    case = all_cases[name]
    writes, whole = uninterrupted(case, discovered[1], tmp_path)
    assert writes >= 2
    every = os.environ.get("INNERCOUNCIL_EVERY_WRITE")
    for point in range(1, writes + 1) if every else SAMPLES[name](writes):
        found = killed_and_again(case, discovered[1], tmp_path, point)
        if case.look is None:
            assert {n for n in whole[0] | found[0] if whole[0].get(n) != found[0].get(n)} == set(), point
            assert found[1] == whole[1], point
        assert found == whole, point
