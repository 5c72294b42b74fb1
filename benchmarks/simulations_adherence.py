"""How often `evaluate adherence` is right: simulated personas, judges and conversations whose truth is known.

A persona says yes to each of six items with a probability of its own; questions (and follow-ups) are harder or easier by
normal noise of 0.7 on the log-odds, the same for persona and control; 15% of the marks do not apply; the judge turns one mark
in ten round. In conversations the probability falls from turn to turn by as much as is planted; every conversation has a log-
odds of its own (0.5) and its follow-ups in an order by lot.

    uv run python benchmarks/simulations_adherence.py [--json] [--simulations 2000]
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from typing import Any, NamedTuple

import numpy as np

from innercouncil.evaluation.adherence import Catch, Marks, compare, compare_items, drift, judge_of, verdict

ITEMS, HARDNESS, SEVERAL, APPLIES, WRONG = 6, 0.7, 0.5, 0.85, 0.1
FIRST_SEED = 5_000_000
"""Other seeds than any that the method was tried on."""


class Case(NamedTuple):
    """A persona's true adherence, the control's, and how many questions both are asked."""

    persona: float
    control: float
    questions: int
    samples: int = 1


class Talk(NamedTuple):
    """True adherence at the first follow-up and at the last one."""

    first: float
    last: float
    conversations: int
    turns: int = 8
    mood: float = 0.0
    """Spread (log-odds) of a state that lasts: seven tenths of it stay from one turn to the next."""


def _logit(p: float) -> float:
    return float(np.log(p / (1 - p)))


def marks_of(log_odds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Marks of answers (rows) on ITEMS items, as a judge that errs sees them."""
    yes = rng.random((len(log_odds), ITEMS)) < 1 / (1 + np.exp(-log_odds[:, None]))
    seen = np.where(rng.random(yes.shape) < WRONG, ~yes, yes).astype(float)
    return np.where(rng.random(yes.shape) < APPLIES, seen, np.nan)


def asked(case: Case, rng: np.random.Generator) -> tuple[Marks, Marks]:
    """Marks of the persona and of the control on the same questions."""
    units = np.repeat(np.arange(case.questions), case.samples)
    hard = rng.normal(0, HARDNESS, case.questions)[units]
    return (
        Marks(marks_of(_logit(case.persona) + hard, rng), units, np.zeros_like(units)),
        Marks(marks_of(_logit(case.control) + hard, rng), units, np.zeros_like(units)),
    )


def truth(case: Case) -> float:
    """The difference the judge would find over endless questions."""
    hard = np.random.default_rng(1).normal(0, HARDNESS, 1_000_000)
    apart = [np.mean(1 / (1 + np.exp(-_logit(p) - hard))) for p in (case.persona, case.control)]
    return float((apart[0] - apart[1]) * (1 - 2 * WRONG))


def talked(talk: Talk, rng: np.random.Generator) -> Marks:
    """Marks of conversations, the opening included."""
    hard = rng.normal(0, HARDNESS, talk.turns)
    path = np.linspace(_logit(talk.first), _logit(talk.last), talk.turns)
    rows = []
    for _ in range(talk.conversations):
        mood = np.empty(talk.turns)
        last = rng.normal()
        for t in range(talk.turns):
            last = mood[t] = 0.7 * last + np.sqrt(1 - 0.7**2) * rng.normal()
        said = path + rng.permutation(hard) + talk.mood * mood
        rows.append(np.concatenate([[_logit(talk.first)], said]) + rng.normal(0, SEVERAL))
    units = np.repeat(np.arange(talk.conversations), talk.turns + 1)
    turns = np.tile(np.arange(talk.turns + 1), talk.conversations)
    return Marks(marks_of(np.concatenate(rows), rng), units, turns)


