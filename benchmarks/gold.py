"""How well discovery finds modes that are known beforehand, without a model and without being told their number.

    uv run python benchmarks/gold.py EXPORT LABELS [EXPORT LABELS …] [--json]
    uv run python benchmarks/gold.py --seeds 5            builds the gold export of ../shared/data with five seeds
    uv run --group bench python benchmarks/gold.py …      adds the all-MiniLM-L6-v2 baseline

LABELS maps message ids to the true mode (JSON object). Agreement is the adjusted Rand index (Hubert & Arabie 1985); a
message without a persona counts as a cluster of its own kind. The baselines are given the best of k = 2 … 8; discovery
is given nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import adjusted_rand_score, v_measure_score

import minilm

BUILD = Path(__file__).resolve().parents[2] / "shared" / "data" / "build_export.py"


def discovered(
    export: Path, options: Sequence[str] = ()
) -> tuple[dict[str, str | None], dict[str, str], dict[str, object]]:
    """Run the real command and return assignments, texts and the analysis."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "innercouncil", "discover", str(export), "--workspace", folder, "--json"]
        subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        analysis = json.loads((Path(folder) / "personas" / "clusters" / "cluster_analysis.json").read_text("utf-8"))
        lines = (Path(folder) / "personas" / "extracted" / "all_messages.jsonl").read_text("utf-8").strip().split("\n")
    texts = {m["id"]: m["text"] for m in map(json.loads, lines)}
    return analysis["assignments"], texts, analysis


def gold_exports(folder: Path, seeds: int) -> list[tuple[Path, Path]]:
    """Gold set 1 with this many seeds: the exports and their labels."""
    pairs = []
    for seed in range(seeds):
        out = folder / f"gold-seed{seed}.json"
        command = [sys.executable, str(BUILD), "gold", str(out), "--seed", str(seed)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        pairs.append((out, Path(f"{out}.labels.json")))
    return pairs


def best_k(points: np.ndarray, truth: list[str]) -> tuple[float, int]:
    """Best agreement of k-means over k = 2 … 8, and that k."""
    scored = [
        (adjusted_rand_score(truth, KMeans(k, n_init=10, random_state=0).fit_predict(points)), k) for k in range(2, 9)
    ]
    return max(scored)


def measure(export: Path, labels: Path) -> dict[str, object]:
    """All figures of one export."""
    true = json.loads(labels.read_text("utf-8"))
    assigned, texts, analysis = discovered(export)
    ids = [i for i in true if i in texts]
    truth = [true[i] for i in ids]
    ours = [assigned.get(i) or "none" for i in ids]
    row: dict[str, object] = {
        "export": export.name, "messages": len(ids), "modes": len(set(truth)), "found": analysis["k"],
        "ari": round(adjusted_rand_score(truth, ours), 4), "v": round(v_measure_score(truth, ours), 4),
        "unassigned": ours.count("none"),
    }  # fmt: skip
    tfidf = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2).fit_transform(texts[i] for i in ids)
    reduced = TruncatedSVD(min(64, tfidf.shape[1] - 1), random_state=0).fit_transform(tfidf)
    row["tfidf_ari"], row["tfidf_k"] = (round(x, 4) for x in best_k(reduced, truth))
    folder = minilm.find_model()
    if folder is not None:
        score, k = best_k(minilm.embed([texts[i] for i in ids], folder), truth)
        row |= {"minilm_ari": round(score, 4), "minilm_k": k, "ratio": round(float(row["ari"]) / max(score, 1e-9), 2)}  # type: ignore[arg-type]
    return row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, metavar="EXPORT LABELS")
    parser.add_argument("--seeds", type=int, default=0, help="build the gold export with this many seeds")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    pairs = list(zip(args.files[::2], args.files[1::2], strict=True))
    with tempfile.TemporaryDirectory() as folder:
        pairs += gold_exports(Path(folder), args.seeds)
        if not pairs:
            parser.error("give EXPORT and LABELS, or --seeds N")
        rows = [measure(export, labels) for export, labels in pairs]
    mean = {
        k: round(float(np.mean([r[k] for r in rows])), 4)
        for k in ("ari", "v", "tfidf_ari", "minilm_ari")
        if k in rows[0]
    }
    if args.json:
        print(json.dumps({"rows": rows, "mean": mean}, indent=2))
        return 0
    for r in rows:
        baseline = (
            f", MiniLM {r['minilm_ari']:.3f} (k={r['minilm_k']}), ratio {r['ratio']:.2f}" if "minilm_ari" in r else ""
        )
        print(
            f"{r['export']}: {r['messages']} messages, {r['modes']} modes, found {r['found']}: ARI {r['ari']:.3f}, V {r['v']:.3f}; "
            f"TF-IDF at its best k {r['tfidf_ari']:.3f} (k={r['tfidf_k']}){baseline}"
        )
    print("mean: " + ", ".join(f"{k} {v:.3f}" for k, v in mean.items()))
    if "minilm_ari" not in mean:
        print("all-MiniLM-L6-v2 is not installed: run with `uv run --group bench`", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
