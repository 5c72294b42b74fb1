"""Ask a model for a small JSON object of short texts, and take it only when every text is harmless.

A text enters the files only if it is plain, short, English, gives no orders to a model, holds nothing personal and copies no
long stretch of what the model was shown. An answer that is not so is asked for once more, then there is none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec

from innercouncil.discovery.model_prompts import Guards
from innercouncil.discovery.redaction import Redactor
from innercouncil.model.errors import BackendRejectedError
from innercouncil.model.ports import ChatModel, ChatRequest, ChatTurn, complete
from innercouncil.prompts import fenced

T = TypeVar("T")
COPIED_WORDS: Final = 8
"""More consecutive words than this of a message are a quotation."""
FOREIGN_LETTERS: Final = 0.1
"""Share of letters outside ASCII from which a text is not English."""
DISTINCT_WORDS: Final = 0.5
"""Share of a text's words that have to be different."""
RETRY_TEMPERATURE: Final = 0.4
"""A second try at temperature 0 would mostly say the same."""

_MARKUP_RE: Final = re.compile(
    r"[<>{}\[\]|`\\#*_~$]|https?:|www\.|[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
)


class Answer(NamedTuple, Generic[T]):
    """What came of asking for a struct of texts: `value` is None where no answer was valid."""

    value: T | None
    why: str
    """Why the last answer was not taken, in words."""
    tries: int


class Request(NamedTuple, Generic[T]):
    """What is asked for, and when an answer is taken."""

    render: Callable[[int], str]
    """The prompt with only the first so many pieces of material."""
    pieces: int
    type: type[T]
    schema: dict[str, Any]
    max_tokens: int
    trouble: Callable[[T], str]
    """What is wrong with an answer, in words; empty where nothing is."""


async def ask_checked(request: Request[T], model: ChatModel, *, seed: int = 0) -> Answer[T]:
    """A valid answer of `model`, or why there is none. What is too long for its context is asked with half the material.

    Raises BackendError.
    """
    why = ""
    for attempt in range(2):
        text = await _text(request, model, seed + attempt, RETRY_TEMPERATURE if attempt else 0.0)
        if text is None:
            return Answer(None, "too long for the model", attempt + 1)
        try:
            value = _tidy(msgspec.json.decode(text.encode("utf-8", "replace"), type=request.type), request.type)
        except (msgspec.MsgspecError, RecursionError):
            why = "not the JSON that was asked for"
            continue
        why = request.trouble(value)
        if not why:
            return Answer(value, "", attempt + 1)
    return Answer(None, why, 2)


def _tidy(value: T, kind: type[T]) -> T:
    """The answer with every text on one line, without space around it."""
    fields: dict[str, str] = msgspec.to_builtins(value)
    return msgspec.convert({name: " ".join(text.split()) for name, text in fields.items()}, kind)


def text_trouble(text: str, words: tuple[int, int], guards: Guards) -> str:
    """What keeps a single short text out of the files; empty where nothing does."""
    said = text.casefold().split()
    if not words[0] <= len(said) <= words[1] or len(text) > 12 * words[1]:
        return "too short or too long"
    if len(set(said)) < DISTINCT_WORDS * len(said):
        return "the same words again and again"
    if _MARKUP_RE.search(text):
        return "no plain text"
    if guards.orders(text):
        return "order to a model"
    letters = [c for c in text if c.isalpha()]
    if not letters or sum(not c.isascii() for c in letters) > FOREIGN_LETTERS * len(letters):
        return "another language"
    return "personal details" if Redactor().redact(text, "") != text else ""


def all_trouble(texts: Sequence[str], material: Sequence[str], guards: Guards) -> str:
    """What keeps texts out of the files when they are read together and against what the model was shown."""
    if guards.language(". ".join(texts)) not in (None, "en"):
        return "another language"
    copied = {run for shown in material for run in _runs(shown)}
    return "copied from a message" if any(run in copied for text in texts for run in _runs(text)) else ""


def _runs(text: str) -> list[tuple[str, ...]]:
    """All runs of one word more than may be copied."""
    words = re.findall(r"\w+", text.casefold())
    return [tuple(words[i : i + COPIED_WORDS + 1]) for i in range(len(words) - COPIED_WORDS)]


def text_schema(properties: dict[str, Any]) -> dict[str, Any]:
    """JSON Schema of an object with exactly these properties."""
    return {
        "type": "object", "properties": properties, "required": list(properties), "additionalProperties": False,
    }  # fmt: skip


def on_one_line(text: str) -> str:
    """A text on one line that cannot end the fence it stands in."""
    return fenced(" ".join(text.split()))


async def _text(request: Request[T], model: ChatModel, seed: int, temperature: float) -> str | None:
    pieces = request.pieces
    while True:
        call = ChatRequest(
            turns=(ChatTurn("user", request.render(pieces)),), schema=request.schema, temperature=temperature,
            max_tokens=request.max_tokens, seed=seed,
        )  # fmt: skip
        try:
            return (await complete(model, call)).text
        except BackendRejectedError as error:
            if not error.too_long:
                raise
        if pieces <= 1:
            return None
        pieces //= 2
