"""Train the offline labeller from the hand-made labels and print how good it is on conversations it never saw.

    uv run python scripts/train_labeller.py [--texts ../shared/data/sharegpt_dev.jsonl.gz] [--check]

`--check` only prints the held-out figures; without it the weights in the package are written. Same input, same bytes.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import classification_report, cohen_kappa_score, f1_score
from sklearn.model_selection import GroupKFold

from innercouncil.discovery.label_features import VIEWS, FeatureSpace, LabelInput, MessageFeatures, extract
from innercouncil.discovery.labeller import Labeller, LinearHead, label_input, share_topic
from innercouncil.model.conversation import Message
from innercouncil.readers.pasted import split_voice

ROOT = Path(__file__).resolve().parent.parent
LABELS = ROOT / "training" / "labels.tsv"
WEIGHTS = ROOT / "src" / "innercouncil" / "discovery" / "weights" / "labeller.npz"
MAX_TERMS = {"w": 9000, "s": 3000, "c": 9000, "b": 2500, "r": 5000, "m": 3000, "p": 2500, "h": 2500, "a": 6000}
PHRASES = ROOT / "training" / "phrases.tsv"
C = 0.7
SEED = 0

MERGE = {
    "topic_category": {"assistant": "daily_life"},
    "act": {"design": "shape", "plan": "shape", "decide": "shape", "explore": "shape", "extract": "edit"},
    "tone": {"casual": "neutral"},
}
"""Hand-made labels too rare to be learnt on their own, and the label they are learnt as (docs/labelling.md)."""

VIEW_WEIGHTS: dict[str, dict[str, float]] = {
    "topic_category": {"a": 3.0, "c": 0.5, "dense": 0.5},
    "act": {"m": 1.5, "dense": 0.3},
    "tone": {"dense": 1.0},
}
BALANCE = {"topic_category": 0.9, "act": 0.85, "tone": 0.5}
"""Exponent of the inverse class frequency in the training weights (0 none, 1 fully balanced)."""


def read_labels(path: Path) -> list[dict[str, str]]:
    """Rows of labels.tsv: conversation, turn, pass, topic_category, act, tone."""
    with path.open(encoding="utf-8", newline="") as f:
        return list(csv.DictReader(f, delimiter="\t"))


def inputs_of(texts: Path) -> dict[tuple[str, int], LabelInput]:
    """The labeller's input for every message of the person, keyed by conversation and turn."""
    found: dict[tuple[str, int], LabelInput] = {}
    with gzip.open(texts, "rt", encoding="utf-8") as f:
        for line in f:
            c = json.loads(line)
            earlier: list[str] = []
            turns, context, position = c["turns"], "", 0
            for i, turn in enumerate(turns):
                if turn["role"] == "assistant":
                    context = turn["text"][-2000:]
                elif turn["role"] == "user" and turn["text"].strip():
                    reply = (
                        turns[i + 1]["text"][:1000]
                        if i + 1 < len(turns) and turns[i + 1]["role"] == "assistant"
                        else ""
                    )
                    message = Message(
                        id=f"{c['id']}#{i}", conversation_id=c["id"], title="", position=position, text=turn["text"],
                        context=context, reply=reply, spans=split_voice(turn["text"]),
                    )  # fmt: skip
                    history = "\n".join(reversed(earlier[-4:]))[:700]
                    found[c["id"], i] = label_input(message, history)
                    earlier.append(message.voice[:300])
                    context, position = "", position + 1
    return found


def bare(item: LabelInput) -> LabelInput:
    """The same message as it looks where the export holds no answers around it."""
    return item._replace(context="", reply="", history="")


class Material(NamedTuple):
    """What is trained on: messages with and without their surroundings, and the hand-written phrases."""

    rows: list[MessageFeatures]
    bare: list[MessageFeatures]
    labels: dict[str, list[str]]
    phrase_rows: list[MessageFeatures]
    phrase_labels: dict[str, list[str]]

    def only(self, chosen: Iterable[int]) -> Material:
        """The same with only these messages (phrases are always kept: they belong to no conversation)."""
        keep = list(chosen)
        return self._replace(
            rows=[self.rows[i] for i in keep],
            bare=[self.bare[i] for i in keep],
            labels={f: [y[i] for i in keep] for f, y in self.labels.items()},
        )


