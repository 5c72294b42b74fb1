"""Yes/no items out of a prompt's lines: what an answer can be held against, and which items can be counted.

A line gives an item unless it is a heading, an example, nothing but a quotation, said of the person rather than of answers,
without one thing to look for, or too short or too long; a line of several sentences gives one a sentence. Every item asks whether the answer keeps to its
line, word for word, so that yes means kept, for what is to be done and for what is not to be done alike.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Final, NamedTuple

from innercouncil.model.adherence import Checklist, ChecklistItem, LeftOut

MAX_ITEMS: Final = 8
FEW_ITEMS: Final = 5
"""With fewer the prompt says little that can be checked."""
LINE_WORDS: Final = (2, 40)
ECONOMY: Final = 2
"""An answer keeps to the length of the person's messages up to so many times their words."""

_HEADING_RE: Final = re.compile(r"^\s*(?:#{1,6}\s.*|\*\*[^*]+\*\*:?|[^“\"]{1,80}[:：])\s*$")
_MARK_RE: Final = re.compile(r"^\s*(?:[-*+•]|\d+[.)]|>)\s+")
_EXAMPLES_RE: Final = re.compile(r"\b(?:examples?|dialogues?|beispiele?|exemples?|ejemplos?)\b", re.IGNORECASE)
_SPEAKER_RE: Final = re.compile(
    r"^(?:after|they said|an answer they built on began|user|human|assistant|system|example|q|a|\{\{\w+\}\})\s*:|^<start>",
    re.IGNORECASE,
)
_QUOTATION_RE: Final = re.compile(r"^[“\"«„‘'].*[”\"»“’']\W*$", re.DOTALL)
_PERSON_RE: Final = re.compile(
    r"^(?i:you(?:['’]re| are| were))\s+(?:(?i:called|named|one|an?|the|in|from|at|now)\b|\d|[A-ZÀ-Þ])"
    r"|^(?i:you\s+(?:have|live|lived|work|worked|grew|studied|come|own)\b|your\s+name\b|(?:name|age|job|born|background)\s*:"
    r"|(?:i|he|she|they|it|my|his|her|their|this person|the person|the user)\b|\{\{\w+\}\})"
)
_WHOLE_RE: Final = re.compile(r"\bas (?:they|he|she|you|i) would\b|\bin character\b|\bbe yourself\b", re.IGNORECASE)
_FORBIDS_RE: Final = re.compile(r"^(?:do not|don['’]t|never|avoid|no|not|without)\b", re.IGNORECASE)
_SENTENCE_END_RE: Final = re.compile(r"(?<=[.!?])\s+(?=[A-ZÀ-Þ“\"(])|(?<=[。！？])")
_LENGTH_RE: Final = re.compile(r"^Messages in this mode run to about (\d+) words\b")
_WORDS_RE: Final = re.compile(r"^(?:Turns of phrase|Vocabulary): (.+?)\.?$")


class Line(NamedTuple):
    """A piece of a prompt that could give an item, or why it gives none."""

    number: int
    section: int
    text: str
    why: str = ""
    heading: str = ""


def question_of(line: str, heading: str = "") -> str:
    """The item of a line under a heading: yes means that the answer keeps to it.

    >>> question_of("Do not hedge.")
    'Does the answer keep to this rule: “Do not hedge.”?'
    >>> question_of("hedge", "Never")
    'Does the answer keep to this rule: “Never: hedge”?'
    """
    if found := _LENGTH_RE.match(line):
        words = int(found[1])
        return f"Has the answer at most {ECONOMY * words} words, {ECONOMY} times the {words} the prompt speaks of?"
    if found := _WORDS_RE.match(line):
        return f"Does the answer hold one of these: {found[1]}?"
    rule = f"{heading}: {line}" if _FORBIDS_RE.match(heading) and not _FORBIDS_RE.match(line) else line
    return f"Does the answer keep to this rule: “{rule}”?"


def counted(item: ChecklistItem) -> Callable[[str], bool] | None:
    """What answers an item by counting; None where it takes a judge, as for every item a person worded."""
    if item.question != item.drawn:
        return None
    if found := _LENGTH_RE.match(item.line):
        most = ECONOMY * int(found[1])
        return lambda answer: len(answer.split()) <= most
    if found := _WORDS_RE.match(item.line):
        wanted = [re.sub(r"[“”\"]", "", w).strip() for w in found[1].split(",")]
        one = re.compile(r"(?<!\w)(?:" + "|".join(re.escape(w) for w in wanted if w) + r")(?!\w)", re.IGNORECASE)
        return lambda answer: one.search(" ".join(answer.split())) is not None
    return None


