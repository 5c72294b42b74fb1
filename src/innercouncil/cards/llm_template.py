"""Templates of simonw/llm: YAML with `system`, `model`, `options`. Code in them (`functions`) is never run.

`system` is a string.Template: `$$` stands for `$`, and `$name` for a variable, taken from `defaults` where it is there.
llm refuses fields it does not know, so what a template has no field for stands in a comment.
"""

from __future__ import annotations

import re
import string
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

EXTRAS: Final = ("description", "greeting", "examples", "tags", "creator", "version", "license")
_USED: Final = frozenset({"name", "system", "model", "options", "defaults"})
_CODE: Final = (
    "functions",
    "tools",
    "extract",
    "extract_last",
    "fragments",
    "system_fragments",
    "schema_object",
    "prompt",
    "attachments",
)
_FIELD_RE: Final = re.compile(r"^[\"']?system[\"']?[ \t]*:", re.MULTILINE)
_COMMENT_RE: Final = re.compile(rf"^# {OURS}: (\{{.*\}})[ \t]*$", re.MULTILINE)


def recognise(text: str) -> bool:
    """Whether the text is YAML with a `system` text, and with more fields of a template."""
    if not _FIELD_RE.search(text):
        return False
    try:
        fields = load_yaml(text, "The file")
    except CardError:
        return False
    known = {*_USED, *_CODE}
    return is_template(fields) and (fields.keys() <= known or len(fields.keys() & known) > 2)


def is_template(fields: object) -> bool:
    """Whether the fields are a template with a system prompt."""
    return isinstance(fields, dict) and bool(as_text(fields.get("system")).strip())


def read(text: str, filename: str = "") -> list[ImportedCard]:
    """The persona of the template. Raises CardError."""
    where = file_label(filename)
    fields = load_yaml(text, where)
    if not is_template(fields):
        raise CardError(f"{where} is YAML without a `system` text; add the persona's prompt as `system: ...`.")
    comment = _COMMENT_RE.search(text)
    extras = extras_from(comment[1]) if comment else {}
    return [parse({"fields": fields, "extras": extras}, name_from(filename), unreadable(text))]


def parse(data: dict[str, Any], fallback: str = "", warnings: Sequence[str] = ()) -> ImportedCard:
    """The card in the fields of a template."""
    fields, extras = as_dict(data.get("fields")), as_dict(data.get("extras"))
    options = as_dict(fields.get("options"))
    defaults = {key: as_text(value) for key, value in as_dict(fields.get("defaults")).items()}
    system = string.Template(as_text(fields.get("system")))
    draft = Draft(
        name=fields.get("name"),
        system=system.safe_substitute(defaults),
        temperature=options.get("temperature"),
        top_p=options.get("top_p"),
        base_model=fields.get("model"),
        unused=_unused(fields, options, [name for name in _variables(system) if name not in defaults]),
    )
    draft.warnings += warnings
    draft.fill({name: extras[name] for name in EXTRAS if name in extras})
    if fields.get("functions"):
        draft.warnings.append("The template carries program code (functions); it is kept as text and never run.")
    return finish(draft, Original(format="llm-template", data={"fields": fields, "extras": extras}), fallback=fallback)


def _variables(template: string.Template) -> list[str]:
    found = (match["named"] or match["braced"] for match in template.pattern.finditer(template.template))
    return list(dict.fromkeys(name for name in found if name))


def _unused(fields: dict[str, Any], options: dict[str, Any], variables: list[str]) -> list[str]:
    code = [key for key in _CODE if fields.get(key) is not None]
    others = [key for key in fields if key not in _USED and key not in _CODE]
    settings = [key for key in options if key not in ("temperature", "top_p")]
    told = [
        (code, f"{', '.join(code)} (ignored, never run)"),
        (others, f"unknown fields ({keys_listed(others)})"),
        (settings, f"options ({keys_listed(settings)})"),
        (
            variables,
            f"variables without a value, which stay in the text ({keys_listed('$' + name for name in variables)})",
        ),
    ]
    return [what for present, what in told if present]


def write(card: PersonaCard) -> CardFile:
    """The card as a template."""
    data = original_of(card, "llm-template")
    fields: dict[str, Any] = dict(as_dict(data.get("fields"))) if data else {}
    before = parse(data).card if data else None
    options = dict(as_dict(fields.get("options")))
    places: list[tuple[dict[str, Any], str, str, Any]] = [
        (fields, "name", "name", card.name),
        (fields, "model", "base_model", card.base_model or None),
        (fields, "system", "system", card.system.replace("$", "$$")),
        (options, "temperature", "temperature", card.temperature),
        (options, "top_p", "top_p", card.top_p),
    ]
    for place, key, name, value in places:
        if before is None or getattr(before, name) != getattr(card, name):
            place.pop(key, None) if value is None else place.update({key: value})
    if options:
        fields["options"] = options
    elif "options" in fields:
        del fields["options"]
    extras = extras_of(card, EXTRAS)
    comment = f"# {OURS}: {extras_text(extras)}\n" if extras else ""
    return CardFile(
        filename=f"{slug_of(card.name)}.yaml",
        media_type="application/yaml",
        content=(comment + dump_yaml(fields)).encode("utf-8", "replace"),
        loss=tuple(aside(extras, "A template has", "a comment")),
    )
