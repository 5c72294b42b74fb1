"""Which worker a sentence of the final answer comes from, and what the synthesis added itself."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Final

from innercouncil.model.council import Source

CARRIED: Final = 0.5
"""Share of a sentence's content words that must stand close together in an answer for it to carry the sentence."""
_CITE_RE: Final = re.compile(
    r"[ \t]*(?<!\w)\[(?:(?:[Aa]nswers?|[Aa]ntworten?)\s+)?([A-H](?:\s*(?:,|;|&|and|und)\s*[A-H])*)\]"
)
_SENTENCE_RE: Final = re.compile(r"\S[^\n]*?(?:[.!?…]+(?:[\"')\]]|[ \t]*\[[A-Za-z ,;&]{1,24}\])*(?=\s|$)|(?=\n)|$)")
_WORD_RE: Final = re.compile(r"[^\W_]{2,}")
_COMMON: Final = frozenset(
    [
        "the",
        "a",
        "an",
        "and",
        "or",
        "but",
        "if",
        "of",
        "to",
        "in",
        "on",
        "at",
        "by",
        "for",
        "with",
        "from",
        "as",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "it",
        "its",
        "this",
        "that",
        "these",
        "those",
        "you",
        "your",
        "we",
        "our",
        "they",
        "their",
        "he",
        "she",
        "his",
        "her",
        "not",
        "no",
        "do",
        "does",
        "did",
        "can",
        "could",
        "will",
        "would",
        "should",
        "may",
        "might",
        "must",
        "have",
        "has",
        "had",
        "so",
        "than",
        "then",
        "there",
        "here",
        "what",
        "which",
        "who",
        "when",
        "where",
        "how",
        "why",
        "also",
        "more",
        "most",
        "some",
        "any",
        "all",
        "each",
        "into",
        "about",
        "over",
        "out",
        "up",
        "der",
        "die",
        "das",
        "und",
        "oder",
        "ein",
        "eine",
        "einer",
        "zu",
        "in",
        "im",
        "mit",
        "von",
        "für",
        "auf",
        "ist",
        "sind",
        "nicht",
        "es",
        "sie",
        "wir",
        "ihr",
        "auch",
        "als",
        "wie",
    ]
)


def sources_of(text: str, letters: Mapping[str, int], answers: Mapping[int, str]) -> tuple[str, tuple[Source, ...]]:
    """The synthesis without its citations, and where each of its sentences comes from.

    `letters`: what the synthesizer called each seat. A sentence belongs to the seats it cites and to those whose answer
    holds at least half of its content words within two neighbouring sentences.
    """
    passages = {seat: _passages(answer) for seat, answer in answers.items()}
    sources = []
    for match in _SENTENCE_RE.finditer(text):
        cited = {letters[c] for c in _cited(match.group()) if c in letters}
        sentence = strip_citations(match.group()).strip()
        words = _words(sentence)
        if not words:
            continue
        overlap = {seat: _overlap(words, found) for seat, found in passages.items()}
        carried = {seat for seat, share in overlap.items() if share >= CARRIED} if len(words) >= 3 else set()
        seats = sorted(cited | carried, key=lambda s: (-overlap.get(s, 0.0), s))
        best = max(overlap.values(), default=0.0)
        sources.append(Source(text=sentence, seats=tuple(seats), cited=bool(cited), overlap=round(best, 3)))
    return strip_citations(text), tuple(sources)


def strip_citations(text: str) -> str:
    """Text without [A] and [A, C]."""
    return _CITE_RE.sub("", text)


def _cited(sentence: str) -> list[str]:
    return [c for m in _CITE_RE.finditer(sentence) for c in re.findall(r"\b[A-H]\b", m.group(1))]


def _words(text: str) -> frozenset[str]:
    return frozenset(w for w in (x.casefold() for x in _WORD_RE.findall(text)) if w not in _COMMON)


def _passages(answer: str) -> list[frozenset[str]]:
    sentences = [_words(m.group()) for m in _SENTENCE_RE.finditer(answer)]
    return [*sentences, *(a | b for a, b in itertools.pairwise(sentences))]


def _overlap(words: frozenset[str], passages: list[frozenset[str]]) -> float:
    return max((len(words & p) / len(words) for p in passages), default=0.0)


class CitationFilter:
    """Takes citations out of a stream: holds back what may become one, never more than `LONGEST` characters."""

    LONGEST: Final = 28

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        """What can be shown now."""
        self._held = strip_citations(self._held + text)
        at = self._held.rfind("[")
        if at < 0 or "]" in self._held[at:] or len(self._held) - at > self.LONGEST:
            at = len(self._held)
        while at > 0 and self._held[at - 1] in " \t":
            at -= 1
        shown, self._held = self._held[:at], self._held[at:]
        return shown

    def end(self) -> str:
        """What was held back at the end."""
        shown, self._held = self._held, ""
        return shown
