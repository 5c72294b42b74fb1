"""Gemini in Google Takeout: a list of activities without conversations; those close in time are taken together."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from innercouncil.model.conversation import Conversation, ImportReport, Turn
from innercouncil.readers.fields import as_dict, as_list, as_time, as_word, content_id
from innercouncil.readers.json_stream import iter_elements
from innercouncil.readers.source import Member

NAME: Final = "gemini"
GAP_SECONDS: Final = 1800
"""A pause of half an hour begins a new conversation: Takeout says nothing about conversations."""

_PROMPT_RE: Final = re.compile(r"^(?:Prompted|Said|Asked|Gesagt:?|Gefragt:?|Prompt gesendet:?)\s+", re.IGNORECASE)
_TAG_RE: Final = re.compile(r"<[^>]{0,500}>")
_BREAK_RE: Final = re.compile(r"<(?:br|/p|/li|/h\d|/div)\b[^>]{0,200}>", re.IGNORECASE)


def recognise_file(head: bytes, name: str) -> bool:
    """A JSON list of activities of Gemini or Bard."""
    del name
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    return start[:1] == b"[" and b'"header"' in head and re.search(rb'"(?:Gemini|Bard)[^"]{0,20}"', head) is not None


def read(member: Member, report: ImportReport) -> Iterator[Conversation]:
    """Conversations, oldest first; activities that are no prompts are counted and left out."""
    with member.open() as stream:
        found = [a for e in iter_elements(stream, report, name=member.name) if (a := _activity(as_dict(e), report))]
    found.sort(key=lambda a: (a[0] is None, a[0] or 0.0))
    for group in _sessions(found):
        turns = tuple(t for _, pair in group for t in pair)
        first = turns[0].text.strip().splitlines()
        yield Conversation(
            id=content_id(NAME, group[0][0], turns), title=first[0][:80] if first else "", turns=turns, time=group[0][0]
        )


def _activity(data: dict[str, Any], report: ImportReport) -> tuple[float | None, tuple[Turn, ...]] | None:
    title = as_word(data.get("title")) or ""
    match = _PROMPT_RE.match(title)
    if match is None:
        report.skip("activity that is no prompt")
        return None
    when = as_time(data.get("time"))
    question = Turn(role="user", text=title[match.end() :], time=when, attachments=_files(data))
    answers = [_plain(h) for i in as_list(data.get("safeHtmlItem")) if (h := as_word(as_dict(i).get("html")))]
    text = "\n".join(a for a in answers if a)
    return when, (question, Turn(role="assistant", text=text, time=when)) if text else (question,)


def _files(data: dict[str, Any]) -> tuple[str, ...]:
    names = [as_word(x) or as_word(as_dict(x).get("name")) for x in as_list(data.get("attachedFiles"))]
    return tuple(n for n in names if n)


def _plain(markup: str) -> str:
    """Words of an HTML fragment; tags are dropped, never interpreted."""
    return html.unescape(_TAG_RE.sub("", _BREAK_RE.sub("\n", markup))).strip()


def _sessions(
    found: Iterable[tuple[float | None, tuple[Turn, ...]]],
) -> Iterator[list[tuple[float | None, tuple[Turn, ...]]]]:
    group: list[tuple[float | None, tuple[Turn, ...]]] = []
    for item in found:
        last = group[-1][0] if group else None
        if group and (item[0] is None or last is None or item[0] - last > GAP_SECONDS):
            yield group
            group = []
        group.append(item)
    if group:
        yield group