def lines_of(prompt: str, orders: Callable[[str], bool]) -> list[Line]:
    """Every piece of a prompt; `orders` says whether a text gives orders to judges, which no item may."""
    out: list[Line] = []
    seen: set[str] = set()
    section, heading, examples = 0, "", False
    for number, raw in enumerate(prompt.splitlines(), 1):
        marked = _MARK_RE.match(raw) is not None
        text = _MARK_RE.sub("", raw).strip()
        if not text:
            continue
        if not marked and _HEADING_RE.match(raw):
            section, heading, examples = section + 1, text.strip("#*:： "), _EXAMPLES_RE.search(text) is not None
            out.append(Line(number, section, text, "a heading"))
            continue
        whole = examples or _SPEAKER_RE.match(text) or _QUOTATION_RE.match(text)
        for piece in [text] if whole else filter(None, _SENTENCE_END_RE.split(text)):
            why = "an example" if examples or _SPEAKER_RE.match(text) else _why_not(piece, seen, orders)
            seen.add(piece.casefold())
            out.append(Line(number, section, piece, why, heading))
    return out


def _why_not(text: str, seen: set[str], orders: Callable[[str], bool]) -> str:
    if _QUOTATION_RE.match(text):
        return "a quotation"
    if _PERSON_RE.match(text):
        return "about the person"
    if _WHOLE_RE.search(text):
        return "says no single thing"
    if not LINE_WORDS[0] <= len(text.split()) <= LINE_WORDS[1]:
        return "too short or too long"
    if orders(text):
        return "speaks to judges"
    return "said before" if text.casefold() in seen else ""


def draw(persona: str, prompt: str, orders: Callable[[str], bool], kept: Checklist | None = None) -> Checklist:
    """The checklist of a prompt: at most MAX_ITEMS lines, the sections taking turns.

    `kept` is an earlier one. For the same prompt it is returned as it is. For a changed prompt its items stay where their
    lines still stand, with the person's wording; items the person added stay, lines they struck out are not drawn again.
    """
    digest = hashlib.sha256(prompt.encode("utf-8", "replace")).hexdigest()[:16]
    if kept is not None and kept.prompt == digest:
        return kept
    lines = lines_of(prompt, orders)
    place = {line.text: line.number for line in reversed(lines)}
    stay = [i for i in kept.items if not i.line or i.line in place] if kept else []
    known = {i.line for i in stay}
    struck = set(kept.drawn_lines) - {i.line for i in kept.items} if kept else set()
    fresh = [line for line in lines if not line.why and line.text not in known | struck]
    chosen = _in_turn(fresh)[: max(0, MAX_ITEMS - len(stay))]
    items = [i if not i.line else _numbered(i, place[i.line]) for i in stay] + [_item(line) for line in chosen]
    taken = {line.text for line in chosen}
    return Checklist(
        persona=persona, prompt=digest, items=tuple(sorted(items, key=lambda i: i.number or len(prompt) + 1)),
        left_out=tuple(_left_out(lines, known | taken, struck)),
        drawn_lines=tuple(dict.fromkeys([*(i.line for i in items if i.line), *(x for x in place if x in struck)])),
    )  # fmt: skip


def _left_out(lines: Sequence[Line], taken: set[str], struck: set[str]) -> list[LeftOut]:
    out = []
    for line in lines:
        why = line.why or (
            "struck out by you" if line.text in struck else f"more than {MAX_ITEMS} lines can be checked"
        )
        if line.why or line.text not in taken:
            out.append(LeftOut(number=line.number, line=line.text, why=why))
    return out


def _in_turn(lines: Sequence[Line]) -> list[Line]:
    """The first of every section, then the second of every section, and so on."""
    sections: dict[int, list[Line]] = {}
    for line in lines:
        sections.setdefault(line.section, []).append(line)
    return [line for row in zip_longest(*sections.values()) for line in row if line is not None]


def _item(line: Line) -> ChecklistItem:
    question = question_of(line.text, line.heading)
    return ChecklistItem(question=question, line=line.text, number=line.number, drawn=question)


def _numbered(item: ChecklistItem, number: int) -> ChecklistItem:
    return ChecklistItem(question=item.question, line=item.line, number=number, drawn=item.drawn)
