"""Real commands killed by SIGKILL at single writes and run again: they end as if nothing had happened.

benchmarks/kill_matrix.py takes every write of every command; here are a few of each.
"""

from __future__ import annotations

import sys

import pytest

from kill_cases import cases, killed_and_again, uninterrupted
from kill_points import some

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
SAMPLES = {"discover": 2, "rename": 2, "import": 2, "prepare": 2, "migration": 4, "vote": 3}


@pytest.mark.parametrize("name", SAMPLES)
def test_killed_at_a_write_and_run_again_it_ends_the_same(discovered, tmp_path, name):
    case = cases([p.slug for p in discovered[0].discovery.personas])[name]
    writes, whole = uninterrupted(case, discovered[1], tmp_path)
    assert writes >= 2
    for point in some(writes, SAMPLES[name]):
        files, rows = killed_and_again(case, discovered[1], tmp_path, point)
        assert {n for n in whole[0] | files if whole[0].get(n) != files.get(n)} == set(), point
        assert rows == whole[1], point
