"""Reading an export against decoding the whole file at once: seconds, ratio and peak memory, each in a fresh process.

    uv run python benchmarks/parse.py EXPORT [--rounds 3] [--json]

The baseline is `msgspec.json.decode` of the whole file; ours is `read_messages` with the tree walk and all messages
built, without telling pasted material apart and without language detection.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

MB = 1 << 20


def peak_rss() -> int | None:
    """Peak resident memory of this process in bytes; None where the system does not tell."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next((x for x in status.read_text().splitlines() if x.startswith("VmHWM")), None)
        if line:
            return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def baseline(path: Path) -> dict[str, float]:
    import msgspec

    start = time.perf_counter()
    elements = msgspec.json.decode(path.read_bytes())
    return {"seconds": time.perf_counter() - start, "conversations": len(elements)}


def ours(path: Path) -> dict[str, float]:
    from innercouncil.model.conversation import ImportReport
    from innercouncil.readers.registry import read_messages

    report = ImportReport(format="", source_name=path.name)
    start = time.perf_counter()
    messages = sum(1 for _ in read_messages(path, report, analyse=False))
    return {"seconds": time.perf_counter() - start, "conversations": report.conversations, "messages": messages}


def child(kind: str, path: Path) -> dict[str, float | None]:
    command = [sys.executable, __file__, str(path), "--child", kind]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("export", type=Path)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (default: 3)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--no-baseline", action="store_true", help="only ours, for files too large to decode at once")
    parser.add_argument("--child", choices=["baseline", "ours"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        result = baseline(args.export) if args.child == "baseline" else ours(args.export)
        print(json.dumps(result | {"peak": peak_rss()}))
        return
    kinds = ["ours"] if args.no_baseline else ["baseline", "ours"]
    runs: dict[str, list[dict[str, float | None]]] = {kind: [] for kind in kinds}
    for _ in range(args.rounds):
        for kind in kinds:
            runs[kind].append(child(kind, args.export))
    seconds = {kind: statistics.median(float(r["seconds"] or 0) for r in runs[kind]) for kind in kinds}
    peaks = {kind: max((r["peak"] or 0 for r in runs[kind]), default=0) / MB or None for kind in kinds}
    ratio = seconds["ours"] / seconds["baseline"] if "baseline" in seconds else None
    if args.json:
        print(
            json.dumps(
                {
                    "bytes": args.export.stat().st_size,
                    "seconds": seconds,
                    "ratio": ratio,
                    "peak_mb": peaks,
                    "runs": runs,
                }
            )
        )
        return
    print(f"{args.export.name}: {args.export.stat().st_size / 1e6:,.1f} MB, median of {args.rounds} interleaved rounds")
    for kind in kinds:
        peak = f"{peaks[kind]:,.0f} MB" if peaks[kind] else "n/a"
        print(f"  {kind:9} {seconds[kind]:6.2f} s   peak memory {peak}")
    if ratio is not None:
        print(f"  ratio     {ratio:6.2f}")


if __name__ == "__main__":
    main()
