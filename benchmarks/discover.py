"""Time and memory of the main job on the reference export, cold start to report, in a process of its own.

    uv run python benchmarks/discover.py [EXPORT] [--scale 1] [--runs 1] [--json]

Without EXPORT the reference is built with ../shared/data/build_export.py. Peak memory is the sum of the resident memory
of all processes of the run, sampled every 50 ms (Linux only). The baseline is `msgspec` decoding the whole file at once.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from public_data import build

DECODE = "import msgspec,sys,time;t=time.perf_counter();msgspec.json.decode(open(sys.argv[1],'rb').read());print(time.perf_counter()-t)"


def resident(root: int) -> int:
    """Bytes resident in a process and its descendants (0 where /proc is missing)."""
    children: dict[int, list[int]] = {}
    pages: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            stat = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            pages[int(entry.name)] = int((entry / "statm").read_text().split()[1])
            children.setdefault(int(stat[1]), []).append(int(entry.name))
        except (OSError, IndexError, ValueError):
            continue
    total, todo = 0, [root]
    while todo:
        pid = todo.pop()
        total += pages.get(pid, 0)
        todo += children.get(pid, [])
    return total * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0


def once(export: Path) -> dict[str, float]:
    """One cold run of the command into a fresh workspace."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "innercouncil", "discover", str(export), "--workspace", folder, "--json"]
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        peak, alive = 0, True

        def watch() -> None:
            nonlocal peak
            while alive:
                peak = max(peak, resident(process.pid))
                time.sleep(0.05)

        thread = threading.Thread(target=watch)
        thread.start()
        out, _ = process.communicate()
        alive = False
        thread.join()
        seconds = time.perf_counter() - start
        result = json.loads(out)
    return {
        "seconds": round(seconds, 2),
        "peak_mb": round(peak / 1e6),
        "modes": result["k"],
        "messages": result["import"]["user_messages"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("export", nargs="?", type=Path)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        export = args.export
        if export is None:
            export = Path(folder) / "conversations.json"
            build("mix", export, "--scale", args.scale)
        runs = [once(export) for _ in range(args.runs)]
        decode = None
        if export.stat().st_size < 400e6:
            decode = float(
                subprocess.run(
                    [sys.executable, "-c", DECODE, str(export)], check=True, capture_output=True, text=True
                ).stdout
            )
        size = export.stat().st_size
    runs.sort(key=lambda r: r["seconds"])
    row = runs[len(runs) // 2] | {"megabytes": round(size / 1e6, 1), "runs": len(runs)}
    if decode:
        row |= {"msgspec_decode_seconds": round(decode, 3), "ratio_to_decode": round(row["seconds"] / decode, 1)}
    print(json.dumps(row, indent=2) if args.json else ", ".join(f"{k} {v}" for k, v in row.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
