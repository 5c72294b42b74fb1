"""Reasoning markers, question types and length: countable, with the span behind each count.

The marker classes follow the discourse relations of the Penn Discourse Treebank (cause, condition, contrast,
comparison, sequence, instantiation) joined by what a request adds: goal, constraint, hedge, certainty,
hypothesis, quantity, self-correction.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

MARKERS: Final[dict[str, str]] = {
    "cause": r"because|since|therefore|thus|hence|that'?s why|due to|as a result|so that|which means|leads? to",
    "condition": r"if|unless|whenever|in case|provided that|as long as|otherwise|depending on|when it",
    "contrast": r"but|however|although|though|whereas|instead|rather than|on the other hand|despite|yet|except|nevertheless",
    "comparison": r"versus|vs\.?|compared? (?:to|with)|better than|worse than|more than|less than|difference between"
    r"|similar to|pros and cons|trade-?offs?|best way|which (?:is|one)",
    "sequence": r"first(?:ly)?|second(?:ly)?|third(?:ly)?|then|next|finally|afterwards?|step by step|steps?|before that"
    r"|after that|from now on|one by one",
    "example": r"for example|for instance|e\.?g\.?|such as|like this|an? example|examples",
    "goal": r"in order to|so (?:that )?i can|i (?:want|need|would like|'?d like|wish|plan|am trying|'?m trying) to"
    r"|my goal|the (?:goal|aim|purpose|idea) is|to be able to",
    "constraint": r"must(?: not|n'?t)?|should(?: not|n'?t)?|only|at (?:least|most)|no more than|exactly|do(?: not|n'?t)|without"
    r"|never|always|make sure|ensure|limit(?:ed)? to|within|avoid|required?",
    "hedge": r"maybe|perhaps|might|could be|i think|i guess|i believe|probably|possibly|seems?|kind of|sort of|not sure"
    r"|i feel|somehow|roughly|about right",
    "certainty": r"clearly|obviously|of course|definitely|certainly|in fact|actually|exactly|indeed|sure(?:ly)?|i know",
    "hypothesis": r"what if|suppose|assum(?:e|ing)|imagine|hypothetical(?:ly)?|let'?s say|would it|in theory|could it be",
    "quantity": r"how (?:many|much)|\d+(?:[.,]\d+)?\s?(?:%|percent|words?|ms|seconds?|minutes?|hours?|days?|x|k|mb|gb|\$|usd|eur)",
    "self_correction": r"sorry|i meant?|correction|wait|scratch that|never ?mind|on second thought|let me rephrase|my mistake",
}
"""Marker class -> regular expression; matched on whole words, without regard to case."""

QUESTION_TYPES: Final = (
    "what",
    "how",
    "why",
    "which",
    "who",
    "where",
    "when",
    "how_much",
    "yes_no",
    "what_if",
    "request",
    "tag",
    "other",
)

LENGTHS: Final = (("one_liner", 8), ("short", 25), ("medium", 80), ("long", 250), ("very_long", None))
"""Length category and its upper bound in words of the person's voice (exclusive)."""

_MARKER_RE: Final = re.compile(
    r"(?<![\w'])(?:" + "|".join(f"(?P<{name}>{body})" for name, body in MARKERS.items()) + r")(?![\w'])", re.IGNORECASE
)
_SENTENCE_RE: Final = re.compile(r"[^.!?\n]{0,400}\?")
_QUESTION_RULES: Final = tuple(
    (kind, re.compile(pattern, re.IGNORECASE))
    for kind, pattern in (
        ("what_if", r"\bwhat if\b|\bsuppose\b|\bwhat would happen\b|\blet'?s say\b"),
        ("request", r"\b(?:can|could|would|will) (?:you|u)\b|\bdo you mind\b"),
        ("how_much", r"\bhow (?:many|much|long|often|far|big|old)\b"),
        ("how", r"\bhow\b"),
        ("why", r"\bwhy\b|\bhow come\b|\bwhat for\b"),
        ("which", r"\bwhich\b|\bwhat'?s (?:the )?(?:best|better)\b|\bor\b.{0,60}\?"),
        ("who", r"\bwho(?:se|m)?\b"),
        ("where", r"\bwhere\b"),
        ("when", r"\bwhen\b(?!.*\bwhat\b)"),
        ("what", r"\bwhat'?s?\b"),
        ("tag", r"(?:,|\b)\s*(?:right|ok(?:ay)?|correct|isn'?t it|no|yes)\s*\?$"),
        (
            "yes_no",
            r"^\W*(?:so|and|but|also|then)?\W*(?:is|are|was|were|do|does|did|has|have|had|should|shall|may|might|must"
            r"|isn'?t|aren'?t|don'?t|doesn'?t|can i|can we|can it|could i|could it|would it|will it|am i|any)\b",
        ),
    )
)


def find_markers(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield `(marker, start, end)` for every reasoning marker in `text`, left to right."""
    for match in _MARKER_RE.finditer(text):
        yield str(match.lastgroup), match.start(), match.end()


def find_questions(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield `(question type, start, end)` for every sentence of `text` that ends in a question mark."""
    for match in _SENTENCE_RE.finditer(text):
        sentence = match.group()
        start = match.start() + len(sentence) - len(sentence.lstrip())
        kind = next((name for name, rule in _QUESTION_RULES if rule.search(sentence)), "other")
        yield kind, start, match.end()


def length_category(words: int) -> str:
    """Name of the length band that holds a voice of `words` words."""
    return next(name for name, bound in LENGTHS if bound is None or words < bound)
