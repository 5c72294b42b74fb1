"""Simulated voters with known strengths and biases, and what the ratings make of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from innercouncil.model.ratings import Judgement


class World(NamedTuple):
    """Voters as they are simulated: Plackett-Luce rankings, so that the truth of every pair is known exactly."""

    strengths: Sequence[float]
    questions: int
    voters: Literal["person", "models"] = "models"
    together: float = 0.5
    """Share of votes that repeat what one mind would say on the question; the rest are drawn afresh."""
    length: float = 0.0
    """Log-odds a doubling of length."""
    formatting: float = 0.0
    """Log-odds from plain to fully marked."""
    position: float = 0.0
    """Log-odds of being shown first."""
    own: float = 0.0
    """Log-odds of being the judge's own; any but 0 lets own answers in."""
    experiment: bool = False
    """Own answers are let in."""
    tie: float | None = None
    """Log-odds of a tie between equals (Davidson); the person then compares two answers at a time."""
    topic: str = ""


def vote(world: World, rng: np.random.Generator) -> list[Judgement]:
    """One run of the world."""
    k = len(world.strengths)
    slugs = [f"p{i}" for i in range(k)]
    out: list[Judgement] = []
    for q in range(world.questions):
        doublings = rng.normal(10, 0.8, k)
        marked = rng.uniform(0, 1, k)
        base = np.array(world.strengths) + world.length * doublings + world.formatting * marked
        common, circle = rng.gumbel(size=k), rng.permutation(k)
        lengths = dict(zip(slugs, (2.0**doublings).tolist(), strict=True))
        formatting = dict(zip(slugs, marked.tolist(), strict=True))
        for judge in [-1] if world.voters == "person" else range(k):
            shown = _shown(world, circle, judge, rng)
            utility = base + (common if rng.random() < world.together else rng.gumbel(size=k))
            utility[shown[0]] += world.position
            if judge >= 0:
                utility[judge] += world.own
            out.append(
                Judgement(
                    question=f"q{q}", topic=world.topic, board=world.voters, judge=slugs[judge] if judge >= 0 else "",
                    tiers=_tiers(world, slugs, shown, utility, rng), shown=tuple(slugs[i] for i in shown),
                    length=lengths, formatting=formatting,
                )
            )  # fmt: skip
    return out


def _shown(world: World, circle: np.ndarray, judge: int, rng: np.random.Generator) -> list[int]:
    if judge < 0:
        order = rng.permutation(len(circle)).tolist()
        return order[:2] if world.tie is not None else order
    at = circle.tolist().index(judge)
    turned = [*circle[at + 1 :].tolist(), *circle[:at].tolist()]
    if world.own or world.experiment:
        turned.insert(int(rng.integers(len(turned) + 1)), judge)
    return turned


def _tiers(
    world: World, slugs: Sequence[str], shown: Sequence[int], utility: np.ndarray, rng: np.random.Generator
) -> tuple[tuple[str, ...], ...]:
    best = sorted(shown, key=lambda i: -utility[i])
    if world.tie is not None:
        a, b = shown
        half = (world.strengths[a] - world.strengths[b] + world.position) / 2
        odds = np.array([np.exp(half), np.exp(-half), np.exp(world.tie)])
        said = rng.choice(3, p=odds / odds.sum())
        best = [a, b] if said == 0 else [b, a]
        if said == 2:
            return (tuple(slugs[i] for i in best),)
    return tuple((slugs[i],) for i in best)
