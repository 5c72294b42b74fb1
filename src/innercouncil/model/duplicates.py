"""When two texts are nearly the same."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

SHINGLE: Final = 3
"""Words in a row that are compared."""
ALIKE: Final = 0.8
"""Share of all shingles of two texts that both hold (Jaccard), from which they are near-duplicates."""
_EAST: Final = "\u3040-\u30ff\u3400-\u9fff"
_WORDS_RE: Final = re.compile(f"[{_EAST}]|[^\\W{_EAST}]+")


def words_of(text: str) -> list[str]:
    """Words without case; each sign of Chinese and Japanese, which write no spaces, is one."""
    return _WORDS_RE.findall(text.casefold())


def near_key(text: str) -> bytes:
    """What near-duplicates share: SHA-256 of the words without case, digits and spacing."""
    plain = re.sub(r"\d", "0", " ".join(text.casefold().split()))
    return hashlib.sha256(plain.encode("utf-8", "replace")).digest()


def repeats(texts: Sequence[str], *, alike: float = ALIKE) -> list[int | None]:
    """For each text the place of an earlier one that it nearly repeats, None where it is the first of its kind.

    Exact: every pair with a Jaccard similarity of `alike` or more over runs of three words is found, by the prefix filter of
    Bayardo, Ma and Srikant (2007, "Scaling up all pairs similarity search"). Only firsts are compared with.
    """
    sets = [_shingles(t) for t in texts]
    rarity = Counter(s for each in sets for s in each)
    holders: dict[str, list[int]] = {}
    out: list[int | None] = []
    for at, shingles in enumerate(sets):
        rare_first = sorted(shingles, key=lambda s: (rarity[s], s))
        prefix = rare_first[: len(rare_first) - math.ceil(alike * len(rare_first)) + 1]
        near = sorted({h for s in prefix for h in holders.get(s, ())})
        found = next((h for h in near if _jaccard(shingles, sets[h]) >= alike), None)
        out.append(found)
        if found is None:
            for s in prefix:
                holders.setdefault(s, []).append(at)
    return out


def _shingles(text: str) -> frozenset[str]:
    words = words_of(re.sub(r"\d", "0", text)) or [text]
    return frozenset(" ".join(words[i : i + SHINGLE]) for i in range(max(1, len(words) - SHINGLE + 1)))


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    both = len(one & other)
    return both / (len(one) + len(other) - both)
