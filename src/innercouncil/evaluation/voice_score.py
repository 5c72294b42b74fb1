"""Whether a text sounds more like the person than like an assistant: a classifier on character n-grams.

Burrows's Delta (voice.py) needs thousands of words; on single short texts it mostly measures their length. A logistic
regression on character n-grams, the usual fingerprint in authorship attribution (Stamatatos 2013, J. Law & Policy 21:421),
is trained on a persona's messages and on the plain answers they got. Formatting and question marks are taken out first:
that the person asks and the assistant lists would tell the two apart without any voice. How far the score can be believed
is told by conversations that it was not trained on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from innercouncil.evaluation.similarity import plain as without_formatting

FOLDS: Final = 3
MIN_PAIRS: Final = 12
"""Fewer messages tell nothing about a voice."""
MOST_PAIRS: Final = 400
MIN_HELD: Final = 3
TOLD: Final = 0.7
"""Share of held-out pairs that have to be told apart before the score may refuse anything; chance is one half."""
FEATURES: Final = 20_000
WORDS: Final = 30
"""Two texts are compared over as many first words as the shorter has, and at least so many."""


class Heard(NamedTuple):
    """A message of the person and the plain answer it got."""

    conversation: str
    own: str
    plain: str


class VoiceScore:
    """Log-odds that a text is the person's, by classifiers of which none has seen the conversation in question.

    Needs MIN_PAIRS pairs with a plain answer; raises ValueError with fewer.
    """

    def __init__(self, heard: Sequence[Heard]) -> None:
        pairs = [h for h in heard if h.plain.strip() and h.own.strip()][:MOST_PAIRS]
        if len(pairs) < MIN_PAIRS or len({_fold(p.conversation) for p in pairs}) < FOLDS:
            raise ValueError(f"{len(pairs)} messages with an answer, {MIN_PAIRS} are needed")
        self._readers = [_Reader([p for p in pairs if _fold(p.conversation) != fold]) for fold in range(FOLDS)]

    def gain(self, text: str, plain: str, conversation: str) -> float:
        """By how much the log-odds of `text` lie above those of `plain`."""
        n = max(WORDS, min(len(text.split()), len(plain.split())))
        return float(np.subtract(*self._readers[_fold(conversation)].log_odds([_cut(text, n), _cut(plain, n)])))

    def told(self, held_out: Sequence[Heard]) -> float | None:
        """Share of held-out pairs in which the person's message scores above the plain answer; None where there are too few."""
        pairs = [h for h in held_out if h.plain.strip() and h.own.strip()]
        if len(pairs) < MIN_HELD:
            return None
        return float(np.mean([self.gain(h.own, h.plain, h.conversation) > 0 for h in pairs]))


class _Reader:
    """One classifier."""

    def __init__(self, pairs: Sequence[Heard]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression

        n = int(np.median([len(p.own.split()) for p in pairs]))
        texts = [_bare(p.own) for p in pairs]
        texts += [_bare(_cut(p.plain, max(n, len(p.own.split())))) for p in pairs]
        self._grams: Any = TfidfVectorizer(
            analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, lowercase=False, max_features=FEATURES
        )
        self._model: Any = LogisticRegression(C=10.0, max_iter=500)
        self._model.fit(self._grams.fit_transform(texts), [1] * len(pairs) + [0] * len(pairs))

    def log_odds(self, texts: Sequence[str]) -> Any:
        return self._model.decision_function(self._grams.transform([_bare(t) for t in texts]))


def _bare(text: str) -> str:
    return without_formatting(text).replace("?", ".") or "."


def _cut(text: str, words: int) -> str:
    return " ".join(text.split()[:words])


def _fold(conversation: str) -> int:
    return hashlib.sha256(conversation.encode("utf-8", "replace")).digest()[0] % FOLDS