def read_phrases(path: Path) -> tuple[list[MessageFeatures], dict[str, list[str]]]:
    """Typical phrases written for the training; an empty label means that the phrase says nothing about that field."""
    with path.open(encoding="utf-8", newline="") as f:
        table = list(csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE, escapechar="\\"))
    rows = [
        extract(LabelInput(r["text"], "", "", "", "", int(r["act"] in ("continue", "correct", "feedback"))))
        for r in table
    ]
    labels = {f: [MERGE[f].get(r[f], r[f]) for r in table] for f in ("topic_category", "act")}
    return rows, labels | {"tone": [""] * len(table)}


def fit_heads(material: Material) -> tuple[FeatureSpace, dict[str, LinearHead]]:
    """Feature space and one classifier a field; bare messages and phrases weigh half."""
    space = FeatureSpace.fit([*material.rows, *material.phrase_rows], max_terms=MAX_TERMS)
    x, bare_x, phrase_x = (space.transform(r) for r in (material.rows, material.bare, material.phrase_rows))
    heads = {}
    for field, y in material.labels.items():
        said = [i for i, v in enumerate(material.phrase_labels[field]) if v]
        count = Counter(y)
        balance = np.array([(len(y) / (len(count) * count[v])) ** BALANCE[field] for v in y])
        scale = column_scale(space, VIEW_WEIGHTS[field])
        stacked = sparse.vstack([x, bare_x, phrase_x[said]]) @ sparse.diags(scale)
        targets = [*y, *y, *(material.phrase_labels[field][i] for i in said)]
        weight = np.concatenate([balance, 0.5 * balance, np.full(len(said), 0.5)])
        model = LogisticRegression(C=C, max_iter=400, tol=1e-3)
        model.fit(stacked, targets, sample_weight=weight)
        weights = (model.coef_.T * scale[:, None]).astype(np.float32)
        heads[field] = LinearHead(
            tuple(str(v) for v in model.classes_), weights, model.intercept_.astype(np.float32), 1.0
        )
    return space, heads


def column_scale(space: FeatureSpace, weights: dict[str, float]) -> np.ndarray:
    """Weight of every column: its view's, or that of the counts (`dense`)."""
    scale = np.full(space.n_sparse + len(space.mean), weights.get("dense", 1.0), dtype=np.float32)
    at = 0
    for view in VIEWS:
        size = len(space.vocabulary[view])
        scale[at : at + size] = weights.get(view, 1.0)
        at += size
    return scale


def temperature_of(logits: np.ndarray, y: np.ndarray) -> float:
    """The temperature that makes held-out probabilities honest (Guo et al. 2017, maximum likelihood)."""

    def loss(t: float) -> float:
        z = logits / t
        z = z - z.max(axis=1, keepdims=True)
        return float(-(z[np.arange(len(y)), y] - np.log(np.exp(z).sum(axis=1))).mean())

    return float(minimize_scalar(loss, bounds=(0.2, 5.0), method="bounded").x)


