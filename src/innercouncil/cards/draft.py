"""From the loose fields of a file to a card: every format fills a `Draft`, and `finish` cleans and bounds it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from innercouncil.cards import safety
from innercouncil.cards.parsing import WRITING, plain
from innercouncil.cards.safety import Cleaner, appeals, as_dict, as_list
from innercouncil.model.card import CardFormat, Example, ImportedCard, Original, PersonaCard
from innercouncil.model.errors import CardError

OURS: Final = "innercouncil"
"""The key under which files of other formats carry what they have no field for."""

_MODEL_RE: Final = re.compile(r"(?![A-Za-z]:/)[A-Za-z0-9][\w.:@/ +-]*")

KEPT: Final = "Kept, but not used: "
"""How `loss` begins for what a file holds and the council does not use."""

NAMELESS: Final = "Imported persona"

FIELDS: Final = {
    "name": "name",
    "description": "description",
    "system": "system prompt",
    "temperature": "temperature",
    "top_p": "top_p",
    "greeting": "greeting",
    "examples": "examples",
    "tags": "tags",
    "creator": "creator",
    "version": "version",
    "license": "license",
    "base_model": "base model",
}
"""Fields of a card and what a person calls them."""


@dataclass(kw_only=True)
class Draft:
    """What a file says, of any type; None for what it does not say."""

    name: object = None
    description: object = None
    system: object = None
    temperature: object = None
    top_p: object = None
    greeting: object = None
    examples: Sequence[tuple[object, object]] = ()
    tags: object = None
    creator: object = None
    version: object = None
    license: object = None
    base_model: object = None
    unused: list[str] = field(default_factory=list)
    """What the file holds that the council does not use, and keeps for the way back: "the lorebook" …"""
    loss: list[str] = field(default_factory=list)
    """Other sentences on what got lost."""
    warnings: list[str] = field(default_factory=list)

    def fill(self, extras: dict[str, Any]) -> None:
        """Take from our own extras what the format had no field for; what the file itself says goes first."""
        for name in FIELDS:
            if name in extras and getattr(self, name) in (None, "", (), []):
                value = extras[name]
                if name == "examples":
                    pairs = [item for item in as_list(value) if isinstance(item, list) and len(item) == 2]
                    value = [(item[0], item[1]) for item in pairs]
                setattr(self, name, value)


def finish(draft: Draft, original: Original, *, fallback: str = "") -> ImportedCard:
    """The card in the draft, clean and bounded."""
    warnings = list(draft.warnings)
    clean = Cleaner(warnings)
    card = PersonaCard(
        name=clean.line(draft.name, "name", safety.MAX_NAME) or clean.line(fallback, "name", safety.MAX_NAME) or NAMELESS,
        description=clean.text(draft.description, "description", safety.MAX_DESCRIPTION),
        system=clean.text(draft.system, "system prompt", safety.MAX_SYSTEM),
        temperature=clean.number(draft.temperature, "temperature", 0, 2),
        top_p=clean.number(draft.top_p, "top_p", 0, 1),
        greeting=clean.text(draft.greeting, "greeting", safety.MAX_GREETING),
        examples=_examples(draft.examples, clean),
        tags=_tags(draft.tags, clean),
        creator=clean.line(draft.creator, "creator", safety.MAX_SHORT),
        version=clean.line(draft.version, "version", safety.MAX_SHORT),
        license=clean.line(draft.license, "license", safety.MAX_SHORT),
        base_model=_model_name(draft.base_model, clean),
        original=original,
    )  # fmt: skip
    warnings += appeals(card.system, "system prompt") + appeals(card.description, "description")
    warnings += appeals(card.greeting, "greeting") + appeals(card.name, "name")
    warnings += [w for e in card.examples for text in (e.user, e.assistant) for w in appeals(text, "examples")][:3]
    return ImportedCard(
        card=card,
        format=original.format,
        loss=tuple(dict.fromkeys([*draft.loss, *(f"{KEPT}{what}." for what in draft.unused)])),
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _model_name(value: object, clean: Cleaner) -> str:
    """The name of a model; never a path or an address, to which a stranger's card could lead the questions."""
    name = clean.line(value, "base model", safety.MAX_SHORT)
    if name and (not _MODEL_RE.fullmatch(name) or "://" in name or ".." in name or name.lower().endswith(".gguf")):
        clean.warnings.append("The base model is a path or an address, not the name of a model, and is ignored.")
        return ""
    return name


def _examples(pairs: Sequence[tuple[object, object]], clean: Cleaner) -> tuple[Example, ...]:
    found = []
    for user, assistant in pairs[: safety.MAX_EXAMPLES]:
        example = Example(
            user=clean.text(user, "examples", safety.MAX_EXAMPLE),
            assistant=clean.text(assistant, "examples", safety.MAX_EXAMPLE),
        )
        if example.user and example.assistant:
            found.append(example)
    if len(pairs) > safety.MAX_EXAMPLES:
        clean.warnings.append(f"Only the first {safety.MAX_EXAMPLES} of {len(pairs)} examples are used.")
    return tuple(found)


def _tags(value: object, clean: Cleaner) -> tuple[str, ...]:
    """Tags from a list of texts or of objects with a name, or from one text with commas; each once."""
    items = value.split(",") if isinstance(value, str) else as_list(value)
    named = [as_dict(item).get("name") if isinstance(item, dict) else item for item in items]
    if len(named) > safety.MAX_TAGS:
        clean.warnings.append(f"Only the first {safety.MAX_TAGS} of {len(named)} tags are used.")
    tags = (clean.line(tag, "tags", safety.MAX_TAG) for tag in named[: safety.MAX_TAGS])
    return tuple(dict.fromkeys(tag for tag in tags if tag))


def keys_listed(keys: Iterable[str]) -> str:
    """Names of fields of a stranger's file, safe to show: eight at most."""
    shown = [re.sub(r"[^\w./$ -]", "?", key)[:40] for key in keys]
    return ", ".join(shown[:8]) + (" and more" if len(shown) > 8 else "")


def original_of(card: PersonaCard, *formats: CardFormat) -> dict[str, Any] | None:
    """A copy of the fields of the file the card came from, if that was of one of these formats."""
    if card.original is None or card.original.format not in formats:
        return None
    data: dict[str, Any] = plain(card.original.data, "The original", WRITING)
    return data


def extras_of(card: PersonaCard, names: Iterable[str]) -> dict[str, Any]:
    """Those of the named fields that the card has, as plain data for our corner of a file."""
    extras: dict[str, Any] = {}
    for name in names:
        value = getattr(card, name)
        if name == "examples":
            value = [[e.user, e.assistant] for e in value]
        if value not in (None, "", (), []):
            extras[name] = list(value) if isinstance(value, tuple) else value
    return extras


def extras_text(extras: dict[str, Any]) -> str:
    """Extras as one line of ASCII, for a comment."""
    return json.dumps(plain(extras, "The card", WRITING), ensure_ascii=True)


def extras_from(text: object) -> dict[str, Any]:
    """Extras from such a line; none where it is not one."""
    if not isinstance(text, str):
        return {}
    try:
        return as_dict(plain(json.loads(text), "The comment"))
    except (ValueError, RecursionError, CardError):
        return {}


def listed(words: Iterable[str]) -> str:
    """ "a, b and c"."""
    items = list(words)
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def aside(extras: Iterable[str], who: str, where: str) -> list[str]:
    """The sentence that says which fields only we will read back."""
    names = [FIELDS[name] for name in extras if name in FIELDS]
    return [f"{who} no field for {listed(names)}: kept in {where}, which only innercouncil reads."] if names else []
