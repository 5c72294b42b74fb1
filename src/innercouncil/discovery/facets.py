"""Facets of every conversation, extracted by a language model from a bounded digest of the person's messages.

The approach of Clio (Tamkin et al. 2024, arXiv 2412.13678): describe each conversation in general terms first, then group
the descriptions. What the model says is taken only when it passes the checks of checked_answers.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final, NamedTuple

import msgspec

from innercouncil import prompts
from innercouncil.discovery.checked_answers import (
    Answer,
    Request,
    all_trouble,
    ask_checked,
    on_one_line,
    text_schema,
    text_trouble,
)
from innercouncil.discovery.model_prompts import Guards
from innercouncil.model.conversation import Message
from innercouncil.model.facets import PURPOSES, Facets
from innercouncil.model.ports import ChatModel, Estimate, ask_each
from innercouncil.model.tokens import estimate_tokens

WORDS: Final = {"task": (2, 18), "approach": (2, 18), "stance": (1, 14)}
"""Fewest and most words of a facet; the prompt asks for less."""
FACET_CHARS: Final = {"task": 90, "approach": 90, "stance": 60}
DIGEST_TOKENS: Final = 2600
"""Most tokens of a conversation's messages: with frame and answer it stays under the smallest usual context, 4096."""
FIRST_CHARS: Final = 900
"""The first message says most about a conversation, so more of it is shown."""
LATER_CHARS: Final = 300
MESSAGES: Final = 24
ANSWER_TOKENS: Final = 220

Keep = Callable[[str, Answer[Facets]], None]


class Digest(NamedTuple):
    """A conversation as the model sees it."""

    key: str
    """SHA-256 of the prompt's version and what is shown: the same conversation is asked about once."""
    texts: tuple[str, ...]
    omitted: int
    """Messages left out."""


def digest_of(
    messages: Sequence[Message], total: int, redact: Callable[[str, str], str] | None = None
) -> Digest | None:
    """The part of a conversation that is sent, None where the person wrote nothing in words.

    `messages` are the first of `total`; `redact(text, id)` takes out what must not leave this machine.
    """
    active = [m for m in messages if m.branch == "active"] or list(messages)
    texts: list[str] = []
    room = DIGEST_TOKENS
    for message in active[:MESSAGES]:
        text = " ".join(message.voice.split())[: LATER_CHARS if texts else FIRST_CHARS]
        if message.pasted_chars:
            text += f" (pasted material, {message.pasted_chars} characters)"
        if not text:
            continue
        text = redact(text, message.id) if redact is not None else text
        need = estimate_tokens(text) + 8
        if need > room:
            break
        room -= need
        texts.append(text)
    if not any(m.voice.strip() for m in active):
        return None
    parts = [extraction_version(), *texts, str(total - len(texts))]
    key = hashlib.sha256("\x00".join(parts).encode("utf-8", "replace")).hexdigest()
    return Digest(key, tuple(texts), total - len(texts))


def estimate_extraction(digests: Sequence[Digest]) -> Estimate:
    """Calls and tokens that extraction will take, if every answer is right the first time."""
    tokens = sum(estimate_tokens(_render(d, len(d.texts))) for d in digests)
    count = len(digests)
    return Estimate(f"{count} conversation{'s' if count != 1 else ''}", count, tokens, ANSWER_TOKENS * count)


async def extract(
    digests: Sequence[Digest], model: ChatModel, guards: Guards, *, keep: Keep, at_once: int = 4, seed: int = 0,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> None:  # fmt: skip
    """Ask about every digest; `keep(key, answer)` gets each answer as it comes.

    Raises BackendError; what was kept before stays kept.
    """

    async def one(digest: Digest) -> int:
        request = Request(
            render=lambda n: _render(digest, n), pieces=len(digest.texts), type=Facets, schema=facets_schema(),
            max_tokens=ANSWER_TOKENS, trouble=lambda f: facets_trouble(f, digest.texts, guards),
        )  # fmt: skip
        keep(digest.key, await ask_checked(request, model, seed=seed))
        return 1

    await ask_each(digests, one, at_once=at_once, total=len(digests), progress=progress)


def facets_trouble(facets: Facets, material: Sequence[str], guards: Guards) -> str:
    """Why these facets must not enter the files, in words; empty where nothing is wrong."""
    if facets.purpose not in PURPOSES:
        return "purpose outside the set"
    texts = [getattr(facets, field) for field in WORDS]
    for text, bounds in zip(texts, WORDS.values(), strict=True):
        if why := text_trouble(text, bounds, guards):
            return why
    if any(re.search(r"\d", text) for text in texts):
        return "personal details"
    return all_trouble(texts, material, guards)


def facets_schema() -> dict[str, object]:
    """JSON Schema of an answer."""
    texts = {field: {"type": "string", "minLength": 3, "maxLength": FACET_CHARS[field]} for field in WORDS}
    return text_schema({"purpose": {"type": "string", "enum": list(PURPOSES)}, **texts})


@cache
def extraction_version() -> str:
    """Changes with the prompt's text and the closed set: answers to an older prompt are not taken for answers to this."""
    return hashlib.sha256(msgspec.json.encode([prompts.source("extract_facets"), PURPOSES])).hexdigest()[:16]


def _render(digest: Digest, shown: int) -> str:
    texts = [on_one_line(text) for text in digest.texts[:shown]]
    omitted = digest.omitted + len(digest.texts) - len(texts)
    return prompts.template("extract_facets").render(messages=texts, omitted=omitted, purposes=PURPOSES)
