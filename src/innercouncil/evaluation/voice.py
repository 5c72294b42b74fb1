"""How near generated answers come to the person's own words, and how far apart the personas' answers and prompts are.

Style is told by what people do not choose on purpose: function words, length, and the markers of their reasoning.
Burrows's Delta (Burrows 2002, Literary and Linguistic Computing 17:3) is the mean absolute difference of the z-scores of
the most frequent words' frequencies; the spread they are scored by is that between the person's own conversations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt

from innercouncil.model.quality import Style

FREQUENT: Final = 50
"""Most frequent words that are compared."""
DOCUMENT_WORDS: Final = 40
"""A conversation with fewer words of one's own says nothing about the spread."""
DOCUMENTS: Final = 5
_WORDS: Final = r"(?u)[^\W\d_]+(?:['’][^\W\d_]+)*"
_WORDS_AND_SIGNS: Final = r"(?u)[^\W\d_]+|[?!]"

Markers = Callable[[str], Mapping[str, int]]
FloatArray = npt.NDArray[np.float64]


class Delta:
    """Distances between texts in one person's most frequent words.

    `documents` are the person's words, one text a conversation. Raises ValueError where fewer than DOCUMENTS are long
    enough.
    """

    def __init__(self, documents: Sequence[str]) -> None:
        from sklearn.feature_extraction.text import CountVectorizer

        long = [d for d in documents if len(d.split()) >= DOCUMENT_WORDS]
        if len(long) < DOCUMENTS:
            raise ValueError(f"{len(long)} conversations of {DOCUMENT_WORDS} words or more, {DOCUMENTS} are needed")
        self._counter = CountVectorizer(token_pattern=_WORDS, max_features=FREQUENT)
        self._every = CountVectorizer(token_pattern=_WORDS).build_analyzer()
        self._counter.fit(long)
        rates = np.array([self._rates(d) for d in long])
        spread = rates.std(axis=0, ddof=1)
        self._spread = np.where(spread > 0, spread, 1.0)

    def _rates(self, text: str) -> FloatArray:
        counts = np.asarray(self._counter.transform([text]).toarray(), dtype=np.float64).ravel()
        return np.asarray(counts / max(len(self._every(text)), 1))

    def between(self, one: str, other: str) -> float:
        """Delta of two texts, 0 or more."""
        return float(np.mean(np.abs(self._rates(one) - self._rates(other)) / self._spread))


def style_of(
    answers: Sequence[Sequence[str]], voices: Sequence[Sequence[str]], delta: Delta, markers: Markers
) -> Style:
    """Style of each of k personas' answers against k held-out voices (texts of messages)."""
    from scipy.spatial.distance import jensenshannon

    said, heard = [" \n".join(a) for a in answers], [" \n".join(v) for v in voices]
    apart = np.array([[delta.between(a, v) for v in heard] for a in said])
    own = apart.diagonal()
    lengths = [
        float(np.median([len(x.split()) for x in a])) / max(float(np.median([len(x.split()) for x in v])), 1.0)
        for a, v in zip(answers, voices, strict=True)
    ]
    distances = []
    for a, v in zip(said, heard, strict=True):
        mine, theirs = markers(a), markers(v)
        names = sorted({*mine, *theirs})
        if not mine or not theirs:
            distances.append(0.0 if not mine and not theirs else 1.0)
            continue
        distances.append(
            float(jensenshannon([mine.get(n, 0) for n in names], [theirs.get(n, 0) for n in names], base=2))
        )
    return Style(
        delta=round(float(own.mean()), 4), nearest_own=round(float(_wins(apart).mean()), 4),
        length_ratio=round(float(np.mean(lengths)), 3), marker_distance=round(float(np.mean(distances)), 4),
        answers=sum(map(len, answers)),
    )  # fmt: skip


def _wins(apart: FloatArray) -> FloatArray:
    """Per row whether the diagonal is the least; equals share."""
    least = apart == apart.min(axis=1, keepdims=True)
    return np.asarray(least.diagonal() / least.sum(axis=1))


def prompt_distinctness(prompts: Sequence[str], among: Sequence[str]) -> float:
    """1 less the mean cosine similarity of two prompts; `among` are all texts the weights of words are taken from."""
    return _distinct([prompts], among)


def answer_distinctness(answers: Sequence[Sequence[str]], among: Sequence[str]) -> float:
    """The same over the answers of k personas to each question, the mean over the questions; `answers[persona][question]`."""
    return _distinct(list(zip(*answers, strict=True)), among)


def _distinct(groups: Sequence[Sequence[str]], among: Sequence[str]) -> float:
    from sklearn.feature_extraction.text import TfidfVectorizer

    weigh = TfidfVectorizer(token_pattern=_WORDS_AND_SIGNS, sublinear_tf=True)
    try:
        weigh.fit(among)
    except ValueError:  # not a word anywhere
        return 0.0
    found = []
    for texts in groups:
        rows = weigh.transform(texts)
        same = (rows @ rows.T).toarray()
        for i, j in combinations(range(len(texts)), 2):
            both_empty = not rows[i].nnz and not rows[j].nnz
            found.append(0.0 if both_empty or texts[i] == texts[j] else 1 - float(same[i, j]))
    return round(float(np.mean(found)), 4) if found else 0.0
