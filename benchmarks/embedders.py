"""What an embedder adds to discovery: agreement with known modes without and with each, and what it costs.

    python benchmarks/embedders.py --seeds 5 [EXPORT LABELS …] --embedder onnx:OUT/onnx-fp32 --embedder model2vec:OUT/model2vec
    python benchmarks/embedders.py --reference [--limit 2000] --embedder onnx:OUT/onnx-fp32 …

The first prints the adjusted Rand index on gold set 1 and on every EXPORT given, the number of modes never told. The second
embeds the messages of the reference export as the stage does (near-duplicates once), in a process of its own, and prints
seconds and peak memory; `--limit` embeds that many texts, evenly over the whole. Run it with the Python that has the extras;
benchmarks/make_embedders.py makes the models.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.metrics import adjusted_rand_score

from gold import discovered, gold_exports
from innercouncil.discovery.embedding import TEXT_CHARS
from innercouncil.llm.embedders.select import open_folder, parse_embedder
from innercouncil.model.conversation import ImportReport
from innercouncil.model.duplicates import near_key
from innercouncil.readers.registry import read_messages
from public_data import build


def agreement(export: Path, labels: Path, embedder: str | None) -> tuple[float, int]:
    """Adjusted Rand index and the number of modes found."""
    true = json.loads(labels.read_text("utf-8"))
    assigned, texts, analysis = discovered(export, ["--embedder", embedder] if embedder else [])
    ids = [i for i in true if i in texts]
    found = adjusted_rand_score([true[i] for i in ids], [assigned.get(i) or "none" for i in ids])
    return float(found), int(str(analysis["k"]))


def compare(seeds: int, others: list[tuple[Path, Path]], embedders: list[str | None]) -> None:
    """Print a line an embedder."""
    with tempfile.TemporaryDirectory() as folder:
        first = gold_exports(Path(folder), seeds)
        for embedder in embedders:
            rows = [agreement(*pair, embedder) for pair in first]
            parts = [f"{embedder or 'none (the default)':<50}"]
            if rows:
                each = " ".join(f"{ari:.3f}/{k}" for ari, k in rows)
                parts.append(f"gold set 1: {np.mean([ari for ari, _ in rows]):.3f} ({each})")
            for export, labels in others:
                ari, k = agreement(export, labels, embedder)
                parts.append(f"{export.stem}: {ari:.3f} ({k} found)")
            print(" | ".join(parts), flush=True)


def reference_texts(folder: Path, limit: int | None) -> list[str]:
    """What the stage would embed of the reference export."""
    export = folder / "conversations.json"
    build("mix", export)
    messages = read_messages(export, ImportReport(format="", source_name=""))
    texts = (m.voice[:TEXT_CHARS].strip() for m in messages)
    found = list({near_key(t): t for t in texts if t}.values())
    return found[:: max(1, len(found) // limit)][:limit] if limit else found


def cost(limit: int | None, embedders: list[str]) -> None:
    """Print seconds and peak memory of each embedder, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        texts = reference_texts(Path(folder), limit)
        file = Path(folder) / "texts.json"
        file.write_text(json.dumps(texts), "utf-8")
        del texts
        for embedder in embedders:
            command = [sys.executable, __file__, "--child", str(file), "--embedder", embedder]
            print(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip(), flush=True)


def child(file: Path, name: str) -> None:
    """Embed all texts of a file."""
    texts = json.loads(file.read_text("utf-8"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    embedder = open_folder(parse_embedder(name))
    start = time.perf_counter()
    embedder.embed(texts[:1])
    loaded = time.perf_counter() - start
    shape = embedder.embed(texts).shape
    seconds = time.perf_counter() - start - loaded
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{name:<50} {shape[0]} texts, {shape[1]} numbers each: {seconds:.1f} s ({shape[0] / seconds:.0f} a second), "
        f"loading {loaded:.1f} s, peak {peak / 1000:.0f} MB ({(peak - before) / 1000:.0f} over the texts)"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, metavar="EXPORT LABELS")
    parser.add_argument("--seeds", type=int, default=0, help="build gold set 1 with this many seeds")
    parser.add_argument("--embedder", action="append", default=[], help="as `discover --embedder` takes it")
    parser.add_argument("--reference", action="store_true", help="time and memory on the reference export")
    parser.add_argument("--limit", type=int, help="with --reference, so many texts")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child, args.embedder[0])
    elif args.reference:
        cost(args.limit, args.embedder)
    else:
        compare(args.seeds, list(zip(args.files[::2], args.files[1::2], strict=True)), [None, *args.embedder])
    return 0


if __name__ == "__main__":
    sys.exit(main())
