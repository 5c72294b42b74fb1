"""Are two personas two? Their answers to the same questions, compared with what each says when it is asked twice.

Two measures, because each misses what the other sees. The ratio of the mean distance between the two to the mean distance
within each one's own samples (the idea of PERMANOVA's pseudo-F: Anderson 2001, Austral Ecology 26:32) is 1 where sampling
alone accounts for the difference; it moves little when answers share most of their words. The attribution test (a
classifier two-sample test: Lopez-Paz & Oquab 2017, ICLR) lets a logistic regression on character n-grams, the usual
fingerprint in authorship attribution (Stamatatos 2013, J. Law & Policy 21:421), name the author of answers to questions it
did not see. Intervals resample whole questions: answers to one question are not independent. Nor are answers that were
drawn with the same random numbers, as those of one seat in all sessions with one seed are: a model that heeds nothing says
the same in all of them, and its seat is told from any other without fail. So questions that share a draw are one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations, product
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from innercouncil.model.similarity import Estimated, LinePair, Remedy, Sample, TwinVerdict

RESAMPLES: Final = 2000
SWAPS: Final = 4999
EXACT_UNITS: Final = 12
"""Up to so many independent questions all ways to swap are counted."""
FOLDS: Final = 5
MIN_QUESTIONS: Final = 5
"""With fewer independent questions there is no verdict."""
BY_LOT: Final = 0.01
"""Without a ratio voices are two only where lots would give such a difference more seldom than this; there are many pairs."""
TELLABLE: Final = 0.7
"""Twins are told apart in fewer answers than this share, for sure; chance is one half."""
ALIKE_LINES: Final = 0.6
"""Cosine from which two lines of prompts say nearly the same."""
MERGE_FROM: Final = 0.6
SHARPEN_FROM: Final = 0.2
"""Shares of lines that say nearly the same, from which twins are merged, or their prompts sharpened."""
FEATURES: Final = 20_000
SHOWN_LINES: Final = 5
ALL_PAIRS: Final = 8
NEAREST: Final = 6
"""Up to ALL_PAIRS personas each is compared with each; of more, each with the NEAREST ones: the number of all pairs grows with
the square, and twins are near."""
ALL_ANSWERS: Final = 2000
"""So many answers at most tell how well all authors are told apart: the interval is then 2 points wide to each side."""

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
    draws: IntArray
    """Answers with the same number were drawn with the same random numbers."""
    rows: Any
    """(n, d) weighed words and character n-grams, sparse, or an embedder's vectors: of length one."""
    letters: Any
    """(n, d) sparse: weighed character n-grams, what authors are told by."""

    def at(self, rows: IntArray) -> Answers:
        """Some of the answers."""
        return Answers(*(column[rows] for column in self))

    def similarity(self) -> FloatArray:
        """(n, n) cosines: for the answers of a pair, not for all of them."""
        found = self.rows @ self.rows.T
        return np.asarray(found.toarray() if hasattr(found, "toarray") else found)


def prepare(samples: Sequence[Sample], slugs: Sequence[str], vectors: Vectors | None = None) -> Answers:
    """Samples ready to be compared; weights of n-grams are taken from all of them."""
    from scipy.sparse import hstack

    texts = [plain(s.text) or "(nothing)" for s in samples]
    number = {slug: n for n, slug in enumerate(slugs)}
    draws = {key: n for n, key in enumerate(dict.fromkeys(s.draw or i for i, s in enumerate(samples)))}
    letters = _weighed("char_wb", (3, 5), texts)
    if vectors is not None:
        rows = np.asarray(vectors(texts), dtype=np.float64)
    else:
        rows = hstack([_weighed("word", (1, 1), texts), letters], format="csr") / np.sqrt(2)
    return Answers(
        np.array([number[s.persona] for s in samples]), np.array([s.question for s in samples]),
        np.array([draws[s.draw or i] for i, s in enumerate(samples)]), rows, letters,
    )  # fmt: skip


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
    return answers.at(rows)


