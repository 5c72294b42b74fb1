"""Plain Markdown or text: the heading it begins with is the name, the rest is the system prompt."""

from __future__ import annotations

import re
from typing import Any, Final

from innercouncil.cards.draft import Draft, finish, original_of
from innercouncil.cards.safety import as_text, name_from, slug_of
from innercouncil.model.card import CardFile, ImportedCard, Original, PersonaCard

_TITLE_RE: Final = re.compile(r"\s*#{1,6}[ \t]++([^\n]*\S)[^\S\n]*(?:\n(.*))?", re.DOTALL)
_HEADING_RE: Final = re.compile(r"^#{1,6}[ \t]+(\S.*)$", re.MULTILINE)


def read(text: str, filename: str = "") -> list[ImportedCard]:
    """The persona in the text."""
    return [parse({"text": text}, name_from(filename))]


def parse(data: dict[str, Any], fallback: str = "") -> ImportedCard:
    """The card in the text; a heading further down is part of the prompt and names it only where the file does not."""
    text = as_text(data.get("text"))
    title = _TITLE_RE.fullmatch(text)
    if title:
        draft = Draft(name=title[1], system=title[2])
    else:
        heading = None if fallback else _HEADING_RE.search(text)
        draft = Draft(name=heading[1] if heading else None, system=text)
    return finish(draft, Original(format="markdown", data={"text": text}), fallback=fallback)


def write(card: PersonaCard) -> CardFile:
    """The card as Markdown: the text it came from where nothing was edited, else name and prompt."""
    data = original_of(card, "markdown")
    before = parse(data).card if data else None
    kept = data is not None and before is not None and (before.name, before.system) == (card.name, card.system)
    text = as_text(data["text"]) if kept and data else f"# {card.name}\n\n{card.system}\n"
    return CardFile(
        filename=f"{slug_of(card.name)}.md", media_type="text/markdown", content=text.encode("utf-8", "replace")
    )
