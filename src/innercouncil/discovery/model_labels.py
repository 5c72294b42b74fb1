"""Better labels from a language model, if one is given: what is asked, what is believed, and how it joins the offline labels.

Nothing a model says is taken unchecked: an answer that is not JSON, names a label outside the set, or leaves a message
out is asked for once more, then the offline label stands.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import msgspec

from innercouncil import prompts
from innercouncil.model.errors import BackendRejectedError
from innercouncil.model.labels import ACTS, TONES, TOPICS, LabelledMessage
from innercouncil.model.ports import ChatModel, ChatRequest, ChatTurn, Estimate, ask_each, complete
from innercouncil.model.tokens import estimate_tokens

FIELDS: Final[dict[str, tuple[str, ...]]] = {"topic_category": TOPICS, "act": ACTS, "tone": TONES}
MODEL_TRUST: Final = 0.8
"""Most a model's label is believed, as a probability; less where `measure_trust` finds less."""
SURE: Final = 0.9
"""Offline confidence from which a message can serve as a check of the model."""
CHECKS: Final = 40
"""Messages a model is checked on."""
TEXT_CHARS: Final = 1200
CONTEXT_CHARS: Final = 300
BATCH: Final = 8
"""Messages in a call."""
ANSWER_TOKENS: Final = 100
"""Most tokens of a message's labels."""
CALL_TOKENS: Final = 3900
"""Most tokens of a call, prompt and answer: a little less than the smallest usual context, 4096."""

Labels = dict[str, str]
"""Field -> label."""


class Shown(NamedTuple):
    """A message as the model sees it."""

    key: str
    """SHA-256 of the prompt's version and the texts without case, digits and spacing: near-duplicates share it."""
    text: str
    context: str


class Question(NamedTuple):
    """What is asked once, and the rows of all messages it stands for."""

    shown: Shown
    rows: tuple[int, ...]


def labels_schema(count: int) -> dict[str, Any]:
    """JSON Schema of an answer for `count` messages: an object with one entry a message, under its number.

    A list would let a small model name one message twice and another never.
    """
    properties = {field: {"type": "string", "enum": list(values)} for field, values in FIELDS.items()}
    entry = {
        "type": "object", "properties": properties, "required": list(properties), "additionalProperties": False,
    }  # fmt: skip
    numbers = [str(n) for n in range(count)]
    return {
        "type": "object", "properties": dict.fromkeys(numbers, entry), "required": numbers, "additionalProperties": False,
    }  # fmt: skip


def show(message: LabelledMessage, redact: Callable[[str, str], str] | None = None) -> Shown:
    """The part of a message that is sent; `redact(text, id)` takes out what must not leave this machine."""
    text, context = message.text[:TEXT_CHARS], message.context[-CONTEXT_CHARS:]
    if redact is not None:
        text, context = redact(text, message.id), redact(context, message.id)
    plain = [re.sub(r"\d", "0", " ".join(part.casefold().split())) for part in (text, context)]
    key = hashlib.sha256("\x00".join([prompt_version(), *plain]).encode("utf-8", "replace")).hexdigest()
    return Shown(key, text, context)


def choose(
    messages: Sequence[LabelledMessage], *, budget: int, redact: Callable[[str, str], str] | None = None,
) -> list[Question]:  # fmt: skip
    """The at most `budget` questions where asking pays: the least sure offline labels first, near-duplicates once.

    A message whose every offline label is surer than MODEL_TRUST is not asked about: its labels would stand anyway.
    """
    unsure = sorted((min(m.confidence[f] for f in FIELDS), row) for row, m in enumerate(messages))
    groups: dict[str, tuple[Shown, list[int]]] = {}
    for confidence, row in unsure:
        if confidence >= MODEL_TRUST:
            break
        shown = show(messages[row], redact)
        if shown.key in groups:
            groups[shown.key][1].append(row)
        elif len(groups) < budget:
            groups[shown.key] = (shown, [row])
    return [Question(shown, tuple(rows)) for shown, rows in groups.values()]


