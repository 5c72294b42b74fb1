"""Kill every stage at its every write, run it again, and compare with an uninterrupted run.

    uv run python benchmarks/kill_matrix.py [NAME ...] [--most 1000] [--first 1]

NAME is discover, rename, merge, import, prepare, migration, vote, rename-seated, merge-seated, undo-seated, edit-seated, ask,
run-questions, write, backup-make, backup-restore, seat or unseat; without one all are taken.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from conftest import EXAMPLE, run
from kill_cases import Case, cases, killed_and_again, uninterrupted
from kill_cases_asked import asked_cases
from kill_points import some


def matrix(name: str, case: Case, base: Path, folder: Path, most: int, first: int) -> int:
    """Kill one command at its writes, say how it ended, and how many ends were other ones."""
    began, wrong = time.monotonic(), []
    writes, whole = uninterrupted(case, base, folder)
    points = [first - 1 + n for n in some(writes - first + 1, most)]
    for point in points:
        try:
            same = killed_and_again(case, base, folder, point) == whole
        except AssertionError as error:
            print(f"  {error}")
            same = False
        if not same:
            wrong.append(point)
    seconds = time.monotonic() - began
    print(
        f"{name}: {writes} writes, killed at {len(points)} from {first} on, other end at {wrong or 'none'} ({seconds:.0f} s)",
        flush=True,
    )
    return len(wrong)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--most", type=int, default=1000, help="writes of a command that are taken")
    parser.add_argument("--first", type=int, default=1, help="write of a command to begin with")
    given = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base" / "data"
        slugs = [p.slug for p in run(EXAMPLE, base, bootstraps=4).discovery.personas]
        with asked_cases(slugs, Path(folder)) as asked:
            for name, case in (cases(slugs) | asked).items():
                if not given.names or name in given.names:
                    bad += matrix(name, case, base, Path(folder) / name, given.most, given.first)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
