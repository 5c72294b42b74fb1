"""Turn messages into the sparse matrix the labeller reads: words, characters, and counts a person can read.

Views keep apart where a word was said: by the person (`w`), at the start of a sentence of theirs (`s`), in characters
(`c`), by the assistant before (`b`), in its answer (`r`), in pasted material (`p`), earlier in the conversation (`h`), and
anywhere at all (`a`, the view that lets a topic be told from a handful of training messages).
"""

from __future__ import annotations

import math
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from innercouncil.discovery.markers import MARKERS, QUESTION_TYPES, find_markers, find_questions

VIEWS: Final = ("w", "s", "c", "b", "r", "m", "p", "h", "a")
VOICE_CHARS: Final = 3000
"""A longer voice is read as its first two thirds and last third of this many characters."""
CHAR_CHARS: Final = 240
NEIGHBOUR_CHARS: Final = 700

_WORD_RE: Final = re.compile(r"[a-z0-9][a-z0-9+#']*|[^\W\d_]+|[?!]")
_SENTENCE_START_RE: Final = re.compile(r"(?:^|[.!?\n:;]\s*)[\W_]*([a-z']+)(?:\s+([a-z']+))?")
_URL_RE: Final = re.compile(r"https?://\S+|www\.\S+")
_BULLET_RE: Final = re.compile(r"^\s*(?:[-*•]|\d{1,2}[.)])\s", re.MULTILINE)
_EMOJI_RE: Final = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf]|[:;]-?[)(DP]")

COUNT_NAMES: Final = (
    "words", "chars", "lines", "questions", "exclamations", "capitals", "digits", "letters_not_ascii", "pasted_share",
    "pasted_chars", "first_message", "position", "has_context", "context_chars", "ends_colon", "ends_question",
    "ends_period", "starts_lower", "urls", "bullets", "emoji", "word_length", "reply_chars", "reply_code",
    "context_code", "context_question", "overlap_context",
    *(f"marker_{name}" for name in MARKERS), *(f"question_{name}" for name in QUESTION_TYPES),
)  # fmt: skip


class LabelInput(NamedTuple):
    """What the labeller may look at of one message; all texts may be empty."""

    voice: str
    pasted: str
    context: str
    reply: str
    history: str
    """The person's earlier messages of the conversation and its title, newest first, clipped."""
    position: int


class MessageFeatures(NamedTuple):
    """Token counts per view and the dense counts of one message (`counts` aligned with `COUNT_NAMES`)."""

    views: dict[str, Counter[str]]
    counts: list[float]
    lexicon: list[float]
    markers: Counter[str]
    questions: Counter[str]


def clip_voice(text: str) -> str:
    """The part of a long voice that is read: its beginning and its end."""
    if len(text) <= VOICE_CHARS:
        return text
    head = VOICE_CHARS * 2 // 3
    return text[:head] + "\n" + text[head - VOICE_CHARS :]


def words_of(text: str) -> list[str]:
    """Lower-case words of `text`, with `?` and `!` as words and every number as `0`."""
    return ["0" if w.isdigit() else w for w in _WORD_RE.findall(text.lower())]


def word_places(low: str) -> dict[str, tuple[int, int]]:
    """Where each word and each pair of neighbouring words of a lower-case text first stands: `(start, end)`."""
    places: dict[str, tuple[int, int]] = {}
    last, last_start = "", 0
    for match in _WORD_RE.finditer(low):
        word = "0" if match[0].isdigit() else match[0]
        places.setdefault(word, match.span())
        if last:
            places.setdefault(f"{last} {word}", (last_start, match.end()))
        last, last_start = word, match.start()
    return places


@cache
def lexicon_lists() -> tuple[tuple[str, frozenset[str], tuple[str, ...]], ...]:
    """The word lists of lexicon.toml as `(name, exact words, prefixes)`, in file order."""
    data = tomllib.loads(resources.files("innercouncil.discovery").joinpath("lexicon.toml").read_text("utf-8"))
    lists = []
    for name, table in data.items():
        entries = table["words"].split()
        prefixes = tuple(e[:-1] for e in entries if e.endswith("*"))
        lists.append((name, frozenset(e for e in entries if not e.endswith("*")), prefixes))
    return tuple(lists)


@cache
def _lists_of_word(word: str) -> tuple[int, ...]:
    return tuple(
        i for i, (_, exact, prefixes) in enumerate(lexicon_lists()) if word in exact or word.startswith(prefixes)
    )