def adherence(cases: tuple[Case, ...], simulations: int, seed: int) -> list[dict[str, Any]]:
    """Rates of the verdicts, and how often intervals of the difference hold the truth."""
    rows = []
    for n, case in enumerate(cases):
        true, found, inside, each = truth(case), Counter[str](), [], Counter[str]()
        each_inside = []
        for s in range(simulations):
            mine, theirs = asked(case, np.random.default_rng(seed + 1_000_000 * n + s))
            kept, control, difference = compare(mine, theirs, case.questions)
            found[verdict("P", kept, control, difference, case.questions)[0]] += 1
            inside.append(difference is not None and difference.low <= true <= difference.high)
            for held in compare_items(mine, theirs, case.questions):
                each[held.verdict] += 1
                each_inside.append(held.difference is not None and held.difference.low <= true <= held.difference.high)
        rows.append({
            "persona": case.persona, "control": case.control, "questions": case.questions, "simulations": simulations,
            "keeps": round(found["keeps"] / simulations, 4), "no better": round(found["no better"] / simulations, 4),
            "inside": round(float(np.mean(inside)), 4), "items apart": round(each["tells apart"] / each.total(), 4),
            "items below": round(each["below control"] / each.total(), 4),
            "items inside": round(float(np.mean(each_inside)), 4),
        })  # fmt: skip
    return rows


def drifting(talks: tuple[Talk, ...], simulations: int, seed: int) -> list[dict[str, Any]]:
    """Rates of the verdicts on conversations."""
    rows = []
    for n, talk in enumerate(talks):
        faded = [
            drift("P", talked(talk, np.random.default_rng(seed + 1_000_000 * n + s)), talk.conversations, talk.turns)
            for s in range(simulations)
        ]
        count = Counter(f.verdict for f in faded)
        changes = [f.change.value for f in faded if f.change]
        rows.append({
            "first": talk.first, "last": talk.last, "conversations": talk.conversations, "turns": talk.turns, "mood": talk.mood,
            "simulations": simulations, **{v: round(count[v] / simulations, 4) for v in ("fades", "not sure", "keeps")},
            "mean change": round(float(np.mean(changes)), 3),
        })  # fmt: skip
    return rows


def judges(calls: int, simulations: int, seed: int) -> list[dict[str, Any]]:
    """How often judges of known quality can be used: the chance that each says yes to what is so, and to what is not."""
    rows = []
    for name, on_yes, on_no in (
        ("good", 0.95, 0.05), ("fair", 0.8, 0.2), ("poor", 0.6, 0.4), ("says yes to everything", 1.0, 1.0),
        ("says no to everything", 0.0, 0.0), ("by lot", 0.5, 0.5),
    ):  # fmt: skip
        usable = 0
        for s in range(simulations):
            rng = np.random.default_rng(seed + s)
            kinds = rng.random(calls) < 0.5
            said = rng.random(calls) < np.where(kinds, on_yes, on_no)
            catches = [Catch(bool(k), bool(k == x)) for k, x in zip(kinds, said, strict=True)]
            usable += judge_of("J", 1, 1, catches, calls, 0).usable
        rows.append(
            {"judge": name, "calls": calls, "simulations": simulations, "usable": round(usable / simulations, 4)}
        )
    return rows


CASES = (
    Case(0.9, 0.3, 12), Case(0.7, 0.5, 12), Case(0.7, 0.5, 24), Case(0.6, 0.6, 12), Case(0.6, 0.6, 24), Case(0.95, 0.95, 12),
)  # fmt: skip
TALKS = tuple(
    Talk(first, last, conversations, mood=mood)
    for conversations in (3, 6)
    for first, last, mood in ((0.9, 0.9, 0.0), (0.6, 0.6, 0.0), (0.6, 0.6, 1.0), (0.9, 0.5, 0.0), (0.95, 0.2, 0.0))
)


def simulate(
    simulations: int = 2000, cases: tuple[Case, ...] = CASES, talks: tuple[Talk, ...] = TALKS, calls: int = 48,
    seed: int = FIRST_SEED,
) -> dict[str, list[dict[str, Any]]]:  # fmt: skip
    """All three tables."""
    return {
        "adherence": adherence(cases, simulations, seed), "drift": drifting(talks, simulations, seed),
        "judges": judges(calls, simulations, seed),
    }  # fmt: skip


def report(found: dict[str, list[dict[str, Any]]]) -> str:
    """The tables as Markdown."""
    shares = {"keeps", "no better", "inside", "items apart", "items below", "items inside", "fades", "not sure", "usable",
              "persona", "control", "first", "last"}  # fmt: skip
    parts = []
    for rows in found.values():
        names = [n for n in rows[0] if n != "simulations"]
        lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
        lines += ["| " + " | ".join(f"{r[n]:.1%}" if n in shares else str(r[n]) for n in names) + " |" for r in rows]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = simulate(args.simulations)
    print(json.dumps(found, indent=2) if args.json else report(found))


if __name__ == "__main__":
    main()
