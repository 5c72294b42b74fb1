"""Agent Skills: SKILL.md, YAML front matter with `name` and `description` over a Markdown body.

The name of a skill is a slug and its description short and required; the exact ones, and what a skill has no field
for, stand as one line of JSON in its `metadata`, and count only as long as the skill's own fields still fit them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from innercouncil.cards.draft import (
    OURS,
    Draft,
    aside,
    extras_from,
    extras_of,
    extras_text,
    finish,
    keys_listed,
    original_of,
)
from innercouncil.cards.parsing import dump_yaml, load_yaml, unreadable
from innercouncil.cards.safety import as_dict, as_text, file_label, name_from, slug_of
from innercouncil.model.card import CardFile, ImportedCard, Original, PersonaCard
from innercouncil.model.errors import CardError

MAX_DESCRIPTION: Final = 1024
EXTRAS: Final = ("temperature", "top_p", "greeting", "examples", "tags", "base_model")
_EXACT: Final = ("name", "description")
_KNOWN: Final = frozenset({"name", "description", "license", "metadata"})
_FRONT_RE: Final = re.compile(r"\s*---[ \t]*\n(.*?\n)---[ \t]*(?:\n|\Z)(.*)", re.DOTALL)


def recognise(text: str) -> bool:
    """Whether the text begins with front matter that has a name or a description."""
    match = _FRONT_RE.fullmatch(text)
    return match is not None and re.search(r"^(?:name|description)[ \t]*:", match[1], re.MULTILINE) is not None


def read(text: str, filename: str = "") -> list[ImportedCard]:
    """The persona of the skill. Raises CardError."""
    where = file_label(filename)
    match = _FRONT_RE.fullmatch(text)
    if match is None:
        raise CardError(f"{where} has no front matter between two lines of ---; add name and description there.")
    front = load_yaml(match[1], f"The front matter of {where}")
    if not isinstance(front, dict):
        raise CardError(
            f"The front matter of {where} is not a list of fields; write `name: ...` and `description: ...`."
        )
    return [parse({"front": front, "body": match[2]}, name_from(filename), unreadable(match[1]))]


def parse(data: dict[str, Any], fallback: str = "", warnings: Sequence[str] = ()) -> ImportedCard:
    """The card in front matter and body."""
    front, body = as_dict(data.get("front")), as_text(data.get("body"))
    metadata = as_dict(front.get("metadata"))
    extras = extras_from(metadata.get(OURS))
    name, description = as_text(front.get("name")), as_text(front.get("description"))
    exact, full = extras.get("name"), extras.get("description")
    draft = Draft(
        name=exact if isinstance(exact, str) and slug_of(exact) == name else name,
        description=full if isinstance(full, str) and _fitting(full, exact) == description else description,
        system=body,
        license=front.get("license"),
        creator=metadata.get("author"),
        version=metadata.get("version"),
        unused=_unused(front, metadata),
    )
    draft.warnings += warnings
    draft.fill({key: extras[key] for key in EXTRAS if key in extras})
    return finish(draft, Original(format="skill", data={"front": front, "body": body}), fallback=fallback)


def _fitting(description: str, name: object) -> str:
    """The description as a skill may have it: present, and not too long."""
    text = description or f"Answers as the persona {as_text(name)}."
    return text if len(text) <= MAX_DESCRIPTION else text[: MAX_DESCRIPTION - 3].rstrip() + "..."


def _unused(front: dict[str, Any], metadata: dict[str, Any]) -> list[str]:
    fields = [key for key in front if key not in _KNOWN]
    details = [key for key in metadata if key not in ("author", "version", OURS)]
    return [
        f"{what} ({keys_listed(keys)})"
        for what, keys in (("fields of the skill", fields), ("metadata", details))
        if keys
    ]


def write(card: PersonaCard) -> CardFile:
    """The card as SKILL.md."""
    data = original_of(card, "skill")
    front: dict[str, Any] = dict(as_dict(data.get("front"))) if data else {}
    before = parse(data).card if data else None
    metadata = dict(as_dict(front.get("metadata")))
    exact: dict[str, Any] = {}
    loss: list[str] = []

    def changed(name: str) -> bool:
        return before is None or getattr(before, name) != getattr(card, name)

    known = extras_from(metadata.get(OURS))
    if changed("name") or "name" not in front:  # a skill has one, and is known by it when it is read back
        front = {**front, "name": slug_of(card.name)}
    if front.get("name") != card.name and slug_of(card.name) == front.get("name"):
        exact["name"] = card.name
        loss.append(f"A skill's name is a slug: {front['name']}.")
    if changed("description") or (changed("name") and not card.description):
        front["description"] = _fitting(card.description, card.name)
    if front.get("description") != card.description and _fitting(card.description, card.name) == front.get(
        "description"
    ):
        exact |= {"name": card.name, "description": card.description}
        if card.description:
            loss.append(f"A skill's description has at most {MAX_DESCRIPTION} characters; the rest is left out.")
    for key, name, place in (
        ("license", "license", front),
        ("author", "creator", metadata),
        ("version", "version", metadata),
    ):
        if changed(name):
            place.pop(key, None)
            if getattr(card, name):
                place[key] = getattr(card, name)
    extras = extras_of(card, EXTRAS)
    ours = {k: v for k, v in known.items() if k not in (*EXTRAS, *_EXACT)} | exact | extras
    metadata.pop(OURS, None)
    if ours:
        metadata[OURS] = extras_text(ours)
    front.pop("metadata", None)
    if metadata:
        front["metadata"] = metadata
    body = f"\n{card.system}\n" if changed("system") else as_text(data.get("body") if data else "")
    content = f"---\n{dump_yaml(front)}---\n{body}"
    loss += aside(extras, "A skill has", f"metadata.{OURS}")
    return CardFile(
        filename="SKILL.md", media_type="text/markdown", content=content.encode("utf-8", "replace"), loss=tuple(loss)
    )
