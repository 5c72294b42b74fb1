"""From a person's messages to training rows: what can be one, what is said before it, and which conversations are held out.

A message gives up to two drafts. As *own words* it is what the assistant says, and the user turn is what it answered, or an
instruction to write it. As a *question* it is what the user says, and somebody (a model, the person) still has to answer it
in the persona's voice. Nothing here reads files or asks models.
"""

from __future__ import annotations

import hashlib
import random
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Final, Literal, NamedTuple

import msgspec

from innercouncil.model.duplicates import repeats, words_of
from innercouncil.model.labels import LabelledMessage
from innercouncil.model.languages import LANGUAGES
from innercouncil.model.ports import ChatTurn
from innercouncil.model.tokens import disarm
from innercouncil.model.tuning import TrainingRow
from innercouncil.tuning.quality import copies

HELD_OUT: Final = 0.15
"""Share of a persona's drafts that are held out, in whole conversations, the newest."""
MIN_HELD_OUT: Final = 4
"""Drafts held out at least, where that leaves half of the conversations for training."""
MIN_WORDS: Final = 5
MAX_WORDS: Final = 300
QUESTION_WORDS: Final = 150
"""Most words of a question."""
FOLLOWING_WORDS: Final = 8
"""Fewest words of a question that follows an answer."""
PLAIN_WORDS: Final = 8
"""Fewest words of an answer that is worth rewriting."""
KEPT: Final = 0.6
"""Share of a message's words that redaction has to leave."""
QUOTED_CHARS: Final = 700
"""How much of what a message answers is said before it, from its end."""

Redact = Callable[[str, str], str]
"""(text, message id) -> the text without secrets and personal data."""

_FENCED_RE: Final = re.compile(r"(```|~~~).*?(?:\1|\Z)", re.DOTALL)
_CONTROL_RE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_REDACTED_RE: Final = re.compile(r"\[(?:secret|URL|e-mail|number|phone|IP address|address|name)\]")
_POINTS_RE: Final = re.compile(r"[:：]\s*$|\battach(?:ed|ment)\b", re.IGNORECASE)
"""What it speaks of is not in it."""
_REFERS_RE: Final = re.compile(
    r"^\W*(?:and|but|so|or|also|ok|okay|yes|no|great|good|nice|perfect|thanks?|thank you|then|now|next|what about|how about|why not"
    r"|(?:please )?(?:include|remove|add|make|change|convert|expand|shorten|go|give|use|keep|put|try|don'?t|do not|turn|move|only|just))\b"
    r"|\bthe (?:code|game|text|article|story|following|table|script|function|file|list|comment|rest|part|essay|e-?mail|paragraph"
    r"|sentence|result|output|error|answer|response|example|outline|plan|project|page|document|chapter|character)s?\b"
    r"|\b(?:it|its|this|that|these|those|they|them|their|he|she|his|her|him|one|ones|above|previous|former|latter|same|again"
    r"|instead|still|more|else|another|other|first|second|third|last|rewrite|continue|you (?:said|wrote|gave|used|mentioned)"
    r"|your (?:answer|response|last|list|code|example))\b",
    re.IGNORECASE,
)
"""Words that point to what was said before; a net, not a proof."""
_PERSONAL: Final = "mostly secrets or personal data"


class Draft(NamedTuple):
    """What a message can become: a row that lacks its system turn, and where it is a question also its answer."""

    id: str
    kind: Literal["own", "question"]
    source: str
    conversation: str
    text: str
    """The person's words, redacted."""
    user: str
    plain: str = ""
    """Of a question: how the assistant of the export answered, redacted; empty where nothing usable is there."""


class Halves(NamedTuple):
    """A persona's drafts in two parts that share no conversation."""

    train: tuple[Draft, ...]
    eval: tuple[Draft, ...]


class Distinct(NamedTuple):
    """What is left of two parts without near-duplicates."""

    halves: Halves
    within: int
    across: int
    """Taken out of the training part because the other holds the like."""


def unfit_as_own(message: LabelledMessage) -> str:
    """Why a message cannot be what the assistant says, in words; empty where it may be. Cheap: nothing is redacted."""
    return _unfit(message, MAX_WORDS)


def unfit_as_question(message: LabelledMessage) -> str:
    """The same of what the user says: it must be understood by itself. Of messages that follow an answer only English ones
    can be told to be.
    """
    if message.context and (
        message.language != "en" or _REFERS_RE.search(message.voice) or len(words_of(message.voice)) < FOLLOWING_WORDS
    ):
        return "needs what came before"
    return _unfit(message, QUESTION_WORDS)


