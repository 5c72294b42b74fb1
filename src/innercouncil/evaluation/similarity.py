"""Are two personas two? Their answers to the same questions, compared with what each says when it is asked twice.

Two measures, because each misses what the other sees. The ratio of the mean distance between the two to the mean distance
within each one's own samples (the idea of PERMANOVA's pseudo-F: Anderson 2001, Austral Ecology 26:32) is 1 where sampling
alone accounts for the difference; it moves little when answers share most of their words. The attribution test (a
classifier two-sample test: Lopez-Paz & Oquab 2017, ICLR) lets a logistic regression on character n-grams, the usual
fingerprint in authorship attribution (Stamatatos 2013, J. Law & Policy 21:421), name the author of answers to questions it
did not see. Intervals resample whole questions: answers to one question are not independent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from innercouncil.model.similarity import Estimated, LinePair, Remedy, Sample, TwinVerdict

RESAMPLES: Final = 2000
FOLDS: Final = 5
MIN_QUESTIONS: Final = 5
"""With fewer questions there is no verdict."""
TELLABLE: Final = 0.7
"""Twins are told apart in fewer answers than this share, for sure; chance is one half."""
ALIKE_LINES: Final = 0.6
"""Cosine from which two lines of prompts say nearly the same."""
MERGE_FROM: Final = 0.6
SHARPEN_FROM: Final = 0.2
"""Shares of lines that say nearly the same, from which twins are merged, or their prompts sharpened."""
FEATURES: Final = 20_000
SHOWN_LINES: Final = 5

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int_]
Vectors = Callable[[Sequence[str]], npt.NDArray[Any]]
"""n texts as n rows of length one."""

_FENCE = re.compile(r"^\s*(?:```|~~~).*$", re.MULTILINE)
_HEADING = re.compile(r"^\s{0,3}#{1,6}\s.*$|^\s*\*\*[^*\n]+\*\*:?\s*$", re.MULTILINE)
_MARK = re.compile(r"^\s*(?:[-*+•]|\d+[.)]|>)\s+", re.MULTILINE)
_EMPHASIS = re.compile(r"[*_`|]+")


def plain(text: str) -> str:
    """A text without headings and formatting: personas that share a layout are not the same for it.

    >>> plain("## Plan\\n\\n1. **Measure** it\\n- then `stop`")
    'Measure it then stop'
    """
    for pattern in (_FENCE, _HEADING, _MARK, _EMPHASIS):
        text = pattern.sub("", text)
    return " ".join(text.split())


class Answers(NamedTuple):
    """Samples as arrays, row for row."""

    personas: IntArray
    questions: IntArray
    similarity: FloatArray
    """(n, n) cosines of words and character n-grams, or of an embedder's vectors."""
    letters: Any
    """(n, d) sparse: weighed character n-grams, what authors are told by."""


def prepare(samples: Sequence[Sample], slugs: Sequence[str], vectors: Vectors | None = None) -> Answers:
    """Samples ready to be compared; weights of n-grams are taken from all of them."""
    texts = [plain(s.text) or "(nothing)" for s in samples]
    number = {slug: n for n, slug in enumerate(slugs)}
    letters = _weighed("char_wb", (3, 5), texts)
    if vectors is not None:
        rows = np.asarray(vectors(texts), dtype=np.float64)
        similarity = rows @ rows.T
    else:
        words = _weighed("word", (1, 1), texts)
        similarity = ((words @ words.T).toarray() + (letters @ letters.T).toarray()) / 2
    return Answers(
        np.array([number[s.persona] for s in samples]), np.array([s.question for s in samples]), similarity, letters
    )


def _weighed(analyzer: str, ngrams: tuple[int, int], texts: Sequence[str]) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    pattern = r"(?u)\S+" if analyzer == "word" else None
    weigh = TfidfVectorizer(
        analyzer=analyzer, ngram_range=ngrams, token_pattern=pattern, sublinear_tf=True, max_features=FEATURES
    )
    return weigh.fit_transform(texts)


