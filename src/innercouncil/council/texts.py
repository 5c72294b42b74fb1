"""What is said to the models: the templates of `innercouncil.prompts` filled in, and made to fit the context."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import jinja2

from innercouncil.council.appeals import split_appeals
from innercouncil.model.council import Council
from innercouncil.model.errors import UsageError
from innercouncil.model.ports import ChatTurn
from innercouncil.model.tokens import disarm, estimate_tokens
from innercouncil.prompts import source

TURN_TOKENS: Final = 8
"""What a chat template adds to a message."""
_RULE: Final = "====="
_END_RE: Final = re.compile(r"^[^\S\n]*-{3}[^\S\n]*end[^\S\n]+of", re.IGNORECASE | re.MULTILINE)


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(  # noqa: S701 - plain text for a model, not HTML
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


@cache
def _template(name: str) -> jinja2.Template:
    return _environment().from_string(source(name))


def render(template: str, /, **values: Any) -> str:
    """The text of a template."""
    return _template(template).render(**values).strip()


def mark_of(*parts: str) -> str:
    """A word that the quoted texts cannot know, so that none of them can pretend to end where it does not."""
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:8]


def question_text(council: Council) -> str:
    """The question with its attachments."""
    attachments = [{"name": one_line(a.name), "text": _END_RE.sub("- - - end of", a.text)} for a in council.attachments]
    return render("council_question", question=council.question, attachments=attachments)


def turns_tokens(turns: Sequence[ChatTurn]) -> int:
    """Upper estimate of the tokens of a prompt."""
    return sum(estimate_tokens(t.content) + TURN_TOKENS for t in turns) + TURN_TOKENS


def conversation(council: Council, system: str, room: int) -> tuple[ChatTurn, ...]:
    """System prompt, as much of the history as fits (newest kept), and the question, in `room` tokens.

    Raises UsageError where the question alone is too long.
    """
    head = (ChatTurn("system", system),) if system else ()
    last = (ChatTurn("user", question_text(council)),)
    need = turns_tokens((*head, *last))
    if need > room:
        raise UsageError(
            f"The question, its attachments and the persona's prompt come to about {need} tokens, but only {room} fit; "
            "shorten them or choose a larger context (context_tokens)."
        )
    past: tuple[ChatTurn, ...] = ()
    for exchange in reversed(council.history):
        pair = (ChatTurn("user", exchange.question), ChatTurn("assistant", exchange.answer))
        if need + turns_tokens(pair) > room:
            break
        need += turns_tokens(pair)
        past = pair + past
    return (*head, *past, *last)


def fit(texts: Sequence[str], room: int) -> list[str]:
    """Cut the longest texts until all fit in `room` tokens together: short ones stay whole (fair shares)."""
    sizes = [estimate_tokens(t) for t in texts]
    share = _share(sizes, max(room, 0))
    return [quote(t if size <= share else _cut(t, size, share)) for t, size in zip(texts, sizes, strict=True)]


def _share(sizes: Sequence[int], room: int) -> int:
    """The largest size at which nobody has to be cut below the others."""
    left, count = room, len(sizes)
    for size in sorted(sizes):
        if size * count <= left:
            left -= size
            count -= 1
        else:
            return left // count
    return max(sizes, default=0)


def _cut(text: str, size: int, share: int) -> str:
    kept = text[: max(1, int(len(text) * share / size))]
    while kept and estimate_tokens(kept) > share:
        kept = kept[: int(len(kept) * 0.9)]
    return kept.rstrip() + " […]"


def quote(text: str) -> str:
    """A text that cannot be mistaken for our own rules between answers, nor for a chat template's marks."""
    return disarm(text.replace(_RULE, "-----")).strip()


def one_line(text: str) -> str:
    """What a card says of its persona, for the judge's paper: on one line, and without what speaks to judges."""
    return quote(" ".join(split_appeals(text)[0].split()))
