"""How near generated answers come to the person's own words, and how far apart the personas' answers and prompts are.

Style is told by what people do not choose on purpose: function words, length, and the markers of their reasoning.
Burrows's Delta (Burrows 2002, Literary and Linguistic Computing 17:3) is the mean absolute difference of the z-scores of
the most frequent words' frequencies; the spread they are scored by is that between the person's own conversations.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources
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

FUNCTION_SHARE: Final = 0.25
"""English is function words by half; with fewer than this a text is in another language, or a list of things."""
_WORD_RE: Final = re.compile(_WORDS)
_SENTENCE_END_RE: Final = re.compile(r"(?<=[.!?])[\"'”’)*_]*\s+|\n+")

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
        rates = _rates(self.counts(long))
        spread = rates.std(axis=0, ddof=1)
        self._spread = np.where(spread > 0, spread, 1.0)

    def counts(self, texts: Sequence[str]) -> FloatArray:
        """(n, FREQUENT + 1) how often n texts hold each frequent word, and their numbers of words; counts can be summed."""
        held = np.asarray(self._counter.transform(texts).toarray(), dtype=np.float64)
        return np.column_stack([held, [len(self._every(t)) for t in texts]])

    def apart(self, one: FloatArray, other: FloatArray) -> FloatArray:
        """Delta of two texts by their counts, over the last axis."""
        return np.asarray(np.mean(np.abs(_rates(one) - _rates(other)) / self._spread, axis=-1))

    def between(self, one: str, other: str) -> float:
        """Delta of two texts, 0 or more."""
        counts = self.counts([one, other])
        return float(self.apart(counts[0], counts[1]))


def _rates(counts: FloatArray) -> FloatArray:
    return np.asarray(counts[..., :-1] / np.maximum(counts[..., -1:], 1))


@cache
def _function_words() -> tuple[frozenset[str], ...]:
    text = resources.files(__package__).joinpath("function_words.toml").read_text("utf-8")
    return tuple(frozenset(words.split()) for words in tomllib.loads(text).values())


def sentence_counts(text: str) -> FloatArray:
    """Words, sentences and questions of a text, then its function words by category; counts can be summed.

    Sentences end at . ! ? and line ends; what holds no word is none.
    """
    words = [w.casefold().replace("’", "'") for w in _WORD_RE.findall(text)]
    pieces = [p for p in _SENTENCE_END_RE.split(text) if _WORD_RE.search(p)]
    asks = sum(p.rstrip(" \t\"'”’)*_").endswith("?") for p in pieces)
    return np.array(
        [len(words), len(pieces), asks, *(sum(w in c for w in words) for c in _function_words())], dtype=float
    )


def sentence_length(counts: FloatArray) -> FloatArray:
    """Words a sentence, by `sentence_counts` over the last axis."""
    return np.asarray(counts[..., 0] / np.maximum(counts[..., 1], 1))


def question_rate(counts: FloatArray) -> FloatArray:
    """Share of the sentences that are questions."""
    return np.asarray(counts[..., 2] / np.maximum(counts[..., 1], 1))


def function_word_match(one: FloatArray, other: FloatArray) -> FloatArray:
    """Language style matching, 0 to 1 (Ireland & Pennebaker 2010, JPSP 99:549): over nine categories of English function
    words the mean of 1 less the difference of the shares over their sum.
    """
    a, b = (c[..., 3:] / np.maximum(c[..., :1], 1) for c in (one, other))
    return np.asarray(np.mean(1 - np.abs(a - b) / (a + b + 1e-4), axis=-1))


def has_function_words(counts: FloatArray) -> bool:
    """Whether a text is English enough for its function words to say something."""
    return bool(counts[3:].sum() >= FUNCTION_SHARE * max(counts[0], 1))


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
