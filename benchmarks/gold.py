"""How well discovery finds modes that are known beforehand, without a model and without being told their number.

    uv run python benchmarks/gold.py EXPORT LABELS [EXPORT LABELS …] [--json]
    uv run python benchmarks/gold.py --seeds 5            builds the gold export of ../shared/data with five seeds
    uv run --group bench python benchmarks/gold.py …      adds the all-MiniLM-L6-v2 baseline
    uv run python benchmarks/gold.py … --llm ollama       adds the modes found from facets that a model extracts

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
from public_data import build


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


def found_by_facets(export: Path, labels: Path, llm: Sequence[str]) -> dict[str, object]:
    """What a model's facets give on the same export, by the real commands."""
    with tempfile.TemporaryDirectory() as folder:
        own = [sys.executable, "-m", "innercouncil"]
        asked = [
            *own,
            "discover",
            str(export),
            "--workspace",
            folder,
            "--modes",
            "facets",
            *llm,
            "--llm-budget",
            "0",
            "--yes",
        ]
        subprocess.run(asked, check=True, stdout=subprocess.DEVNULL)
        compare = [*own, "evaluate", "modes", "--workspace", folder, "--gold", str(labels), "--json"]
        done = subprocess.run(compare, check=True, stdout=subprocess.PIPE)
        found: dict[str, object] = json.loads(done.stdout)["ways"][1]
    return found


def gold_exports(folder: Path, seeds: int) -> list[tuple[Path, Path]]:
    """Gold set 1 with this many seeds: the exports and their labels."""
    pairs = []
    for seed in range(seeds):
        out = folder / f"gold-seed{seed}.json"
        build("gold", out, "--seed", seed)
        pairs.append((out, Path(f"{out}.labels.json")))
    return pairs


def best_k(points: np.ndarray, truth: list[str]) -> tuple[float, int]:
    """Best agreement of k-means over k = 2 … 8, and that k."""
    scored = [
        (adjusted_rand_score(truth, KMeans(k, n_init=10, random_state=0).fit_predict(points)), k) for k in range(2, 9)
    ]
    return max(scored)


def measure(export: Path, labels: Path, llm: list[str]) -> dict[str, object]:
    """All figures of one export; `llm` names a model for facets, or is empty."""
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
    if llm:
        facets = found_by_facets(export, labels, llm)
        row |= {
            "facets_ari": facets["gold_ari"], "facets_v": facets["gold_v"], "facets_found": len(facets["modes"]),  # type: ignore[arg-type]
            "facets_stability": facets["mean_stability"],
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
    parser.add_argument(
        "--llm", metavar="WHERE", help="also find modes from facets by a model: ollama, embedded or a URL"
    )
    parser.add_argument("--llm-model", metavar="NAME", help="which model there")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    llm = ["--llm", args.llm, *(["--llm-model", args.llm_model] if args.llm_model else [])] if args.llm else []
    pairs = list(zip(args.files[::2], args.files[1::2], strict=True))
    with tempfile.TemporaryDirectory() as folder:
        pairs += gold_exports(Path(folder), args.seeds)
        if not pairs:
            parser.error("give EXPORT and LABELS, or --seeds N")
        rows = [measure(export, labels, llm) for export, labels in pairs]
    mean = {
        k: round(float(np.mean([r[k] for r in rows])), 4)
        for k in ("ari", "v", "facets_ari", "facets_v", "tfidf_ari", "minilm_ari")
        if k in rows[0]
    }
    if args.json:
        print(json.dumps({"rows": rows, "mean": mean}, indent=2))
        return 0
    for r in rows:
        baseline = (
            f", MiniLM {r['minilm_ari']:.3f} (k={r['minilm_k']}), ratio {r['ratio']:.2f}" if "minilm_ari" in r else ""
        )
        by_model = (
            f"facets ARI {r['facets_ari']:.3f}, V {r['facets_v']:.3f} (found {r['facets_found']}, stability {r['facets_stability']:.2f}); "
            if "facets_ari" in r else ""
        )  # fmt: skip
        print(
            f"{r['export']}: {r['messages']} messages, {r['modes']} modes, found {r['found']}: ARI {r['ari']:.3f}, V {r['v']:.3f}; {by_model}"
            f"TF-IDF at its best k {r['tfidf_ari']:.3f} (k={r['tfidf_k']}){baseline}"
        )
    print("mean: " + ", ".join(f"{k} {v:.3f}" for k, v in mean.items()))
    if "minilm_ari" not in mean:
        print("all-MiniLM-L6-v2 is not installed: run with `uv run --group bench`", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
