"""Character cards, version 2 and 3, as JSON (spec_v2.md, SPEC_V3.md); version 1 is read as version 2.

A character card spreads over several fields what a persona has in one text. `system` is, a blank line between:
`system_prompt` (without {{original}}), `description`, "Personality: " and `personality`, "Scenario: " and `scenario`,
with {{char}} and {{user}} replaced by the name and "the user". `creator_notes` is the description for people.

Writing changes only what was edited. If the edited text still ends in what those fields say, the rest goes to
`system_prompt` and they stay; otherwise the whole text goes to `system_prompt`, they are emptied so that nothing stands
there twice, and what they said is kept in extensions.innercouncil.replaced.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any, Final, Literal

from innercouncil.cards.draft import NAMELESS, OURS, Draft, aside, extras_of, finish, keys_listed, original_of
from innercouncil.cards.parsing import dump_json
from innercouncil.cards.safety import as_dict, as_list, as_text, slug_of
from innercouncil.model.card import CardFile, CardFormat, Example, ImportedCard, Original, PersonaCard

Spec = Literal["card-v2", "card-v3"]

FAMILY: Final[tuple[CardFormat, ...]] = ("card-v2", "card-v3", "card-png")
EXTRAS: Final = ("temperature", "top_p", "license", "base_model")
"""What we keep of a card in our extension, because character cards have no field for it."""

_SPECS: Final = {"card-v2": ("chara_card_v2", "2.0"), "card-v3": ("chara_card_v3", "3.0")}
_V1_FIELDS: Final = ("name", "description", "personality", "scenario", "first_mes", "mes_example")
_TEXTS: Final = (
    *_V1_FIELDS, "creator_notes", "system_prompt", "post_history_instructions", "creator", "character_version",
)  # fmt: skip
_V3_ONLY: Final = (
    "assets", "nickname", "creator_notes_multilingual", "source", "group_only_greetings", "creation_date", "modification_date",
)  # fmt: skip
_COMPOSED: Final = (("description", ""), ("personality", "Personality: "), ("scenario", "Scenario: "))
_MAX_DIALOGUE: Final = 200_000
_USER: Final = "the user"
_MACRO_RE: Final = re.compile(r"\{\{\s*(char|user|original)\s*\}\}|<(char|bot|user)>", re.IGNORECASE)
_START_RE: Final = re.compile(r"^[ \t]*<START>[ \t]*$", re.IGNORECASE | re.MULTILINE)
_SPEAKER_RE: Final = re.compile(
    r"\s*(?:(\{\{user\}\}|<user>|user|you)|(\{\{char\}\}|<char>|<bot>))\s*:\s?(.*)", re.IGNORECASE
)


def recognise(data: object) -> bool:
    """Whether the JSON value is a character card of any version."""
    fields = as_dict(data)
    spec, inner = fields.get("spec"), fields.get("data")
    if isinstance(spec, str) and spec.startswith("chara_card"):
        return True
    body = inner if isinstance(inner, dict) else fields
    return "name" in body and any(name in body for name in ("first_mes", "mes_example", "personality", "scenario"))


def read(data: object, filename: str = "") -> list[ImportedCard]:
    """The card in the JSON value."""
    del filename  # a character card always has a name
    card = as_dict(data)
    loss = []
    if not isinstance(card.get("data"), dict):
        inner = (
            card if "spec" not in card else {k: v for k, v in card.items() if k not in ("spec", "spec_version", "data")}
        )
        card = {"spec": "chara_card_v2", "spec_version": "2.0", "data": inner}
        loss.append("The card is of version 1 and is kept as version 2.")
    format_: CardFormat = "card-v3" if card.get("spec") == "chara_card_v3" else "card-v2"
    return [parse(card, Original(format=format_, data=card), loss)]


def parse(card: dict[str, Any], original: Original, loss: list[str] | None = None) -> ImportedCard:
    """The card in the fields of a file."""
    data = as_dict(card.get("data"))
    extras = as_dict(as_dict(data.get("extensions")).get(OURS))
    draft = Draft(
        name=data.get("name"),
        description=as_text(data.get("creator_notes")),
        system=compose(data),
        greeting=_resolved(as_text(data.get("first_mes")), data),
        examples=_examples(data),
        tags=data.get("tags"),
        creator=data.get("creator"),
        version=data.get("character_version"),
        unused=unused(data),
        loss=list(loss or []),
    )
    draft.fill({name: extras[name] for name in EXTRAS if name in extras})
    if as_text(data.get("mes_example")).strip() and not draft.examples:
        draft.loss.append("The example dialogue has no exchange of a user and the character and is not used.")
    return finish(draft, original)


def compose(data: dict[str, Any]) -> str:
    """The system prompt of a card, as the head of this file describes."""
    parts = [_resolved(as_text(data.get("system_prompt")), data).strip(), _tail(data)]
    return "\n\n".join(part for part in parts if part)


def _tail(data: dict[str, Any]) -> str:
    texts = ((title, _resolved(as_text(data.get(name)), data).strip()) for name, title in _COMPOSED)
    return "\n\n".join(title + text for title, text in texts if text)


def _resolved(text: str, data: dict[str, Any]) -> str:
    """The text with the macros replaced, unless the card says that they are meant literally."""
    if as_dict(as_dict(data.get("extensions")).get(OURS)).get("macros") is False:
        return text
    name = as_text(data.get("nickname")).strip() or as_text(data.get("name")).strip() or NAMELESS

    def value(match: re.Match[str]) -> str:
        macro = (match[1] or match[2]).lower()
        return {"user": _USER, "original": ""}.get(macro, name)

    return _MACRO_RE.sub(value, text)


def _examples(data: dict[str, Any]) -> list[tuple[str, str]]:
    """The exchanges of `mes_example`; turns of one speaker in a row are one."""
    pairs: list[tuple[str, str]] = []
    for block in _START_RE.split(as_text(data.get("mes_example"))[:_MAX_DIALOGUE]):
        turns: list[tuple[bool, list[str]]] = []
        for line in block.strip().split("\n"):
            speaker = _speaker(line, data)
            if speaker is None:
                if turns:
                    turns[-1][1].append(line)
            elif turns and turns[-1][0] == speaker[0]:
                turns[-1][1].append(speaker[1])
            else:
                turns.append((speaker[0], [speaker[1]]))
        texts = [(is_user, _resolved("\n".join(lines), data).strip()) for is_user, lines in turns]
        pairs += [(a[1], b[1]) for a, b in pairwise(texts) if a[0] and not b[0]]
    return pairs


def _speaker(line: str, data: dict[str, Any]) -> tuple[bool, str] | None:
    """Whether the user speaks, and the words; None where the line goes on with the turn before."""
    match = _SPEAKER_RE.fullmatch(line)
    if match:
        return match[1] is not None, match[3]
    name = as_text(data.get("name")).strip()
    if name and line.lstrip().startswith(f"{name}:"):
        return False, line.lstrip()[len(name) + 1 :].removeprefix(" ")
    return None


def unused(data: dict[str, Any]) -> list[str]:
    """What the card holds that the council does not use."""
    greetings = len(as_list(data.get("alternate_greetings"))) + len(as_list(data.get("group_only_greetings")))
    book = as_dict(data.get("character_book"))
    assets = [a for a in as_list(data.get("assets")) if as_dict(a).get("uri") != "ccdefault:"]
    extensions = [key for key in as_dict(data.get("extensions")) if key != OURS]
    known = {*_TEXTS, *_V3_ONLY, "alternate_greetings", "character_book", "tags", "extensions"}
    others = [key for key in data if key not in known]
    told = [
        (greetings, f"{greetings} alternative greetings"),
        (book, f"the lorebook ({len(as_list(book.get('entries')))} entries)"),
        (as_text(data.get("post_history_instructions")).strip(), "the post-history instructions"),
        (assets, f"{len(assets)} assets (pictures and the like, none of which is fetched)"),
        (extensions, f"extensions of other programs ({keys_listed(extensions)})"),
        (others, f"unknown fields ({keys_listed(others)})"),
    ]
    return [what for present, what in told if present]


def write(card: PersonaCard, spec: Spec) -> CardFile:
    """The card as a JSON file of that version."""
    content, loss = build(card, spec)
    return CardFile(
        filename=f"{slug_of(card.name)}.json",
        media_type="application/json",
        content=dump_json(content),
        loss=tuple(loss),
    )


def build(card: PersonaCard, spec: Spec) -> tuple[dict[str, Any], list[str]]:
    """The fields of the card as that version, and what is lost, a sentence each."""
    whole = original_of(card, *FAMILY) or {}
    data: dict[str, Any] = dict(as_dict(whole.get("data")))
    new = not data
    loss = _to_spec(data, spec)
    if new or _reread(data).name != card.name:
        data["name"] = card.name
    _put(data, card, None if new else _reread(data))  # read with the new name, which stands for {{char}} in the texts
    extensions = dict(as_dict(data.get("extensions")))
    ours = {k: v for k, v in as_dict(extensions.get(OURS)).items() if k not in EXTRAS}
    extras = extras_of(card, EXTRAS)
    if ours | extras or OURS in extensions:
        extensions[OURS] = ours | extras
    data["extensions"] = extensions
    loss += aside(extras, "Character cards have", f"extensions.{OURS}")
    loss += _put_system(data, card, new=new)
    whole["spec"], whole["spec_version"] = _SPECS[spec]
    whole["data"] = data
    for name in _V1_FIELDS:  # some programs repeat these for readers of version 1
        if name in whole:
            whole[name] = data[name]
    return {"spec": whole.pop("spec"), "spec_version": whole.pop("spec_version"), **whole}, loss


def _to_spec(data: dict[str, Any], spec: Spec) -> list[str]:
    """Give the fields their due types, and those of version 3 to version 3 only."""
    for name in _TEXTS:
        data[name] = as_text(data.get(name))
    for name in ("alternate_greetings", "tags", *(("group_only_greetings",) if spec == "card-v3" else ())):
        data[name] = [item for item in as_list(data.get(name)) if isinstance(item, str)]
    if spec == "card-v2":
        gone = [name for name in _V3_ONLY if data.pop(name, None)]
        return [f"Version 2 has no field for: {', '.join(gone)}."] if gone else []
    if not isinstance(data.get("assets"), list):
        data["assets"] = [{"type": "icon", "uri": "ccdefault:", "name": "main", "ext": "png"}]
    for name in ("creation_date", "modification_date"):
        data.setdefault(name, 0)  # the specification's word for "unknown", which keeps the hour private
    return []


def _put(data: dict[str, Any], card: PersonaCard, before: PersonaCard | None) -> None:
    """Everything but name and system prompt, where it was edited."""
    texts = (("creator_notes", "description"), ("first_mes", "greeting"), ("creator", "creator"))
    for field, name in (*texts, ("character_version", "version")):
        if before is None or getattr(before, name) != getattr(card, name):
            data[field] = getattr(card, name)
    if before is None or before.tags != card.tags:
        data["tags"] = list(card.tags)
    if before is None or before.examples != card.examples:
        data["mes_example"] = _dialogue(card.examples)


def _dialogue(examples: tuple[Example, ...]) -> str:
    return "\n".join(f"<START>\n{{{{user}}}}: {e.user}\n{{{{char}}}}: {e.assistant}" for e in examples)


def _put_system(data: dict[str, Any], card: PersonaCard, *, new: bool) -> list[str]:
    """The system prompt, where it was edited; the last step, because the name stands in the text."""
    if _reread(data).system == card.system and not new:
        return _literal(data, card)
    loss = []
    tail = _tail(data)
    head = card.system[: -len(tail)] if tail and card.system.endswith(tail) else ""
    data["system_prompt"] = head.strip()
    if not head.endswith("\n\n") or _reread(data).system != card.system:
        replaced = {name: data[name] for name, _ in _COMPOSED if data[name]}
        data["system_prompt"] = card.system
        if replaced:
            data.update(dict.fromkeys(replaced, ""))
            data["extensions"][OURS] = as_dict(data["extensions"].get(OURS)) | {"replaced": replaced}
            loss.append(
                f"The edited text stands in system_prompt; {', '.join(replaced)} would repeat it and "
                f"{'are' if len(replaced) > 1 else 'is'} kept in extensions.{OURS}.replaced."
            )
    return loss + _literal(data, card)


def _literal(data: dict[str, Any], card: PersonaCard) -> list[str]:
    """Where a text of the card itself holds a macro (it came from elsewhere), say that it is meant literally."""
    texts = [card.system, card.greeting, *(t for e in card.examples for t in (e.user, e.assistant))]
    if not any(_MACRO_RE.search(text) for text in texts):
        return []
    literal = as_dict(data["extensions"].get(OURS)) | {"macros": False}
    data["extensions"][OURS] = literal
    for name, _ in _COMPOSED:
        data[name] = ""
    data |= {"system_prompt": card.system, "first_mes": card.greeting, "mes_example": _dialogue(card.examples)}
    return ["Other programs will replace {{char}}, {{user}} and the like in the text, which are meant literally here."]


def _reread(data: dict[str, Any]) -> PersonaCard:
    return parse({"data": data}, Original(format="card-v2", data={})).card
