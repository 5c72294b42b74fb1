"""Coverage-guided fuzzing of every reader of exports and every importer of persona cards, with Atheris (libFuzzer).

    uv run --group fuzz python fuzz/fuzz.py [--target NAME] [--seconds 10] [--corpus FOLDER] [--seed 1 --inputs 2000]

Each target gets bytes and must read them or refuse them with the error it documents. Any other exception, over 5 seconds
for one input, or over 2 GB of memory is a crash; its input is kept as `crash-*` in the present folder: mend the fault,
and put the file into fuzz/corpus/TARGET, which tests/hostile/test_fuzz_corpus.py reads in every run of the tests.

Without --seed every run tries something else, and may fail on a fault that was there before. With --seed and --inputs a
run tries the same inputs each time, so a run that must pass before a change lands fails for what the change did.

--minimise FOLDER puts what a longer run with --corpus FOLDER found into fuzz/corpus: few and small inputs that reach the
same code.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "corpus"
ROUND = 50_000
"""Inputs for one process: with Atheris it grows by about 17 kB an input, whatever the target does, and would reach the limit."""
LIMITS = ["-max_len=4096", "-timeout=5", "-rss_limit_mb=2048", "-print_final_stats=1", "-verbosity=0"]


def fuzz_one(name: str, flags: list[str]) -> None:
    """Run libFuzzer on one target; it ends the process."""
    import atheris

    with atheris.instrument_imports(include=["innercouncil"]):
        sys.path.insert(0, str(HERE))
        from targets import TARGETS

    atheris.Setup([sys.argv[0], *flags], TARGETS[name])
    atheris.Fuzz()


def minimise(name: str, found: Path) -> None:
    """Add to the corpus the smallest inputs of `found` that run steps of our code which nothing in it runs yet."""
    from targets import TARGETS

    steps: set[tuple[object, int, int]] = set()
    at: dict[object, int] = {}

    def trace(frame: Any, event: str, _arg: object) -> Any:
        if "innercouncil" not in frame.f_code.co_filename:
            return None
        if event == "line":
            steps.add((frame.f_code, at.get(frame, 0), frame.f_lineno))
            at[frame] = frame.f_lineno
        return trace

    kept = CORPUS / name
    files = sorted(found.iterdir(), key=lambda f: (f.stat().st_size, f.name)) if found.is_dir() else []
    for file in [*sorted(kept.iterdir()), *files]:
        before = len(steps)
        sys.settrace(trace)
        try:
            TARGETS[name](file.read_bytes())
        finally:
            sys.settrace(None)
            at.clear()
        if len(steps) > before and file.parent != kept:
            shutil.copy(file, kept / file.name[:12])
    print(f"{name:14} {len(list(kept.iterdir())):4} inputs, {len(steps):6} steps")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", help="only this one")
    parser.add_argument("--seconds", type=int, default=10, help="a target")
    parser.add_argument(
        "--inputs", type=int, default=-1, help="a target, at most; the default is as many as there is time for"
    )
    parser.add_argument("--seed", type=int, default=0, help="0 for another one each time")
    parser.add_argument("--corpus", type=Path, help="keep new inputs here, in a folder a target")
    parser.add_argument("--minimise", type=Path, metavar="FOLDER", help="merge what lies there into fuzz/corpus")
    parser.add_argument("--flags", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.flags is not None:
        fuzz_one(args.target, args.flags)
    sys.path.insert(0, str(HERE))
    from targets import TARGETS

    env = {**os.environ, **({"PYTHONHASHSEED": "0"} if args.seed else {})}
    failed = []
    for name in [args.target] if args.target else TARGETS:
        kept = CORPUS / name
        kept.mkdir(parents=True, exist_ok=True)
        if args.minimise:
            minimise(name, args.minimise / name)
            continue
        with tempfile.TemporaryDirectory() as scratch:
            new = args.corpus / name if args.corpus else Path(scratch)
            new.mkdir(parents=True, exist_ok=True)
            tried, end = 0, time.monotonic() + args.seconds
            while True:
                left = ROUND if args.inputs < 0 else min(ROUND, args.inputs - tried)
                bounds = [
                    f"-max_total_time={max(1, round(end - time.monotonic()))}",
                    f"-runs={left}",
                    f"-seed={args.seed}",
                ]
                flags = [*LIMITS, *bounds, str(new), str(kept)]
                command = [sys.executable, __file__, "--target", name, "--flags", *flags]
                ended = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
                units = [line for line in ended.stderr.splitlines() if "number_of_executed_units" in line]
                tried += int(units[-1].split()[-1]) if units else 0
                if ended.returncode or time.monotonic() > end - 1 or 0 <= args.inputs <= tried:
                    break
        print(f"{name:14} {'ok' if ended.returncode == 0 else 'CRASH'} {tried:9} inputs")
        if ended.returncode:
            failed.append(name)
            said = (ended.stdout + ended.stderr).splitlines()
            print(*[line for line in said if not line.startswith(("INFO:", "WARNING:", "stat::"))][-40:], sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
