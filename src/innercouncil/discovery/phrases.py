"""Phrases a person uses more in one mode than in the others.

Contrast is the log-odds ratio with an informative Dirichlet prior (Monroe, Colaresi & Quinn 2008, "Fightin' Words",
Political Analysis 16:4), counted once per message; phrases must come from several conversations.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final, NamedTuple

_SENTENCE_RE: Final = re.compile(r"[.!?;:\n()\[\]\"“”|]+")
_WORD_RE: Final = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*|\d+|[^\s\w]")
MAX_WORDS: Final = 4
READ_CHARS: Final = 1200
"""Characters of a voice that are read for phrases."""
PRUNE_AT: Final = 1_500_000

FUNCTION_WORDS: Final = frozenset(
    """a an the and or but if of to in on at by for with from as is are was were be been being it its this that these those
    i me my mine you your yours we us our they them their he she his her him do does did done doing have has had having not no
    so than then there here what which who whom whose when where why how can could will would shall should may might must
    all any some each more most other such only own same too very just about into over under again also up out off down
    let's it's i'm i'd i'll i've that's don't doesn't isn't can't please""".split()  # noqa: SIM905
)


class Contrast(NamedTuple):
    """A phrase of one group: `z` is the standardised log-odds, `lift` the smoothed ratio of message shares."""

    text: str
    messages: int
    conversations: int
    lift: float
    z: float


def grams_of(voice: str) -> set[str]:
    """Distinct phrases of one to four words of a voice, lower case, within sentences, without numbers."""
    grams: set[str] = set()
    for sentence in _SENTENCE_RE.split(voice[:READ_CHARS].lower().replace("’", "'")):
        words = _WORD_RE.findall(sentence)
        good = [w[0].isalpha() for w in words]
        for i in range(len(words)):
            if not good[i]:
                continue
            for n in range(1, MAX_WORDS + 1):
                if i + n > len(words) or not good[i + n - 1]:
                    break
                grams.add(" ".join(words[i : i + n]))
    return grams


class PhraseCounter:
    """Counts phrases per group over one pass; memory is bounded by dropping phrases seen once when there are too many."""

    def __init__(self, groups: int) -> None:
        self.messages = [0] * groups
        self._counts: list[Counter[str]] = [Counter() for _ in range(groups)]
        self._last: list[dict[str, int]] = [{} for _ in range(groups)]
        self._spread: list[Counter[str]] = [Counter() for _ in range(groups)]

    def add(self, group: int, conversation: int, voice: str) -> None:
        """Count the phrases of one message of `group`; messages of a conversation must come one after another."""
        self.messages[group] += 1
        counts, last, spread = self._counts[group], self._last[group], self._spread[group]
        for gram in grams_of(voice):
            counts[gram] += 1
            if last.get(gram) != conversation:
                last[gram] = conversation
                spread[gram] += 1
        if len(counts) > PRUNE_AT:
            rare = [g for g, n in counts.items() if n < 2]
            for gram in rare:
                del counts[gram], last[gram], spread[gram]

    def contrast(self, group: int, *, top: int, min_conversations: int = 3) -> list[Contrast]:
        """The phrases that set `group` apart, strongest first; one phrase stands for its own longer and shorter forms."""
        counts, spread = self._counts[group], self._spread[group]
        size = self.messages[group]
        rest_size = sum(self.messages) - size
        floor = max(3, math.ceil(0.004 * size))
        found: list[Contrast] = []
        for gram, n in counts.items():
            if n < floor or spread[gram] < min_conversations:
                continue
            rest = sum(c[gram] for g, c in enumerate(self._counts) if g != group)
            prior = (n + rest) / (size + rest_size)
            weight = 20.0
            a, b = n + weight * prior, rest + weight * prior
            log_odds = math.log(a / (size + weight - a + 0.5)) - math.log(b / (rest_size + weight - b + 0.5))
            z = log_odds / math.sqrt(1 / a + 1 / b)
            lift = ((n + 0.5) / (size + 1)) / ((rest + 0.5) / (rest_size + 1))
            if z > 1.64 and lift > 1.2:
                found.append(Contrast(gram, n, spread[gram], lift, z))
        found.sort(key=lambda c: (-c.z * (1 + 0.15 * c.text.count(" ")), c.text))
        return _distinct(found, top)


def _distinct(found: Sequence[Contrast], top: int) -> list[Contrast]:
    """Drop phrases that overlap in words with a stronger one, and those of function words alone of fewer than three words."""
    kept: list[Contrast] = []
    heads: dict[str, list[set[str]]] = defaultdict(list)
    for c in found:
        words = c.text.split()
        content = [w for w in words if w not in FUNCTION_WORDS]
        if (not content and len(words) < 3) or (len(words) == 1 and len(words[0]) < 3):
            continue
        key = set(words)
        if any(key & other and (key <= other or other <= key) for w in key for other in heads[w]):
            continue
        for w in key:
            heads[w].append(key)
        kept.append(c)
        if len(kept) == top:
            break
    return kept