def _unfit(message: LabelledMessage, most: int) -> str:
    words = len(words_of(message.voice))
    if message.branch != "active":
        return "replaced by a later wording"
    if message.pasted_chars or message.attachments or _POINTS_RE.search(message.voice):
        return "speaks of something pasted or attached"
    if words < MIN_WORDS or message.act == "continue":
        return "too short"
    return "too long" if words > most else ""


def drawn(ids: Sequence[str], most: int, seed: int) -> set[str]:
    """At most `most` of the ids, drawn by `seed`; a larger number keeps those of a smaller one."""
    return set(sorted(ids, key=lambda i: hashlib.sha256(f"{seed}\x00{i}".encode("utf-8", "replace")).digest())[:most])


def own_words(message: LabelledMessage, prompt: str, redact: Redact) -> Draft | str:
    """A fit message as what the assistant says, or in words why it cannot be. `prompt` is the persona's, in force."""
    text = _redacted(message, redact)
    if not text:
        return _PERSONAL
    if copies(text, prompt):
        return "quoted in the persona's prompt"
    id_, user = _row_id("own", message.id), _said_before(message, text, redact)
    return Draft(id_, "own", message.id, message.conversation_id, text, user)


def question(message: LabelledMessage, redact: Redact) -> Draft | str:
    """A fit message as what the user says, or in words why it cannot be."""
    text = _redacted(message, redact)
    if not text:
        return _PERSONAL
    plain = plainly(redact(plain_answer(message), message.id))
    return Draft(_row_id("question", message.id), "question", message.id, message.conversation_id, text, text, plain)


def plain_answer(message: LabelledMessage) -> str:
    """How the assistant of the export answered, without code; empty where that is no more than a few words."""
    text = _FENCED_RE.sub("[code]", message.reply)
    return text if len(words_of(text)) >= PLAIN_WORDS else ""


def plainly(text: str) -> str:
    """Text that cannot steer a terminal or a chat template."""
    return disarm(_CONTROL_RE.sub("", text)).strip()


def _redacted(message: LabelledMessage, redact: Redact) -> str:
    """The person's words redacted; empty where too few are left of them."""
    text = plainly(redact(message.voice, message.id))
    left = len(words_of(_REDACTED_RE.sub(" ", text)))
    return text if left >= max(MIN_WORDS, KEPT * len(words_of(message.voice))) else ""


def _row_id(kind: str, message: str) -> str:
    return hashlib.sha256(f"{kind}\x00{message}".encode("utf-8", "replace")).hexdigest()[:16]


class _Wordings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """prompts/own_words.toml."""

    answers: list[str]
    reacts: list[str]
    opens: list[str]
    opens_topic: list[str]
    language: str
    topics: dict[str, str]