def _lexicon_hits(words: Iterable[str]) -> list[float]:
    hits = [0.0] * len(lexicon_lists())
    for word, n in Counter(words).items():
        for i in _lists_of_word(word):
            hits[i] += min(n, 3)
    return hits


def extract(item: LabelInput) -> MessageFeatures:
    """Features of one message. Linear in its clipped length."""
    voice = clip_voice(item.voice)
    low = voice.lower()
    words = words_of(voice)
    pasted = words_of(item.pasted[:NEIGHBOUR_CHARS])
    before = words_of(item.context[-NEIGHBOUR_CHARS:])
    reply = words_of(item.reply[:NEIGHBOUR_CHARS])
    history = words_of(item.history[:NEIGHBOUR_CHARS])
    starts: Counter[str] = Counter()
    for match in _SENTENCE_START_RE.finditer(low):
        starts[match[1]] += 1
        if match[2]:
            starts[f"{match[1]} {match[2]}"] += 1
    if words:
        starts["^" + words[0]] += 1
        starts["^" + " ".join(words[:2])] += 1
        starts["$" + words[-1]] += 1
    squeezed = " " + " ".join(low[:CHAR_CHARS].split()) + " "
    chars = Counter(squeezed[i : i + n] for n in (3, 4) for i in range(len(squeezed) - n + 1))
    around: Counter[str] = Counter()
    for part in (words, pasted, before, reply, history):
        around.update(set(part))
    views = {
        "w": _counted(words, pairwise(words)),
        "s": starts,
        "c": chars,
        "b": _counted(before[-60:], pairwise(before[-8:])),
        "r": _with_opening(reply),
        "m": _shape(item, words),
        "p": Counter(pasted),
        "h": Counter(history),
        "a": around,
    }
    voice_hits = _lexicon_hits(words)
    around_hits = _lexicon_hits(pasted + before + reply + history)
    topics = [i for i, (name, _, _) in enumerate(lexicon_lists()) if name.startswith("topic_")]
    scale = 1.0 / math.sqrt(len(words) + 1)
    around_scale = 4.0 / math.sqrt(len(pasted) + len(before) + len(reply) + len(history) + 1)
    lexicon = [h * scale for h in voice_hits] + [around_hits[i] * around_scale for i in topics]
    markers = Counter([name for name, _, _ in find_markers(voice)])
    questions = Counter([name for name, _, _ in find_questions(voice)])
    counts = _counts(item, voice, words, before, markers, questions)
    return MessageFeatures(views, counts, lexicon, markers, questions)


def _counted(words: list[str], pairs: Iterable[tuple[str, str]]) -> Counter[str]:
    counts = Counter(words)
    counts.update([f"{a} {b}" for a, b in pairs])
    return counts


def _with_opening(words: list[str]) -> Counter[str]:
    """Words of an answer; how it begins is marked, for it tells what was asked ("you're welcome", "i apologize")."""
    counts = Counter(words)
    first = words[:14]
    counts.update([f"^{w}" for w in first])
    counts.update([f"^{a} {b}" for a, b in pairwise(first)])
    return counts


def _shape(item: LabelInput, words: list[str]) -> Counter[str]:
    """Coarse facts of the exchange joined with how the message begins, so that a linear model can weigh them together."""
    end = item.context.rstrip()[-1:]
    place = (
        "first" if not item.context else "cut" if end.isalnum() or end in ",(`" else "asked" if end == "?" else "done"
    )
    size = "tiny" if len(words) < 4 else "short" if len(words) < 12 else "mid" if len(words) < 50 else "long"
    paste = "paste" if len(item.pasted) > 200 else "own"
    reply = (
        "none" if not item.reply else "code" if "```" in item.reply else "list" if _BULLET_RE.search(item.reply)
        else "brief" if len(item.reply) < 200 else "prose"
    )  # fmt: skip
    head = words[0] if words else ""
    tokens = [place, size, paste, reply, f"{place} {size}", f"{size} {reply}", f"{place} {reply}", f"{paste} {reply}"]
    tokens += [f"{place} {head}", f"{size} {head}", f"{reply} {head}", f"{place} {size} {reply}"]
    return Counter(tokens + [f"{reply} {w}" for w in set(words[:30])])


