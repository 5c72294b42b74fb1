"""Can the voice score tell a person's own messages from the plain answers they got, and can Burrows's Delta?

    uv run python benchmarks/voice_score.py [EXPORT] [--scale 0.3] [--json]

Without EXPORT one is built of real public conversations with ../shared/data/build_export.py: of many people, so the "voice"
is that of people against an assistant. Each figure is a share of own messages of 15 words and more (answers too) that are
placed nearer to the persona's voice than the plain answer to them; one half is chance. Delta is measured against the
held-out messages, on the whole texts and on pieces of equal length; the score on the held-out conversations.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from innercouncil.app.discover import discover_personas
from innercouncil.app.findings import load_discovery
from innercouncil.app.labelling import read_labelled
from innercouncil.app.settings import Settings
from innercouncil.app.tune_messages import Limits, PersonaDrafts, read_drafts
from innercouncil.evaluation.voice import Delta
from innercouncil.evaluation.voice_score import Heard, VoiceScore
from innercouncil.store.workspace import Workspace
from innercouncil.tuning.dataset import Draft, plain_answer
from public_data import build

WORDS = 15
PIECE = 60
MOST = 80


class Quiet:
    """Watches without a word."""

    def stage(self, title: str, *, done: bool):
        return lambda _done, _total: None


def pairs(drafts: Sequence[Draft], messages: dict) -> list[Heard]:
    """Own messages and the answers they got, both long enough to be judged."""
    found = [Heard(d.conversation, d.text, plain_answer(messages[d.source])) for d in drafts if d.kind == "own"]
    return [h for h in found if len(h.own.split()) >= WORDS and len(h.plain.split()) >= WORDS]


def pieces(text: str, n: int) -> list[str]:
    """Pieces of n words."""
    words = text.split()
    return [" ".join(words[i : i + n]) for i in range(0, len(words) - n + 1, n)]


def delta_shares(heard: Sequence[Heard], delta: Delta, voice: str) -> tuple[float, float]:
    """Share of own messages nearer to `voice`: whole texts, and pieces of equal length."""

    def mean(text: str, n: int) -> float:
        return float(np.mean([delta.between(p, voice) for p in pieces(text, n)]))

    whole = [delta.between(h.own, voice) < delta.between(h.plain, voice) for h in heard]
    lengths = [min(len(h.own.split()), len(h.plain.split()), PIECE) for h in heard]
    equal = [mean(h.own, n) < mean(h.plain, n) for h, n in zip(heard, lengths, strict=True)]
    return float(np.mean(whole)), float(np.mean(equal))


def measure(p: PersonaDrafts, messages: dict, delta: Delta) -> dict | None:
    """The three figures of a persona."""
    train, held = (pairs(half, messages) for half in p.drafts.halves)
    if len(held) < 5 or len(train) < 20:
        return None
    voice = " \n".join(d.text for d in p.drafts.halves.eval if d.kind == "own")
    whole, equal = delta_shares(train[:MOST], delta, voice)
    every = [
        Heard(d.conversation, d.text, plain_answer(messages[d.source]))
        for d in p.drafts.halves.train
        if d.kind == "own"
    ]
    told = VoiceScore(every).told(held)
    return {"persona": p.slug, "messages": len(train[:MOST]), "delta": whole, "delta_equal": equal, "held_out": len(held), "score": told}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("export", nargs="?", type=Path)
    parser.add_argument("--scale", type=float, default=0.3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        export = args.export
        if export is None:
            export = Path(folder) / "conversations.json"
            build("mix", export, "--scale", args.scale)
        ws = Workspace(Path(folder) / "data")
        discover_personas(export, ws, Settings(), Quiet())
        discovery = load_discovery(ws)
        hand = {p.slug: {} for p in discovery.personas}
        found = read_drafts(ws, discovery, {}, hand, Limits(), lambda text, _id: text, lambda _done, _total: None)
        messages = {m.id: m for m in read_labelled(ws.categorized_messages)}
        documents: dict[str, str] = {}
        for m in messages.values():
            documents[m.conversation_id] = f"{documents.get(m.conversation_id, '')} \n{m.voice}"[:2000]
        delta = Delta(list(documents.values()))
        rows = [r for p in found if (r := measure(p, messages, delta))]
    if args.json:
        print(json.dumps(rows, indent=2))
        return
    print("persona              messages  Delta  Delta, equal length   held out  voice score")
    for r in rows:
        print(f"{r['persona']:<22}{r['messages']:>6}{r['delta']:>8.0%}{r['delta_equal']:>16.0%}{r['held_out']:>15}{r['score']:>12.0%}")  # fmt: skip


if __name__ == "__main__":
    main()