def of_pair(answers: Answers, one: int, other: int) -> Answers:
    """The answers of two personas to the questions both answered."""
    shared = set(answers.questions[answers.personas == one]) & set(answers.questions[answers.personas == other])
    rows = np.flatnonzero(np.isin(answers.personas, [one, other]) & np.isin(answers.questions, sorted(shared)))
    return Answers(
        answers.personas[rows], answers.questions[rows], answers.similarity[np.ix_(rows, rows)], answers.letters[rows]
    )


def ratio(pair: Answers, seed: int = 0) -> Estimated | None:
    """Mean distance between two personas over the mean distance within each, over questions with two samples of each.

    The distribution of samples being the same, both means have the same expectation, whatever the question.
    """
    found = []
    for question in np.unique(pair.questions):
        rows = np.flatnonzero(pair.questions == question)
        apart = 1 - pair.similarity[np.ix_(rows, rows)]
        who = pair.personas[rows]
        sides = [np.flatnonzero(who == p) for p in np.unique(who)]
        if len(sides) == 2 and min(map(len, sides)) >= 2:
            within = np.mean([apart[np.ix_(s, s)][np.triu_indices(len(s), 1)].mean() for s in sides])
            found.append((apart[np.ix_(*sides)].mean(), within))
    if not found:
        return None
    between, inside = np.array(found).T

    def of(at: IntArray) -> FloatArray:
        return np.asarray(between[at].mean(axis=-1) / np.maximum(inside[at].mean(axis=-1), 1e-9))

    return estimated(len(found), of, seed)