def independent(answers: Answers) -> IntArray:
    """For each answer the number, from 0, of its group of questions: no two groups share random numbers."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    asked = np.unique(answers.questions, return_inverse=True)[1]
    drawn = np.unique(answers.draws, return_inverse=True)[1] + asked.max(initial=-1) + 1
    size = int(drawn.max(initial=-1)) + 1
    links = coo_array((np.ones(len(asked)), (asked, drawn)), shape=(size, size))
    groups = connected_components(links, directed=False)[1][asked]
    return np.asarray(np.unique(groups, return_inverse=True)[1])


def ratio(pair: Answers, seed: int = 0) -> Estimated | None:
    """Mean distance between two personas over the mean distance within each, over questions with two samples of each.

    The distribution of samples being the same, both means have the same expectation, whatever the question.
    """
    found, group, groups, similarity = [], [], independent(pair), pair.similarity()
    for question in np.unique(pair.questions):
        rows = np.flatnonzero(pair.questions == question)
        apart = 1 - similarity[np.ix_(rows, rows)]
        who = pair.personas[rows]
        sides = [np.flatnonzero(who == p) for p in np.unique(who)]
        if len(sides) == 2 and min(map(len, sides)) >= 2:
            within = np.mean([apart[np.ix_(s, s)][np.triu_indices(len(s), 1)].mean() for s in sides])
            found.append((apart[np.ix_(*sides)].mean(), within))
            group.append(groups[rows[0]])
    if not found:
        return None
    kept, at_group = np.unique(group, return_inverse=True)
    between, inside = (np.bincount(at_group, column) for column in np.array(found).T)

    def of(at: IntArray) -> FloatArray:
        return np.asarray(between[at].sum(axis=-1) / np.maximum(inside[at].sum(axis=-1), 1e-9))

    return estimated(len(kept), of, seed)


def attribution(answers: Answers, seed: int = 0) -> Estimated:
    """Share of answers whose author is named rightly, by a classifier that saw other questions; balanced over authors.

    Chance, and anything from 0 to 1, where all questions hang together by their random numbers.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold
    from sklearn.multiclass import OneVsRestClassifier

    group = independent(answers)
    groups = np.unique(group)
    if len(groups) < 2:
        return Estimated(round(1 / len(np.unique(answers.personas)), 4), 0.0, 1.0)
    right = np.zeros(len(answers.personas))
    # The dual of few answers with many n-grams is solved in a tenth of the time the primal takes.
    read = LogisticRegression(
        C=10.0, class_weight="balanced", solver="liblinear", dual=True, max_iter=1000, random_state=seed
    )
    for train, test in GroupKFold(min(FOLDS, len(groups))).split(answers.letters, groups=group):
        reader = OneVsRestClassifier(read)
        reader.fit(answers.letters[train], answers.personas[train])
        right[test] = reader.predict(answers.letters[test]) == answers.personas[test]
    authors = np.unique(answers.personas)
    hits = np.zeros((len(groups), len(authors)))
    count = np.zeros_like(hits)
    at = (group, np.searchsorted(authors, answers.personas))
    np.add.at(hits, at, right)
    np.add.at(count, at, 1.0)

    def of(rows: IntArray) -> FloatArray:
        return np.asarray((hits[rows].sum(axis=-2) / np.maximum(count[rows].sum(axis=-2), 1)).mean(axis=-1))

    return estimated(len(groups), of, seed)


def by_lot(pair: Answers, seed: int = 0) -> float:
    """The chance of two voices at least as far apart if whose answer is whose were drawn by lot for each question.

    The statistic is how much more alike answers of one persona to different questions are than those of two; the authors of
    a question are swapped, all of them together in questions that share random numbers. An exact test of "the two are one"
    (Pitman 1937, J. Royal Statistical Society Supplement 4:119), which the interval of the attribution is not: folds share
    what they learnt from.
    """
    group = independent(pair)
    units = int(group.max(initial=-1)) + 1
    if units < 2:
        return 1.0
    side = np.unique(pair.personas, return_inverse=True)[1]
    cell = np.unique(np.stack([pair.questions, side]), axis=1, return_inverse=True)[1].ravel()
    weight = (1.0 - 2.0 * side) / np.bincount(cell)[cell]
    member = np.zeros((units, len(group)))
    member[group, np.arange(len(group))] = weight
    kernel = member @ pair.similarity() @ member.T
    np.fill_diagonal(kernel, 0)
    if exact := units <= EXACT_UNITS:
        signs = np.array([(1, *rest) for rest in product((1, -1), repeat=units - 1)], dtype=float)
    else:
        signs = np.random.default_rng(seed).choice((1.0, -1.0), (SWAPS, units))
    drawn = np.einsum("ij,jk,ik->i", signs, kernel, signs, optimize=True)
    reached = int((drawn >= kernel.sum() - 1e-9).sum())
    return reached / len(drawn) if exact else (1 + reached) / (1 + SWAPS)


