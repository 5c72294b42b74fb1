"""What each block of the evidence is worth: agreement with known modes when blocks are left out.

    uv run python benchmarks/ablation.py EXPORT LABELS [--json]

LABELS maps message ids to the true mode. The number of modes is found, not given, in every row.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from sklearn.metrics import adjusted_rand_score

from innercouncil.app.labelling import load_scores
from innercouncil.discovery.cluster import find_modes
from innercouncil.discovery.evidence import BLOCK_WEIGHTS, NEIGHBOUR_PULL, build_evidence

VARIANTS: dict[str, tuple[dict[str, float], float]] = {
    "as shipped": (dict(BLOCK_WEIGHTS), NEIGHBOUR_PULL),
    "no neighbours": (dict(BLOCK_WEIGHTS), 0.0),
    "acts alone": ({"act": 1.0}, NEIGHBOUR_PULL),
    "acts alone, no neighbours": ({"act": 1.0}, 0.0),
    "topics alone": ({"topic_category": 1.0}, NEIGHBOUR_PULL),
    "no tone, no style": ({"act": 1.0, "topic_category": 1.0}, NEIGHBOUR_PULL),
    "style alone": ({"style": 1.0}, NEIGHBOUR_PULL),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("export", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    true = json.loads(args.labels.read_text("utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "innercouncil", "discover", str(args.export), "--workspace", folder, "--json"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        scores = load_scores(Path(folder) / ".innercouncil" / "label_scores.npz")
    groups = scores.conversations.tolist()
    keep = [i for i, key in enumerate(scores.ids) if key in true]
    rows = {}
    for name, (weights, pull) in VARIANTS.items():
        evidence = build_evidence(scores.probabilities, scores.counts, groups, weights=weights, pull=pull)
        modes = find_modes(evidence.matrix, evidence.strength, groups)
        ari = adjusted_rand_score([true[scores.ids[i]] for i in keep], modes.labels[keep])
        rows[name] = {"ari": round(float(ari), 3), "found": modes.chosen}
    print(
        json.dumps(rows, indent=2)
        if args.json
        else "\n".join(f"{n:<28} ARI {r['ari']:.3f}  found {r['found']}" for n, r in rows.items())
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
