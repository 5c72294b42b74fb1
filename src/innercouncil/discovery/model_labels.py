"""Better labels from a language model, if one is given: what is asked, what is believed, and how it joins the offline labels.

Nothing a model says is taken unchecked: an answer that is not JSON, names a label outside the set, or leaves a message
out is asked for once more, then the offline label stands.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any, Final, NamedTuple

import jinja2
import msgspec

from innercouncil.model.labels import ACTS, TONES, TOPICS, LabelledMessage
from innercouncil.model.ports import BlockingChatModel, ChatTurn

FIELDS: Final[dict[str, tuple[str, ...]]] = {"topic_category": TOPICS, "act": ACTS, "tone": TONES}
MODEL_TRUST: Final = 0.8
"""Probability that a model's label is right, where it has not been measured; weighed against the offline one."""
TEXT_CHARS: Final = 1200
CONTEXT_CHARS: Final = 300


class ModelLabels(NamedTuple):
    """Messages with merged labels, and what became of the model's answers."""

    messages: list[LabelledMessage]
    asked: int
    accepted: int
    changed: int


def labels_schema(count: int) -> dict[str, Any]:
    """JSON Schema of an answer for `count` messages."""
    properties: dict[str, Any] = {"n": {"type": "integer", "minimum": 0, "maximum": count - 1}}
    properties |= {field: {"type": "string", "enum": list(values)} for field, values in FIELDS.items()}
    entry = {
        "type": "object", "properties": properties, "required": list(properties), "additionalProperties": False,
    }  # fmt: skip
    return {
        "type": "object",
        "properties": {"labels": {"type": "array", "items": entry, "minItems": count, "maxItems": count}},
        "required": ["labels"],
        "additionalProperties": False,
    }


def relabel(
    messages: Sequence[LabelledMessage],
    model: BlockingChatModel,
    *,
    batch: int = 8,
    trust: float = MODEL_TRUST,
    seed: int = 0,
) -> ModelLabels:
    """Ask `model` about `messages` in batches and merge what it says with their offline labels, order kept.

    `trust` is the probability that the model's label is right. Errors of the model's backend are not swallowed.
    """
    out: list[LabelledMessage] = []
    accepted = changed = 0
    for start in range(0, len(messages), batch):
        part = messages[start : start + batch]
        answers = _ask(part, model, seed)
        for i, message in enumerate(part):
            said = answers.get(i)
            merged = merge_labels(message, said, model.name, trust=trust) if said else message
            accepted += said is not None
            changed += _labels(merged) != _labels(message)
            out.append(merged)
    return ModelLabels(out, len(messages), accepted, changed)


def merge_labels(message: LabelledMessage, said: Mapping[str, str], name: str, *, trust: float) -> LabelledMessage:
    """Per field the label with the larger probability: the offline one's calibrated one, or `trust` for the model's.

    Where both agree the probabilities are combined as independent witnesses (naive Bayes over equal priors).
    """
    chosen, confidence = dict(_labels(message)), dict(message.confidence)
    for field, label in ((f, v) for f, v in said.items() if f in FIELDS):
        offline = confidence[field]
        if label == chosen[field]:
            confidence[field] = round(_combined(offline, trust, len(FIELDS[field])), 4)
        elif trust > offline:
            chosen[field], confidence[field] = label, round(trust * (1 - offline) / (1 - trust * offline), 4)
    return msgspec.structs.replace(
        message, **chosen, confidence=confidence, evidence=tuple(e for e in message.evidence if chosen[e.field] == e.label),
        labelled_by=f"offline+{name}",
    )  # fmt: skip


def _combined(a: float, b: float, labels: int) -> float:
    logit = math.log(max(a, 1e-6) / max(1 - a, 1e-6)) + math.log(b / (1 - b)) + math.log(labels - 1)
    return 1 / (1 + math.exp(-logit))


def _labels(message: LabelledMessage) -> dict[str, str]:
    return {"topic_category": message.topic_category, "act": message.act, "tone": message.tone}


def _ask(part: Sequence[LabelledMessage], model: BlockingChatModel, seed: int) -> dict[int, dict[str, str]]:
    """Valid answers by index; what is missing or wrong is asked for once more."""
    found: dict[int, dict[str, str]] = {}
    for attempt in range(2):
        missing = [i for i in range(len(part)) if i not in found]
        if not missing:
            break
        asked = [part[i] for i in missing]
        turns = [ChatTurn("user", _prompt(asked))]
        answer = model.complete(
            turns, schema=labels_schema(len(asked)), max_tokens=60 * len(asked) + 40, seed=seed + attempt
        )
        for n, labels in _valid(answer, len(asked)).items():
            found[missing[n]] = labels
    return found


def _valid(answer: str, count: int) -> dict[int, dict[str, str]]:
    """The entries of an answer whose every label is in its set; an index said twice counts for nothing."""
    try:
        entries = msgspec.json.decode(answer.encode("utf-8", "replace"))["labels"]
    except (msgspec.MsgspecError, TypeError, KeyError, RecursionError):
        return {}
    found: dict[int, dict[str, str]] = {}
    twice: set[int] = set()
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, dict) or not isinstance(entry.get("n"), int) or not 0 <= entry["n"] < count:
            continue
        labels = {field: entry.get(field) for field in FIELDS}
        if all(isinstance(v, str) and v in FIELDS[f] for f, v in labels.items()):
            if entry["n"] in found:
                twice.add(entry["n"])
            found[entry["n"]] = {f: str(v) for f, v in labels.items()}
    return {n: labels for n, labels in found.items() if n not in twice}


@cache
def _template() -> jinja2.Template:
    source = resources.files("innercouncil.prompts").joinpath("label_messages.md.jinja").read_text("utf-8")
    return jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(source)  # noqa: S701 - text for a model


def _prompt(part: Sequence[LabelledMessage]) -> str:
    """The request; marks inside the texts are broken up so that no message can end its own fence."""
    shown = [{"text": _fenced(m.text[:TEXT_CHARS]), "context": _fenced(m.context[-CONTEXT_CHARS:])} for m in part]
    return _template().render(fields=FIELDS, messages=shown)


def _fenced(text: str) -> str:
    return text.replace("<<<", "‹‹‹").replace(">>>", "›››")
