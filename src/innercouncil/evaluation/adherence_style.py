"""Counts of style: a persona's answers against the same model's without it, both measured by the person's own voice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from innercouncil.evaluation.adherence import halves, mean_over
from innercouncil.evaluation.similarity import estimated
from innercouncil.evaluation.voice import (
    Delta,
    function_word_match,
    has_function_words,
    question_rate,
    sentence_counts,
    sentence_length,
)
from innercouncil.model.adherence import StyleDrift, StyleMeasure, StyleName, StyleVerdict
from innercouncil.model.similarity import Estimated

MIN_QUESTIONS: Final = 5
"""With fewer questions there is no interval."""

FloatArray = npt.NDArray[np.float64]
Counts = Callable[[FloatArray], FloatArray]


class Voice(NamedTuple):
    """Held-out messages of a mode, and the spread of the person's frequent words where enough is known of it."""

    texts: Sequence[str]
    delta: Delta | None

    @property
    def counts(self) -> FloatArray:
        """Of all messages together."""
        return counts_of(self.texts)


def counts_of(texts: Sequence[str]) -> FloatArray:
    """`sentence_counts` of texts together."""
    return np.sum([sentence_counts(t) for t in texts], axis=0) if texts else sentence_counts("")


def style_measures(
    persona: Sequence[Sequence[str]], control: Sequence[Sequence[str]], voice: Voice | None
) -> tuple[StyleMeasure, ...]:
    """Every measure that can be taken; `persona[q]` and `control[q]` are the answers to question q."""
    both = [(a, b) for a, b in zip(persona, control, strict=True) if a and b]
    if not both:
        return ()
    mine, theirs = (np.stack([counts_of(side[n]) for side in both]) for n in (0, 1))
    out = []
    for name, of in _SIMPLE:
        heard = float(of(voice.counts)) if voice else None
        out.append(_measured(name, of, mine, theirs, heard, _towards(heard or 0.0)))
    if voice and has_function_words(voice.counts):
        out.append(_measured("function words", _matching(voice.counts), mine, theirs, None, lambda x: x, compared=True))
    if voice and voice.delta is not None:
        delta, words = voice.delta, voice.delta.counts(["\n".join(voice.texts)])[0]
        one, other = (np.stack([delta.counts(["\n".join(side[n])])[0] for side in both]) for n in (0, 1))
        apart = _measured(
            "frequent words", lambda c: delta.apart(c, words), one, other, None, np.negative, compared=True
        )
        out.append(apart)
    return tuple(out)


_SIMPLE: Final[tuple[tuple[StyleName, Counts], ...]] = (
    ("sentence length", sentence_length), ("question rate", question_rate),
)  # fmt: skip


def _towards(heard: float) -> Counts:
    return lambda values: -np.abs(values - heard)


def _matching(voice: FloatArray) -> Counts:
    return lambda counts: function_word_match(counts, voice)


def _measured(
    name: StyleName, of: Counts, mine: FloatArray, theirs: FloatArray, heard: float | None, nearness: Counts, *,
    compared: bool = False,
) -> StyleMeasure:  # fmt: skip
    """`nearness` of a value grows as it comes nearer to the voice; `compared`: the value is itself such a comparison."""

    def gain(rows: npt.NDArray[np.int_]) -> FloatArray:
        return np.asarray(nearness(of(mine[rows].sum(axis=-2))) - nearness(of(theirs[rows].sum(axis=-2))))

    gained = estimated(len(mine), gain, 0) if (compared or heard is not None) and len(mine) >= MIN_QUESTIONS else None
    return StyleMeasure(
        name=name, persona=round(float(of(mine.sum(axis=0))), 4), control=round(float(of(theirs.sum(axis=0))), 4),
        voice=None if heard is None else round(heard, 4), gain=gained,
        verdict=_verdict(gained, compared or heard is not None),
    )  # fmt: skip


def _verdict(gain: Estimated | None, heard: bool) -> StyleVerdict:
    if not heard:
        return "no voice"
    if gain is None or gain.low <= 0 <= gain.high:
        return "not sure"
    return "nearer" if gain.low > 0 else "farther"


def style_drift(talks: Sequence[Sequence[str]], turns: int, voice: Voice | None) -> tuple[StyleDrift, ...]:
    """Every measure early and late; `talks[c][t]` is what was said at turn t of conversation c. Empty for one conversation."""
    if len(talks) < 2:
        return ()
    sides = [np.stack([counts_of([talk[t] for t in half]) for talk in talks]) for half in halves(turns)]
    measures = list(_SIMPLE)
    if voice and has_function_words(voice.counts):
        measures.append(("function words", _matching(voice.counts)))
    out = []
    for name, of in measures:
        early, late = of(sides[0]), of(sides[1])
        change = mean_over(late - early)
        out.append(
            StyleDrift(name=name, early=round(float(early.mean()), 4), late=round(float(late.mean()), 4), change=change)
        )
    return tuple(out)