def _counts(
    item: LabelInput, voice: str, words: list[str], before: list[str], markers: Counter[str], questions: Counter[str]
) -> list[float]:
    n, size, stripped = len(words), len(voice) or 1, voice.strip()
    letters = sum(map(str.isalpha, voice)) or 1
    pasted = len(item.pasted)
    per = 1.0 / math.sqrt(n + 1)
    before_set = set(before)
    return [
        math.log1p(n), math.log1p(len(item.voice)), math.log1p(voice.count("\n")), math.log1p(voice.count("?")),
        math.log1p(voice.count("!")), sum(map(str.isupper, voice)) / letters, sum(map(str.isdigit, voice)) / size,
        sum(c > "\x7f" for c in voice) / size, pasted / (pasted + len(item.voice) + 1), math.log1p(pasted),
        float(item.position == 0), math.log1p(item.position), float(bool(item.context)), math.log1p(len(item.context)),
        float(stripped.endswith(":")), float(stripped.endswith("?")), float(stripped.endswith((".", "!"))),
        float(stripped[:1].islower()), math.log1p(len(_URL_RE.findall(voice))), math.log1p(len(_BULLET_RE.findall(voice))),
        math.log1p(len(_EMOJI_RE.findall(voice))), sum(map(len, words)) / (n or 1), math.log1p(len(item.reply)),
        float("```" in item.reply), float("```" in item.context), float("?" in item.context[-200:]),
        sum(w in before_set for w in words) / (n or 1),
        *(markers[name] * per for name in MARKERS), *(math.log1p(questions[name]) for name in QUESTION_TYPES),
    ]  # fmt: skip


class FeatureSpace:
    """The vocabulary, inverse document frequencies and scaling of the counts; turns features into rows.

    Columns are the views in the order of `VIEWS`, then the counts, then the lexicon counts. Every view's row is
    scaled to unit Euclidean length (sublinear tf-idf), the counts to zero mean and unit variance over the training set.
    """

    def __init__(
        self,
        vocabulary: dict[str, dict[str, int]],
        idf: npt.NDArray[np.float32],
        mean: npt.NDArray[np.float32],
        scale: npt.NDArray[np.float32],
    ) -> None:
        self.vocabulary = vocabulary
        self.idf = idf
        self.mean = mean
        self.scale = scale
        self.n_sparse = len(idf)

    @classmethod
    def fit(cls, rows: Sequence[MessageFeatures], *, min_df: int = 2, max_terms: dict[str, int]) -> FeatureSpace:
        """Learn the space from training rows; ties in document frequency are broken by the term."""
        vocabulary: dict[str, dict[str, int]] = {}
        idf: list[float] = []
        for view in VIEWS:
            df: Counter[str] = Counter()
            for row in rows:
                df.update(row.views[view].keys())
            kept = sorted(((-n, t) for t, n in df.items() if n >= min_df))[: max_terms.get(view, 4000)]
            terms = sorted(t for _, t in kept)
            vocabulary[view] = {t: len(idf) + i for i, t in enumerate(terms)}
            idf += [math.log((1 + len(rows)) / (1 + df[t])) + 1 for t in terms]
        dense = np.array([r.counts + r.lexicon for r in rows], dtype=np.float32)
        scale = dense.std(axis=0)
        scale[scale < 1e-6] = 1.0
        return cls(vocabulary, np.array(idf, dtype=np.float32), dense.mean(axis=0), scale)

    def transform(self, rows: Sequence[MessageFeatures]) -> sparse.csr_matrix:
        """Rows of features as a float32 matrix of shape `(len(rows), n_features)`."""
        data: list[float] = []
        columns: list[int] = []
        ends = [0]
        idf = self.idf.tolist()
        for row in rows:
            for view in VIEWS:
                vocabulary = self.vocabulary[view]
                counts = row.views[view]
                known = [t for t in counts if t in vocabulary]
                if known:
                    found = [vocabulary[t] for t in known]
                    values = [
                        (1.0 if (n := counts[t]) == 1 else 1.0 + math.log(n)) * idf[j]
                        for t, j in zip(known, found, strict=True)
                    ]
                    norm = math.sqrt(sum([v * v for v in values]))
                    columns += found
                    data += [v / norm for v in values]
            ends.append(len(columns))
        words = sparse.csr_matrix(
            (np.array(data, dtype=np.float32), np.array(columns, dtype=np.int32), np.array(ends, dtype=np.int32)),
            shape=(len(rows), self.n_sparse),
        )
        dense = (
            np.array([r.counts + r.lexicon for r in rows], dtype=np.float32).reshape(len(rows), len(self.mean))
            - self.mean
        ) / self.scale
        np.clip(dense, -4, 4, out=dense)
        return sparse.hstack([words, sparse.csr_matrix(dense * np.float32(0.3))], format="csr")
