"""From conversations to the person's messages, each with what it answers and what answered it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from innercouncil.model.conversation import Conversation, ImportReport, Message, Span, Turn

MAX_MESSAGE_CHARS: Final = 1_000_000
MAX_TITLE_CHARS: Final = 200
BREAK: Final = " … "
"""Stands where the middle of a long context was left out."""

CUT: Final = "end of a message over 1,000,000 characters"
NO_TEXT: Final = "message of yours without text"

_CONTROL_RE: Final = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")


def messages_of(
    conversation: Conversation,
    report: ImportReport,
    *,
    context_chars: int = 2000,
    reply_chars: int = 1000,
    seen: set[str] | None = None,
    analyse: bool = True,
) -> Iterator[Message]:
    """Yield the person's messages of a conversation in reading order and count them in `report`.

    `context_chars` and `reply_chars` limit the assistant's text before and after, in characters. Give the same `seen`
    for all conversations of an import: ids already in it are replaced by `<conversation id>#<n>`. With `analyse=False`
    pasted material in the text is not told apart and the language is not detected.
    """
    seen = set() if seen is None else seen
    turns = conversation.turns
    title = clean_title(conversation.title)
    conversation_id = clean(conversation.id)
    assistant_id = clean(conversation.assistant_id) if conversation.assistant_id else None
    answers: list[str] = []
    position = 0
    for n, turn in enumerate(turns):
        if turn.role == "assistant":
            answers.append(turn.text)
        if turn.role != "user":
            continue
        text, spans = _body(turn, report, analyse=analyse)
        active = turn.branch == "active"
        if text:
            reply, model = _answer(turns, n, reply_chars) if active else ("", None)
            message = Message(
                id=_unique_id(turn.id, conversation_id, n, seen),
                conversation_id=conversation_id,
                title=title,
                position=position,
                text=text,
                context=clip(answers, context_chars),
                reply=reply,
                time=turn.time,
                branch=turn.branch,
                model=turn.model or model or conversation.model,
                assistant_id=assistant_id,
                attachments=tuple(map(clean, turn.attachments)),
                language=_language(text, spans) if analyse else None,
                archived=conversation.archived,
                source=report.format,
                spans=spans,
            )
            report.user_messages += 1
            report.user_chars += len(text)
            yield message
        else:
            report.skip(NO_TEXT)
        if active:
            answers = []
            position += bool(text)


def clean(text: str) -> str:
    """The text without NULs, surrogate pairs joined and lone surrogates replaced by U+FFFD."""
    if "\0" in text:
        text = text.replace("\0", "")
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def clean_title(title: str) -> str:
    """The title on one line without control characters, at most 200 characters."""
    return " ".join(_CONTROL_RE.sub(" ", clean(title[: 4 * MAX_TITLE_CHARS])).split())[:MAX_TITLE_CHARS]


def clip(texts: list[str], limit: int) -> str:
    """The texts joined by a blank line; where longer than `limit` characters the middle is left out."""
    texts = [text for text in texts if text and not text.isspace()]
    length = sum(map(len, texts)) + 2 * (len(texts) - 1)
    if length <= limit:
        return clean("\n\n".join(texts)).strip()
    room = max(0, limit - len(BREAK))
    # Only the ends are joined: an answer may be megabytes long.
    head, tail = _head(texts, (room + 1) // 2), _head([t[: -room - 1 : -1] for t in reversed(texts)], room // 2)[::-1]
    return (clean(head).rstrip() + BREAK + clean(tail).lstrip())[:limit]


def _head(texts: list[str], limit: int) -> str:
    parts: list[str] = []
    left = limit
    for text in texts:
        if left <= 0:
            break
        parts.append(text[:left])
        left -= len(text) + 2
    return "\n\n".join(parts)[:limit]


def _answer(turns: tuple[Turn, ...], asked: int, limit: int) -> tuple[str, str | None]:
    """Beginning of the assistant's answer to turn number `asked`, and the model that gave it."""
    found: list[str] = []
    model = None
    left = limit
    for turn in turns[asked + 1 : asked + 200]:
        if turn.role == "user" or left <= 0:
            break
        if turn.role == "assistant" and turn.text and not turn.text.isspace():
            found.append(turn.text[:left])
            left -= len(turn.text) + 2
            model = model or turn.model
    return clean("\n\n".join(found))[:limit].strip(), model


def _body(turn: Turn, report: ImportReport, *, analyse: bool) -> tuple[str, tuple[Span, ...]]:
    """The text of a message with the material kept apart behind it, and its spans."""
    words = turn.text
    if len(words) > MAX_MESSAGE_CHARS:
        words = words[:MAX_MESSAGE_CHARS]
        report.skip(CUT)
    words = clean(words)
    words = "" if words.isspace() else words
    spans = list(_split(words)) if analyse and words else []
    if turn.pasted and words and not spans:
        spans = [Span("voice", 0, len(words))]
    parts, at = [words], len(words)
    for document in turn.pasted:
        room = MAX_MESSAGE_CHARS - at - 2
        if document.isspace() or not document:
            continue
        if len(document) > room:
            report.skip(CUT)
        if room <= 0:
            break
        part = ("\n\n" if at else "") + clean(document[:room])
        parts.append(part)
        spans.append(Span("document", at, at + len(part)))
        at += len(part)
    return "".join(parts), tuple(spans)


def _split(text: str) -> tuple[Span, ...]:
    from innercouncil.readers.pasted import split_voice  # only where it is wanted: parsing alone needs none of it

    return split_voice(text)


def _language(text: str, spans: tuple[Span, ...]) -> str | None:
    from innercouncil.readers.language import detect  # loads a model

    voice = "\n".join(text[span.start : span.end] for span in spans if span.kind == "voice")
    return detect(voice)


def _unique_id(own: str | None, conversation_id: str, n: int, seen: set[str]) -> str:
    name = clean(own) if own else f"{conversation_id}#{n}"
    if name in seen:
        name = f"{conversation_id}#{n}"
    extra = 1
    while name in seen:
        extra += 1
        name = f"{conversation_id}#{n}.{extra}"
    seen.add(name)
    return name