def attribution(answers: Answers, seed: int = 0) -> Estimated:
    """Share of answers whose author is named rightly, by a classifier that saw other questions; balanced over authors."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold

    groups = np.unique(answers.questions)
    right = np.zeros(len(answers.personas))
    for train, test in GroupKFold(min(FOLDS, len(groups))).split(answers.letters, groups=answers.questions):
        reader = LogisticRegression(C=10.0, class_weight="balanced", max_iter=200)
        reader.fit(answers.letters[train], answers.personas[train])
        right[test] = reader.predict(answers.letters[test]) == answers.personas[test]
    authors = np.unique(answers.personas)
    hits = np.zeros((len(groups), len(authors)))
    count = np.zeros_like(hits)
    at = (np.searchsorted(groups, answers.questions), np.searchsorted(authors, answers.personas))
    np.add.at(hits, at, right)
    np.add.at(count, at, 1.0)

    def of(rows: IntArray) -> FloatArray:
        return np.asarray((hits[rows].sum(axis=-2) / np.maximum(count[rows].sum(axis=-2), 1)).mean(axis=-1))

    return estimated(len(groups), of, seed)


def estimated(units: int, of: Callable[[IntArray], FloatArray], seed: int) -> Estimated:
    """A figure of `units` questions and its percentile interval over resampled ones, widened for their small number.

    The percentile interval of few units is too narrow by about the square root of (n - 1) / n and by what Student's t has
    over the normal (Hesterberg 2015, American Statistician 69:371): it is stretched by both.
    """
    from scipy import stats

    value = float(of(np.arange(units)))
    if units < 3:
        return Estimated(round(value, 4), -1.0, 9.0)
    draws = of(np.random.default_rng(seed).integers(0, units, (RESAMPLES, units)))
    low, high = np.percentile(draws, [2.5, 97.5])
    stretch = float(np.sqrt(units / (units - 1)) * stats.t.ppf(0.975, units - 1) / stats.norm.ppf(0.975))
    return Estimated(
        round(value, 4),
        round(value - stretch * (value - float(low)), 4),
        round(value + stretch * (float(high) - value), 4),
    )


def verdict(questions: int, apart: Estimated | None, named: Estimated) -> TwinVerdict:
    """Distinct: better than chance for sure, by both measures. Twins: by neither, and for sure seldom told apart."""
    if questions < MIN_QUESTIONS:
        return "not sure"
    further = apart is None or apart.low > 1
    if named.low > 0.5 and further:
        return "distinct"
    if named.low <= 0.5 and named.high < TELLABLE and (apart is None or apart.low <= 1):
        return "twins"
    return "not sure"


def lines_of(prompts: Sequence[str], names: Sequence[str] = ()) -> list[list[str]]:
    """The lines of each prompt that are its own to change: without headings, and without what all of three or more share.

    A persona's name is left out of its lines: with another name it would be the same line.
    """
    if names:
        prompts = [p.replace(name, "…") for p, name in zip(prompts, names, strict=True)]
    lines = [[line for line in map(plain, p.splitlines()) if len(line.split()) >= 2] for p in prompts]
    common = set.intersection(*map(set, lines)) if len(lines) >= 3 else set()
    return [[line for line in dict.fromkeys(own) if line not in common] for own in lines]


def alike_lines(one: Sequence[str], other: Sequence[str]) -> tuple[float, tuple[LinePair, ...]]:
    """Share of the lines of two prompts with a counterpart that says nearly the same, and the pairs, most alike first."""
    if not one or not other:
        return (1.0 if not one and not other else 0.0), ()
    words = _weighed("char_wb", (3, 5), [line.lower() for line in (*one, *other)])
    same = (words[: len(one)] @ words[len(one) :].T).toarray()
    near = [int((same.max(axis=axis) >= ALIKE_LINES).sum()) for axis in (0, 1)]
    pairs: list[LinePair] = []
    for at in np.argsort(-same, axis=None, kind="stable"):
        i, j = (int(x) for x in np.unravel_index(at, same.shape))
        if same[i, j] < ALIKE_LINES or len(pairs) == SHOWN_LINES:
            break
        if one[i] not in {p.one for p in pairs} and other[j] not in {p.other for p in pairs}:
            pairs.append(LinePair(one[i], other[j], round(min(float(same[i, j]), 1.0), 4)))
    return round(sum(near) / (len(one) + len(other)), 4), tuple(pairs)


def advise(one: str, other: str, found: TwinVerdict, overlap: float, same: Sequence[LinePair]) -> tuple[Remedy, str]:
    """What to do about two personas, in words; `one` and `other` are their names."""
    if found == "distinct":
        return "none", f"{one} and {other} are two: leave them as they are."
    if found == "not sure":
        return "ask more questions", (
            f"Whether {one} and {other} are two cannot be told from so few answers: ask more questions, or sample more often."
        )
    if overlap >= MERGE_FROM:
        return "merge", f"Merge {one} and {other}: they answer alike, and their prompts say nearly the same."
    if overlap >= SHARPEN_FROM:
        said = "; ".join(f"“{p.one}” and “{p.other}”" for p in same)
        return "sharpen", f"Sharpen {one} and {other}: these lines of the two prompts say nearly the same: {said}."
    return "train an adapter", (
        f"Train an adapter for {one} or {other}: their prompts differ, but the model answers both alike; prompts alone do not "
        "tell them apart."
    )


def share(hits: Iterable[bool]) -> Estimated:
    """A share with Wilson's interval (Wilson 1927, JASA 22:209)."""
    flags = list(hits)
    n, z = len(flags), 1.959964
    if not n:
        return Estimated(0.0, 0.0, 1.0)
    p = sum(flags) / n
    middle, half = (p + z * z / (2 * n)), z * float(np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)))
    scale = 1 + z * z / n
    return Estimated(
        round(p, 4), round(max(0.0, (middle - half) / scale), 4), round(min(1.0, (middle + half) / scale), 4)
    )


def pairs_of(slugs: Sequence[str]) -> list[tuple[int, int]]:
    """Every two of k personas, as numbers."""
    return list(combinations(range(len(slugs)), 2))
