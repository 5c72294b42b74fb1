"""Does a model better the labels? Measured on the hand-made ones, against the offline labeller on conversations it never saw.

    uv run python benchmarks/model_labels.py --llm ollama --llm-model qwen2.5:7b [--budget 1000]
    uv run python benchmarks/model_labels.py --judge 0.5 --judge 0.7 --judge 0.9

The messages are those of training/labels.tsv, the offline labels and their confidence come from folds of whole conversations.
The model is asked as `discover --llm` asks: the least sure first, near-duplicates once, and up to 40 sure ones to see how far
it can be believed. `--judge P` is no model: it knows the right labels and gives each with probability P, else another one by
lot; so it shows what the merging makes of a model that is right so often. The difference is in balanced accuracy (mean recall
of the labels), paired, with a 95% interval over conversations.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from scipy.special import softmax
from sklearn.metrics import f1_score

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import train_labeller as training  # noqa: E402
from innercouncil.app.helper_model import HelperModel, model_name  # noqa: E402
from innercouncil.discovery.model_labels import (  # noqa: E402
    FIELDS,
    MODEL_TRUST,
    Labels,
    Question,
    ask,
    choose,
    choose_checks,
    estimate,
    measure_trust,
    merge_labels,
)
from innercouncil.discovery.redaction import Redactor  # noqa: E402
from innercouncil.evaluation.attribution import Marks, difference  # noqa: E402
from innercouncil.model.labels import LabelledMessage  # noqa: E402
from innercouncil.store.workspace import Workspace  # noqa: E402

SECOND = 2000
"""Characters of the message before and after that are kept, as in an export."""


class Gold(NamedTuple):
    """Messages with their offline labels, and the right ones."""

    messages: list[LabelledMessage]
    truth: list[Labels]


def gold(texts: Path, folds: int) -> Gold:
    """The hand-labelled messages as the label stage would leave them, had it never seen their conversations."""
    table = [r for r in training.read_labels(training.LABELS) if r["pass"] == "1"]
    inputs = training.inputs_of(texts)
    keys = [(r["conversation"], int(r["turn"])) for r in table]
    labels = {f: [training.MERGE[f].get(r[f], r[f]) for r in table] for f in FIELDS}
    material = training.Material(
        [training.extract(inputs[k]) for k in keys], [training.extract(training.bare(inputs[k])) for k in keys], labels,
        *training.read_phrases(training.PHRASES),
    )  # fmt: skip
    logits = training.held_out(material, [k[0] for k in keys], folds)
    chosen: dict[str, list[tuple[str, float]]] = {}
    for field, y in labels.items():
        names = sorted(set(y))
        at = np.array([names.index(v) for v in y])
        p = softmax(logits[field] / training.temperature_of(logits[field], at), axis=1)
        chosen[field] = [(names[i], float(row[i])) for i, row in zip(p.argmax(axis=1), p, strict=True)]
    messages = []
    for n, key in enumerate(keys):
        shown = inputs[key]
        messages.append(LabelledMessage(
            id=f"{key[0]}#{key[1]}", conversation_id=key[0].rsplit("_", 1)[0], title="", position=key[1], time=None,
            branch="active", language=None, source="gold", text=f"{shown.voice}\n{shown.pasted}".strip(), context=shown.context[-SECOND:],
            reply=shown.reply[:SECOND], voice=shown.voice, pasted_chars=0, attachments=(), reasoning_markers={}, question_types=(),
            length_category="", evidence=(), confidence={f: round(chosen[f][n][1], 4) for f in FIELDS},
            **{f: chosen[f][n][0] for f in FIELDS},
        ))  # fmt: skip
    return Gold(messages, [{f: labels[f][n] for f in FIELDS} for n in range(len(keys))])


def judged(questions: list[Question], truth: list[Labels], right: float) -> dict[str, Labels | None]:
    """Answers of a judge that is right so often, the same at every run."""
    known: dict[str, Labels | None] = {}
    for q in questions:
        drawn = random.Random(q.shown.key)
        known[q.shown.key] = {
            f: truth[q.rows[0]][f] if drawn.random() < right else drawn.choice([v for v in FIELDS[f] if v != truth[q.rows[0]][f]])
            for f in FIELDS
        }  # fmt: skip
    return known


def asked(questions: list[Question], helper: HelperModel) -> dict[str, Labels | None]:
    """Answers of a real model; None where it gave no valid one twice."""
    known: dict[str, Labels | None] = {}
    if not helper.agrees(estimate(questions)):
        return known

    async def run() -> None:
        model = await helper.open()
        try:
            await ask(
                questions,
                model,
                keep=known.__setitem__,
                progress=lambda d, t: print(f"\r{d}/{t}", end="", file=sys.stderr),
            )
        finally:
            await helper.close()

    asyncio.run(run())
    return known


def compare(
    g: Gold, questions: list[Question], checks: list[Question], known: dict[str, Labels | None]
) -> dict[str, Any]:
    """Offline, the model alone on what it was asked, and both together."""
    trust = measure_trust(g.messages, checks, known)
    merged = list(g.messages)
    for q in questions:
        if said := known.get(q.shown.key):
            for row in q.rows:
                merged[row] = merge_labels(merged[row], said, "model", trust)
    answered = [(row, said) for q in questions if (said := known.get(q.shown.key)) for row in q.rows]
    _, conversations = np.unique([m.conversation_id for m in g.messages], return_inverse=True)
    fields = {}
    for field, names in FIELDS.items():
        y = [t[field] for t in g.truth]
        before, after = [getattr(m, field) for m in g.messages], [getattr(m, field) for m in merged]
        codes = np.array([names.index(v) for v in y])
        both = [
            Marks(codes, conversations, np.array([a == b for a, b in zip(x, y, strict=True)], dtype=float))
            for x in (after, before)
        ]
        d = difference(field, *both)
        fields[field] = {
            "offline_f1": round(f1_score(y, before, average="macro"), 4), "merged_f1": round(f1_score(y, after, average="macro"), 4),
            "trust": round(trust[field], 3),
            "right_where_asked": round(float(np.mean([said[field] == y[row] for row, said in answered])), 4) if answered else None,
            "offline_where_asked": round(float(np.mean([before[row] == y[row] for row, _ in answered])), 4) if answered else None,
            "gain": d.value, "low": d.low, "high": d.high,
        }  # fmt: skip
    return {
        "asked": len(questions),
        "answered": len({r for r, _ in answered}),
        "messages": len(g.messages),
        "fields": fields,
    }


def as_text(name: str, found: dict[str, Any]) -> str:
    """A few lines for people."""
    lines = [f"{name}: {found['answered']} of {found['messages']} messages answered"]
    for field, f in found["fields"].items():
        verdict = "better" if f["low"] > 0 else "worse" if f["high"] < 0 else "no difference shown"
        lines.append(
            f"  {field:<15} macro-F1 {f['offline_f1']:.3f} offline, {f['merged_f1']:.3f} together; where asked right "
            f"{f['offline_where_asked'] or 0:.0%} offline, {f['right_where_asked'] or 0:.0%} the model; trust {f['trust']:.2f}; "
            f"balanced accuracy {100 * f['gain']:+.1f} points ({100 * f['low']:+.1f} to {100 * f['high']:+.1f}): {verdict}"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, default=ROOT.parent / "shared" / "data" / "sharegpt_dev.jsonl.gz")
    parser.add_argument("--judge", type=float, action="append", default=[], metavar="P")
    parser.add_argument("--llm", metavar="WHERE")
    parser.add_argument("--llm-model", metavar="NAME")
    parser.add_argument("--budget", type=int, default=1000)
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if not args.texts.exists():
        print(f"{args.texts} is not there: give the conversations with --texts.", file=sys.stderr)
        return 1
    if not args.llm and not args.judge:
        parser.error("name a model with --llm, or give --judge P")
    g = gold(args.texts, args.folds)
    found: dict[str, Any] = {}
    for right in args.judge:
        questions, checks = choose(g.messages, budget=args.budget), choose_checks(g.messages)
        found[f"judge {right}"] = compare(g, questions, checks, judged([*checks, *questions], g.truth, right))
    if args.llm:
        with tempfile.TemporaryDirectory() as folder:
            name = model_name(args.llm, args.llm_model)
            helper = HelperModel(
                Workspace(Path(folder)), name, agrees=lambda offer: print(offer.told(), file=sys.stderr) is None
            )
            redact = Redactor().redact if helper.remote else None
            questions = choose(g.messages, budget=args.budget, redact=redact)
            checks = choose_checks(g.messages, redact=redact)
            every = list({q.shown.key: q for q in [*checks, *questions]}.values())
            try:
                found[helper.label] = compare(g, questions, checks, asked(every, helper))
            finally:
                helper.release()
    if args.json:
        print(json.dumps(msgspec.to_builtins(found) | {"most_trust": MODEL_TRUST}, indent=2))
    else:
        print("\n".join(as_text(name, f) for name, f in found.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
