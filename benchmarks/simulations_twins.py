"""How often planted twins are found and planted non-twins cleared: simulated speakers of known distance.

A speaker draws words from a distribution of its own: a common one (Zipf over 400 made-up words, a tenth of them of the
question at hand), its logarithm moved by normal noise of a strength d that is the speaker's own. Twins share the noise;
d = 0.15 is a shade, d = 0.6 a voice of one's own. Nothing but the words tells speakers apart.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from innercouncil.evaluation.similarity import attribution, by_lot, of_pair, prepare, ratio, verdict
from innercouncil.model.similarity import Sample

WORDS, LENGTH = 400, 60


class Case(NamedTuple):
    """One pair of simulated speakers."""

    distance: float
    questions: int
    samples: int
    seed: int


def vocabulary(rng: np.random.Generator) -> list[str]:
    syllables = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
    return ["".join(rng.choice(syllables, rng.integers(1, 4))) for _ in range(WORDS)]


def speak(case: Case) -> list[Sample]:
    """Answers of two speakers, `a` and `b`, to the same questions."""
    rng = np.random.default_rng(case.seed)
    words = vocabulary(rng)
    common = -np.log(np.arange(1, WORDS + 1))
    voices = {who: common + case.distance * rng.standard_normal(WORDS) for who in "ab"}
    out = []
    for question in range(case.questions):
        topic = np.zeros(WORDS)
        topic[rng.choice(WORDS, WORDS // 10, replace=False)] = 2.0
        for who, voice in voices.items():
            p = np.exp(voice + topic)
            for _ in range(case.samples):
                said = rng.choice(words, int(rng.integers(LENGTH // 2, LENGTH * 3 // 2)), p=p / p.sum())
                out.append(Sample(persona=who, question=question, text=" ".join(said)))
    return out


def judged(case: Case) -> tuple[str, float, float]:
    """Verdict, ratio and attribution of one pair."""
    answers = of_pair(prepare(speak(case), ("a", "b")), 0, 1)
    apart, named = ratio(answers, case.seed), attribution(answers, case.seed)
    lots = by_lot(answers, case.seed) if apart is None else None
    return verdict(case.questions, apart, named, lots), apart.value if apart else 1.0, named.value


def _all_judged(cases: list[Case], processes: int) -> Iterator[tuple[str, float, float]]:
    if processes == 1:
        yield from map(judged, cases)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(judged, cases, chunksize=10)


def simulate(
    pairs: int = 500, distances: tuple[float, ...] = (0.0, 0.15, 0.3, 0.6), questions: int = 12, samples: int = 3,
    seed: int = 0, processes: int = 2, progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Rates of the verdicts over `pairs` pairs of speakers at each distance; 0 are planted twins."""
    rows = []
    for n, distance in enumerate(distances):
        cases = [Case(distance, questions, samples, 1_000_000 * n + seed + i) for i in range(pairs)]
        found = []
        for verdict_of_pair in _all_judged(cases, processes):
            found.append(verdict_of_pair)
            progress(n * pairs + len(found), len(distances) * pairs)
        count = Counter(v for v, _, _ in found)
        rows.append({
            "distance": distance, "questions": questions, "samples": samples, "pairs": pairs,
            **{name: round(count[name] / pairs, 4) for name in ("twins", "not sure", "distinct")},
            "ratio": round(float(np.mean([r for _, r, _ in found])), 3),
            "attribution": round(float(np.mean([a for _, _, a in found])), 3),
        })  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--questions", type=int, default=12)
    parser.add_argument("--samples", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = simulate(args.pairs, questions=args.questions, samples=args.samples)
    if args.json:
        print(json.dumps(rows, indent=2))
        return
    print(" | ".join(rows[0]))
    for row in rows:
        print(" | ".join(str(v) for v in row.values()))


if __name__ == "__main__":
    main()
