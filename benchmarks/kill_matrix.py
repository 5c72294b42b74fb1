"""Kill every stage at its every write, run it again, and compare with an uninterrupted run.

    uv run python benchmarks/kill_matrix.py [NAME ...] [--most 1000]

NAME is discover, rename, merge, import, prepare, migration or vote; without one all are taken.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from conftest import EXAMPLE, run
from kill_cases import cases, killed_and_again, uninterrupted
from kill_points import some


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--most", type=int, default=1000, help="writes of a command that are taken")
    given = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base" / "data"
        slugs = [p.slug for p in run(EXAMPLE, base, bootstraps=4).discovery.personas]
        for name, case in cases(slugs).items():
            if given.names and name not in given.names:
                continue
            began, wrong = time.monotonic(), []
            writes, whole = uninterrupted(case, base, Path(folder) / name)
            points = some(writes, given.most)
            for point in points:
                try:
                    same = killed_and_again(case, base, Path(folder) / name, point) == whole
                except AssertionError as error:
                    print(f"  {error}")
                    same = False
                if not same:
                    wrong.append(point)
            seconds = time.monotonic() - began
            print(
                f"{name}: {writes} writes, killed at {len(points)}, other end at {wrong or 'none'} ({seconds:.0f} s)",
                flush=True,
            )
            bad += len(wrong)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
