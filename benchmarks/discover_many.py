"""Exports a minute of `discover-many` with 1 and 2 workers against a loop of `discover`, on the same exports, in turn.

    uv run --extra many python benchmarks/discover_many.py [--exports 8] [--scale 0.1] [--workers 1 2] [--rounds 2] [--plan 100000]

The exports are built with ../shared/data/build_export.py, each from a seed of its own. A round is the loop, then each number of
workers, every time into a new folder, from the start of the command to its end; ratios are taken within a round, so that what
else the machine does meanwhile falls on both sides. `cpu` is of all processes of the command. `--plan N` goes on with what
`innercouncil plan-many` says of N such exports, from the last run's records.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from public_data import build


def timed(*commands: list[str]) -> tuple[float, float, str]:
    """Seconds by the clock, seconds of CPU, and the last command's output."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    out = ""
    for command in commands:
        out = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, out


def build_all(folder: Path, exports: int, scale: float) -> list[Path]:
    files = [folder / f"person-{n:03}.json" for n in range(exports)]
    for seed, file in enumerate(files):
        build("mix", file, "--scale", scale, "--seed", seed)
    return files


def one_round(source: Path, files: list[Path], workers: list[int], scratch: Path) -> dict[str, dict[str, float]]:
    command = [sys.executable, "-m", "innercouncil"]
    loop = [[*command, "discover", str(f), "--workspace", str(scratch / "loop" / f.name), "--json"] for f in files]
    seconds, cpu, _ = timed(*loop)
    rows = {"loop": {"seconds": seconds, "cpu": cpu, "ratio": 1.0}}
    for n in workers:
        out = scratch / f"many-{n}"
        took, spent, told = timed(
            [*command, "discover-many", str(source), "--out", str(out), "--workers", str(n), "--json"]
        )
        records = json.loads(told)["exports"]
        megabytes = sum(r["export_bytes"] for r in records) / 1e6
        rows[f"{n} worker" + "s" * (n > 1)] = {
            "seconds": took,
            "cpu": spent,
            "ratio": seconds / took,
            "cpu_per_mb": sum(r["cpu_seconds"] for r in records) / megabytes,
            "peak_mb": max(r["peak_bytes"] for r in records) / 1e6,
            "kept_per_mb": sum(r["kept_bytes"] for r in records) / 1e6 / megabytes,
        }
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exports", type=int, default=8)
    parser.add_argument("--scale", type=float, default=0.1)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--plan", type=int)
    args = parser.parse_args()
    rounds, plan = [], ""
    with tempfile.TemporaryDirectory() as folder:
        (source := Path(folder) / "in").mkdir()
        files = build_all(source, args.exports, args.scale)
        size = sum(f.stat().st_size for f in files) / 1e6
        for number in range(args.rounds):
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                rounds.append(one_round(source, files, args.workers, Path(scratch)))
                if args.plan and number + 1 == args.rounds:
                    out = str(Path(scratch) / f"many-{args.workers[-1]}")
                    command = [sys.executable, "-m", "innercouncil", "plan-many", out, "--exports", str(args.plan)]
                    plan = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            print(f"round {number + 1} of {args.rounds}", file=sys.stderr)
    rows = {
        way: {k: round(statistics.median(r[way][k] for r in rounds), 2) for k in rounds[0][way]} for way in rounds[0]
    }
    told = {"exports": args.exports, "megabytes": round(size, 1), "cores": os.cpu_count(), "rounds": args.rounds}
    print(", ".join(f"{k} {v}" for k, v in told.items()))
    for way, row in rows.items():
        print(
            f"{way:10}",
            f"{60 * args.exports / row['seconds']:6.1f} a minute ",
            ", ".join(f"{k} {v}" for k, v in row.items()),
            "| ratio in each round:",
            *(f"{r[way]['ratio']:.2f}" for r in rounds),
        )
    print(plan, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