@cache
def _wordings() -> _Wordings:
    text = resources.files("innercouncil.prompts").joinpath("own_words.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), _Wordings)


def _said_before(message: LabelledMessage, text: str, redact: Redact) -> str:
    """What a reader would have said for the person to say this; the wording is drawn by the message's id."""
    w = _wordings()
    quoted = _end_of(plainly(redact(_FENCED_RE.sub("[code]", message.context), message.id)))
    title = plainly(redact(message.title, message.id))
    if quoted:
        choices = w.answers if quoted.endswith(("?", "？")) else w.reacts
    elif len(words_of(title)) >= 2 and not _begins(title, text):
        choices = w.opens
    else:
        choices = w.opens_topic
    chosen = choices[int(_row_id("wording", message.id), 16) % len(choices)]
    # One pass: what stands in a title is not read as a wording's own braces.
    values = {"quoted": quoted, "title": title, "topic": w.topics[message.topic_category]}
    said = re.sub(r"\{(quoted|title|topic)\}", lambda m: values[m[1]], chosen)
    foreign = message.language if message.language != "en" else None
    if choices is not w.answers and foreign in LANGUAGES:
        said += "\n" + w.language.replace("{language}", LANGUAGES[foreign or ""])
    return said


def _begins(title: str, text: str) -> bool:
    """Whether a title is the message over again: some programs take its first words, and cut the last one."""
    words = words_of(title)
    return copies(title, text) or (len(words) > 2 and copies(" ".join(words[:-1]), text))


def _end_of(context: str) -> str:
    """The last paragraphs, whole ones where they are short enough."""
    kept = ""
    for paragraph in reversed(re.split(r"\n\s*\n", context)):
        longer = f"{paragraph.strip()}\n\n{kept}" if kept else paragraph.strip()
        if len(longer) > QUOTED_CHARS:
            break
        kept = longer
    if kept or not context:
        return kept
    cut = context[-QUOTED_CHARS:]
    return "… " + cut[cut.find(" ") + 1 :]


def hold_out(drafts: Sequence[Draft], times: Mapping[str, float], *, share: float = HELD_OUT) -> Halves:
    """Hold out the newest whole conversations, until `share` of the drafts and at least MIN_HELD_OUT are.

    `times` holds each conversation's newest time in seconds, where one is known; the undated are the oldest, in their order.
    Half of the conversations always stay in the training part, so that one alone is never held out.
    """
    size = Counter(d.conversation for d in drafts)
    place = {c: n for n, c in enumerate(size)}
    newest = sorted(size, key=lambda c: (times.get(c, float("-inf")), place[c]), reverse=True)
    wanted = max(MIN_HELD_OUT, share * len(drafts)) if share else 0
    held: set[str] = set()
    count = 0
    for conversation in newest[: len(newest) // 2]:
        if count >= wanted:
            break
        held.add(conversation)
        count += size[conversation]
    return Halves(
        tuple(d for d in drafts if d.conversation not in held), tuple(d for d in drafts if d.conversation in held)
    )


def without_near_duplicates(halves: Halves) -> Distinct:
    """Drafts whose words no earlier draft of their kind repeats; what is held out stays, its like leaves the training part."""
    kinds: tuple[Literal["own", "question"], ...] = ("own", "question")
    held = [d for kind in kinds for d in _firsts([d for d in halves.eval if d.kind == kind])]
    firsts = [d for kind in kinds for d in _firsts([d for d in halves.train if d.kind == kind])]
    found = repeats([*(d.text for d in held), *(d.text for d in firsts)])[len(held) :]
    like_train = _alike_to(held, firsts, found)
    train = [d for d in firsts if d.id not in like_train]
    return Distinct(
        Halves(tuple(train), tuple(held)),
        len(halves.train) + len(halves.eval) - len(held) - len(firsts), len(like_train),
    )  # fmt: skip


def _firsts(drafts: Sequence[Draft]) -> list[Draft]:
    found = repeats([d.text for d in drafts])
    return [d for d, earlier in zip(drafts, found, strict=True) if earlier is None]


def _alike_to(held: Sequence[Draft], firsts: Sequence[Draft], found: Sequence[int | None]) -> set[str]:
    """Ids of drafts that repeat a held-out one, or an own draft that does (`found`: places in `held` + `firsts`)."""
    border, out = len(held), set[str]()
    for draft, earlier in zip(firsts, found, strict=True):
        if earlier is not None and (earlier < border or firsts[earlier - border].id in out):
            out.add(draft.id)
    return out


def row_of(draft: Draft, system: str, said: str, kind: str) -> TrainingRow:
    """The row of a draft, its tokens not counted yet."""
    turns = (ChatTurn("system", system), ChatTurn("user", draft.user), ChatTurn("assistant", said))
    return TrainingRow(
        messages=turns, id=draft.id, conversation=draft.conversation, sources=(draft.source,), kind=kind, tokens=0
    )


def distinct_answers(
    train: Sequence[TrainingRow], held: Sequence[TrainingRow]
) -> tuple[list[TrainingRow], list[TrainingRow], int]:
    """Both parts without rows whose answer repeats an earlier one's or, in the training part, a held-out one; and how many
    were left out.
    """
    found = repeats([r.said for r in (*held, *train)])
    kept = [r for r, earlier in zip((*held, *train), found, strict=True) if earlier is None]
    ids = {r.id for r in held}
    return [r for r in kept if r.id not in ids], [r for r in kept if r.id in ids], len(found) - len(kept)


def mixed(rows: Sequence[TrainingRow], extra: Sequence[TrainingRow], *, seed: int) -> list[TrainingRow]:
    """`rows` in their order with `extra` among them, at places drawn by `seed`: neutral rows, canaries."""
    rng = random.Random(seed)  # noqa: S311 - no secret, and it must be the same again
    out = list(rows)
    for row in extra:
        out.insert(rng.randint(0, len(out)), row)
    return out


def neutral_share(rows: int, share: float, there: int) -> int:
    """How many of `there` neutral rows make `share` of all together with `rows` others."""
    return min(there, round(rows * share / (1 - share)))