def estimated(units: int, of: Callable[[IntArray], FloatArray], seed: int) -> Estimated:
    """A figure of `units` questions and its percentile interval over resampled ones, widened for their small number."""
    value = float(of(np.arange(units)))
    if units < 3:
        return Estimated(round(value, 4), -1.0, 9.0)
    draws = of(np.random.default_rng(seed).integers(0, units, (RESAMPLES, units)))
    low, high = np.percentile(draws, [2.5, 97.5])
    wider = stretch(units)
    return Estimated(
        round(value, 4), round(value - wider * (value - float(low)), 4), round(value + wider * (float(high) - value), 4)
    )


def stretch(units: int) -> float:
    """What a percentile interval over two units or more is to be widened by.

    That of few units is too narrow by about the square root of (n - 1) / n and by what Student's t has over the normal
    (Hesterberg 2015, American Statistician 69:371).
    """
    from scipy import stats

    return float(np.sqrt(units / (units - 1)) * stats.t.ppf(0.975, units - 1) / stats.norm.ppf(0.975))


def verdict(questions: int, apart: Estimated | None, named: Estimated, swapped: float | None = None) -> TwinVerdict:
    """Distinct: better than chance for sure, by both measures. Twins: by neither, and for sure seldom told apart.

    `questions` are independent ones. Where nobody answered a question twice, `by_lot` takes the ratio's place.
    """
    if questions < MIN_QUESTIONS:
        return "not sure"
    further = apart.low > 1 if apart is not None else swapped is not None and swapped <= BY_LOT
    if named.low > 0.5 and further:
        return "distinct"
    if named.low <= 0.5 and named.high < TELLABLE and not further:
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


def pairs_of(answers: Answers, personas: int) -> list[tuple[int, int]]:
    """The pairs to compare, as numbers: all, or of more than ALL_PAIRS personas those whose answers are alike on the whole.

    Personas without answers are in no such pair.
    """
    if personas <= ALL_PAIRS:
        return list(combinations(range(personas), 2))
    from scipy.sparse import coo_array

    heard, row = np.unique(answers.personas, return_inverse=True)
    member = coo_array((np.ones(len(row)), (row, np.arange(len(row)))), shape=(len(heard), len(row))).tocsr()
    sums = member @ answers.rows
    near = np.asarray((sums @ sums.T).toarray() if hasattr(sums, "toarray") else sums @ sums.T)
    length = np.sqrt(np.maximum(np.diag(near), 1e-12))
    near = near / np.outer(length, length)
    np.fill_diagonal(near, -np.inf)
    nearest = np.argsort(-near, axis=1, kind="stable")[:, :NEAREST]
    found = {(min(int(i), int(j)), max(int(i), int(j))) for i, row in enumerate(nearest) for j in row if i != j}
    return sorted((int(heard[i]), int(heard[j])) for i, j in found)


def newest(answers: Answers, most: int = ALL_ANSWERS) -> Answers:
    """The answers to the first questions in the order they came in, whole questions, while there are at most so many."""
    questions, first, size = np.unique(answers.questions, return_index=True, return_counts=True)
    order = np.argsort(first)
    kept = questions[order][np.cumsum(size[order]) <= most]
    rows = np.flatnonzero(np.isin(answers.questions, kept)) if len(kept) else np.arange(len(answers.questions))
    return answers.at(rows)