def choose_checks(
    messages: Sequence[LabelledMessage], *, redact: Callable[[str, str], str] | None = None
) -> list[Question]:
    """Up to CHECKS messages whose every offline label is sure, evenly over the whole: what a good model agrees on."""
    sure = [row for row, m in enumerate(messages) if min(m.confidence[f] for f in FIELDS) >= SURE]
    picked = sure[:: max(1, len(sure) // CHECKS)][:CHECKS]
    found: dict[str, Question] = {}
    for row in picked:
        shown = show(messages[row], redact)
        found.setdefault(shown.key, Question(shown, (row,)))
    return list(found.values())


def measure_trust(
    messages: Sequence[LabelledMessage], checks: Sequence[Question], known: Mapping[str, Labels | None]
) -> dict[str, float]:
    """Per field the share of checks on which the model agrees (Laplace's estimate), at most MODEL_TRUST.

    The checks are easy ones, so this says how bad a model is, not how good. Without answers the trust is one half.
    """
    said = [(messages[q.rows[0]], labels) for q in checks if (labels := known.get(q.shown.key))]
    return {
        field: min(MODEL_TRUST, (1 + sum(getattr(m, field) == labels[field] for m, labels in said)) / (2 + len(said)))
        for field in FIELDS
    }


def estimate(questions: Sequence[Question]) -> Estimate:
    """Calls and tokens that asking will take, if every answer is right the first time."""
    parts = batches(questions)
    tokens = sum(estimate_tokens(_prompt([q.shown for q in part])) for part in parts)
    return Estimate(f"{len(questions)} messages", len(parts), tokens, ANSWER_TOKENS * len(questions))


def batches(questions: Sequence[Question]) -> list[list[Question]]:
    """At most BATCH questions a call, and no more than fit its context."""
    frame = estimate_tokens(_prompt([]))
    parts: list[list[Question]] = []
    room = 0
    for question in questions:
        need = estimate_tokens(_prompt([question.shown])) - frame + ANSWER_TOKENS
        if not parts or len(parts[-1]) == BATCH or need > room:
            parts.append([])
            room = CALL_TOKENS - frame
        parts[-1].append(question)
        room -= need
    return parts


async def ask(
    questions: Sequence[Question], model: ChatModel, *, keep: Callable[[str, Labels | None], None], at_once: int = 4, seed: int = 0, progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> None:  # fmt: skip
    """Ask about everything; `keep(key, labels)` gets each answer as it comes, None where the model gave no valid one.

    Raises BackendError; what was kept before stays kept.
    """

    async def one(part: Sequence[Question]) -> int:
        answers = await _ask([q.shown for q in part], model, seed)
        for i, question in enumerate(part):
            keep(question.shown.key, answers.get(i))
        return len(part)

    await ask_each(batches(questions), one, at_once=at_once, total=len(questions), progress=progress)


def merge_labels(
    message: LabelledMessage, said: Mapping[str, str], name: str, trust: Mapping[str, float]
) -> LabelledMessage:
    """Per field the label with the larger probability: the offline one's calibrated one, or the field's `trust` for the model's.

    Where both agree the probabilities are combined as independent witnesses (naive Bayes over equal priors).
    """
    chosen, confidence = dict(_labels(message)), dict(message.confidence)
    for field, label in ((f, v) for f, v in said.items() if f in FIELDS):
        offline, believed = confidence[field], trust[field]
        if label == chosen[field]:
            confidence[field] = round(_combined(offline, believed, len(FIELDS[field])), 4)
        elif believed > offline:
            chosen[field], confidence[field] = label, round(believed * (1 - offline) / (1 - believed * offline), 4)
    return msgspec.structs.replace(
        message, **chosen, confidence=confidence, evidence=tuple(e for e in message.evidence if chosen[e.field] == e.label),
        labelled_by=f"offline+{name}",
    )  # fmt: skip


def _combined(a: float, b: float, labels: int) -> float:
    logit = math.log(max(a, 1e-6) / max(1 - a, 1e-6)) + math.log(b / (1 - b)) + math.log(labels - 1)
    return 1 / (1 + math.exp(-logit))


def _labels(message: LabelledMessage) -> dict[str, str]:
    return {"topic_category": message.topic_category, "act": message.act, "tone": message.tone}


async def _ask(part: Sequence[Shown], model: ChatModel, seed: int) -> dict[int, Labels]:
    """Valid answers by index; what is missing or wrong is asked for once more, what is too long in halves."""
    found: dict[int, Labels] = {}
    for attempt in range(2):
        missing = [i for i in range(len(part)) if i not in found]
        if not missing:
            break
        asked = [part[i] for i in missing]
        for n, labels in (await _attempt(asked, model, seed + attempt)).items():
            found[missing[n]] = labels
    return found


async def _attempt(asked: Sequence[Shown], model: ChatModel, seed: int) -> dict[int, Labels]:
    request = ChatRequest(
        turns=(ChatTurn("user", _prompt(asked)),), schema=labels_schema(len(asked)), temperature=0.0,
        max_tokens=ANSWER_TOKENS * len(asked), seed=seed,
    )  # fmt: skip
    try:
        return _valid((await complete(model, request)).text, len(asked))
    except BackendRejectedError as error:
        if not error.too_long:
            raise
    if len(asked) == 1:
        return {}
    half = len(asked) // 2
    first, second = await _attempt(asked[:half], model, seed), await _attempt(asked[half:], model, seed)
    return first | {half + n: labels for n, labels in second.items()}


def _valid(answer: str, count: int) -> dict[int, Labels]:
    """The entries of an answer whose every label is in its set."""
    try:
        entries = msgspec.json.decode(answer.encode("utf-8", "replace"), type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        return {}
    found: dict[int, Labels] = {}
    for n in range(count):
        if labels := known_labels(entries.get(str(n))):
            found[n] = labels
    return found


def known_labels(entry: object) -> Labels | None:
    """The labels of an entry if it has one of the set for every field, whatever else it has."""
    if not isinstance(entry, dict):
        return None
    labels = {field: str(entry.get(field)) for field in FIELDS}
    return labels if all(v in FIELDS[f] for f, v in labels.items()) else None


@cache
def prompt_version() -> str:
    """Changes with the prompt's text and the label sets: answers to an older prompt are not taken for answers to this."""
    return hashlib.sha256(msgspec.json.encode([prompts.source("label_messages"), FIELDS])).hexdigest()[:16]


def _prompt(part: Sequence[Shown]) -> str:
    """The request; marks inside the texts are broken up so that no message can end its own fence."""
    shown = [{"text": prompts.fenced(s.text), "context": prompts.fenced(s.context)} for s in part]
    return prompts.template("label_messages").render(fields=FIELDS, messages=shown)