def calibration_error(p: np.ndarray, y: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error of the top label over equal-width bins."""
    top, right = p.max(axis=1), p.argmax(axis=1) == y
    edges = np.clip((top * bins).astype(int), 0, bins - 1)
    return float(sum(abs(top[edges == b].mean() - right[edges == b].mean()) * (edges == b).mean() for b in set(edges)))


def held_out(material: Material, conversations: list[str], folds: int) -> dict[str, np.ndarray]:
    """Logits for every message from a model that saw nothing of its conversation, topics shared as the labeller does."""
    names = {f: sorted(set(y)) for f, y in material.labels.items()}
    out = {f: np.full((len(material.rows), len(n)), -30.0) for f, n in names.items()}
    groups = [c.rsplit("_", 1)[0] for c in conversations]
    for train, test in GroupKFold(folds, shuffle=True, random_state=SEED).split(material.rows, groups=groups):
        space, heads = fit_heads(material.only(train))
        x = space.transform([material.rows[i] for i in test])
        for field, head in heads.items():
            columns = [names[field].index(v) for v in head.labels]
            out[field][np.ix_(test, columns)] = x @ head.weights + head.bias
    out["topic_category"] = share_topic(out["topic_category"], conversations)
    return out


def main() -> int:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, default=ROOT.parent / "shared" / "data" / "sharegpt_dev.jsonl.gz")
    parser.add_argument("--labels", type=Path, default=LABELS)
    parser.add_argument("--check", action="store_true", help="print the held-out figures, write nothing")
    parser.add_argument("--folds", type=int, default=10, help="folds of whole conversations (default 10)")
    parser.add_argument("--json", action="store_true", help="figures as JSON on stdout")
    args = parser.parse_args()
    if not args.texts.exists():
        print(
            f"{args.texts} is not there: give the conversations with --texts (docs/labelling.md says which).",
            file=sys.stderr,
        )
        return 1
    table = read_labels(args.labels)
    inputs = inputs_of(args.texts)
    first = [r for r in table if r["pass"] == "1"]
    keys = [(r["conversation"], int(r["turn"])) for r in first]
    labels = {f: [MERGE[f].get(r[f], r[f]) for r in first] for f in ("topic_category", "act", "tone")}
    rows = [extract(inputs[k]) for k in keys]
    material = Material(rows, [extract(bare(inputs[k])) for k in keys], labels, *read_phrases(PHRASES))
    conversations = [k[0] for k in keys]
    logits = held_out(material, conversations, args.folds)
    figures: dict[str, Any] = {
        "messages": len(rows), "conversations": len(set(conversations)), "folds": args.folds, "fields": {},
    }  # fmt: skip
    temperatures = {}
    for field, y in labels.items():
        names = sorted(set(y))
        truth = np.array([names.index(v) for v in y])
        t = temperatures[field] = temperature_of(logits[field], truth)
        p = np.exp(logits[field] / t - (logits[field] / t).max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        guess = [names[i] for i in p.argmax(axis=1)]
        report = classification_report(y, guess, output_dict=True, zero_division=0)
        figures["fields"][field] = {
            "macro_f1": round(f1_score(y, guess, average="macro"), 4),
            "accuracy": round(report["accuracy"], 4),
            "calibration_error": round(calibration_error(p, truth), 4),
            "temperature": round(t, 3),
            "labels": {
                n: {"f1": round(report[n]["f1-score"], 3), "messages": int(report[n]["support"])} for n in names
            },
            "agreement": agreement(table, field),
        }
    print(json.dumps(figures, indent=2) if args.json else as_text(figures))
    if not args.check:
        space, heads = fit_heads(material)
        heads = {f: h._replace(temperature=temperatures[f]) for f, h in heads.items()}
        version = hashlib.sha256(args.labels.read_bytes() + Path(__file__).read_bytes()).hexdigest()[:12]
        data = Labeller(space, heads, version).save()
        WEIGHTS.parent.mkdir(exist_ok=True)
        WEIGHTS.write_bytes(data)
        print(f"wrote {WEIGHTS.relative_to(ROOT)}: {len(data) / 1e6:.2f} MB", file=sys.stderr)
    return 0


def agreement(table: list[dict[str, str]], field: str) -> dict[str, float]:
    """How far two passes over the same messages agree: the ceiling for any labeller."""
    one, two = (
        {(r["conversation"], r["turn"]): MERGE[field].get(r[field], r[field]) for r in table if r["pass"] == number}
        for number in "12"
    )
    both = sorted(set(one) & set(two))
    a, b = [one[k] for k in both], [two[k] for k in both]
    return {
        "messages": len(both),
        "agreement": round(float(np.mean([x == y for x, y in zip(a, b, strict=True)])), 4),
        "kappa": round(float(cohen_kappa_score(a, b)), 4),
        "macro_f1": round(float(f1_score(a, b, average="macro", zero_division=0)), 4),
    }


def as_text(figures: dict[str, Any]) -> str:
    """The figures as a page for people."""
    lines = [
        f"{figures['messages']} messages of {figures['conversations']} conversations, {figures['folds']} folds of whole conversations"
    ]
    for field, f in figures["fields"].items():
        a = f["agreement"]
        lines += [
            "",
            f"{field}: macro-F1 {f['macro_f1']:.3f}, accuracy {f['accuracy']:.3f}, calibration error {f['calibration_error']:.3f}"
            f"  |  two passes on {a['messages']} messages: agreement {a['agreement']:.3f}, kappa {a['kappa']:.3f}, macro-F1 {a['macro_f1']:.3f}",
            *(f"  {n:<14} F1 {v['f1']:.3f}   {v['messages']:>5} messages" for n, v in f["labels"].items()),
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
