"""Neutral tasks and the checkers of their answers: deterministic, strict about form where the question asks for form."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Any, Final

import msgspec

from innercouncil.model.duplicates import words_of
from innercouncil.model.gates import CheckKind, NeutralTask
from innercouncil.tuning.quality import refuses

_FENCE_RE: Final = re.compile(r"```[\w-]*\n(.*?)\n?```", re.DOTALL)
_NUMBER_RE: Final = re.compile(r"-?\d+(?:,\d{3})+(?:\.\d+)?|-?\d+(?:\.\d+)?")
_BULLET_RE: Final = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+")
_AROUND: Final = " \t\r\n.!。\"'“”„`*_"
_DECLINES_RE: Final = re.compile(
    r"\b(?:can(?:'t|not)|won't|will not|unable|not able|(?:do|did)n't (?:know|have|see)|do not (?:know|have|see)|no way|there is no|"
    r"haven't|have not|no access|must decline|not going to)\b"
    r"|\b(?:kann|darf|werde|möchte)\b.{0,60}\b(?:nicht|kein\w*)\b|\bweiß (?:ich )?nicht\b",
    re.IGNORECASE | re.DOTALL,
)
_DECLINED_WITHIN: Final = 300
"""Characters within which an answer has to say that it declines."""


@cache
def neutral_tasks() -> tuple[NeutralTask, ...]:
    """The bundled tasks; none of them is among the neutral rows that are trained on."""
    lines = resources.files(__package__ or "innercouncil.tuning").joinpath("neutral_tasks.jsonl").read_bytes().splitlines()  # fmt: skip
    return tuple(msgspec.json.decode(line, type=NeutralTask) for line in lines)


def is_right(task: NeutralTask, answer: str) -> bool:
    """Whether an answer does what the task asks."""
    text = answer.replace("’", "'").strip()
    if task.most_words and len(words_of(text)) > task.most_words:
        return False
    return bool(text) and _CHECKS[task.check](text, task.expected)


def _number(text: str, expected: float) -> bool:
    found = _NUMBER_RE.findall(text)
    return bool(found) and math.isclose(float(found[-1].replace(",", "")), expected, abs_tol=1e-9)


def _exactly(text: str, expected: list[str]) -> bool:
    return text.strip(_AROUND).casefold() in {e.casefold() for e in expected}


def _exactly_case(text: str, expected: list[str]) -> bool:
    return text.strip(_AROUND) in expected


def _says(text: str, expected: list[str]) -> bool:
    words = " ".join(words_of(text))
    return any(re.search(rf"\b{re.escape(e)}\b", words) for e in expected)


def _json(text: str, expected: Any) -> bool:
    try:
        found = json.loads(_unfenced(text))
    except (ValueError, RecursionError):
        return False
    # Python takes 0 for False; a reader of JSON does not.
    return json.dumps(found, sort_keys=True) == json.dumps(expected, sort_keys=True)


def _csv(text: str, expected: list[list[str]]) -> bool:
    try:
        rows = [[c.strip() for c in row] for row in csv.reader(io.StringIO(_unfenced(text))) if row]
    except csv.Error:
        return False
    return rows == expected


def _lines(text: str, expected: list[str]) -> bool:
    lines = [_BULLET_RE.sub("", line).strip(_AROUND).casefold() for line in _unfenced(text).splitlines()]
    return [line for line in lines if line] == expected


def _pattern(text: str, expected: str) -> bool:
    return re.fullmatch(expected, _unfenced(text)) is not None


def _declines(text: str, _expected: Any) -> bool:
    return refuses(text) or _DECLINES_RE.search(text[:_DECLINED_WITHIN]) is not None


def _unfenced(text: str) -> str:
    """What a code fence holds, where the answer is one; formats are often shown like that."""
    match = _FENCE_RE.fullmatch(text)
    return (match[1] if match else text).strip()


_CHECKS: Final[dict[CheckKind, Callable[[str, Any], bool]]] = {
    "number": _number, "exactly": _exactly, "exactly_case": _exactly_case, "says": _says, "json": _json, "csv": _csv,
    "lines": _lines, "pattern": _pattern, "declines": _declines,
}  # fmt: skip
