"""Read and write persona cards of every format: a file is recognised by what it holds; its name breaks ties only."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec

from innercouncil.cards import character_card, llm_template, markdown, modelfile, open_webui, png, skill
from innercouncil.cards.draft import FIELDS, KEPT, listed
from innercouncil.cards.parsing import decode, load_json
from innercouncil.cards.safety import MAX_FILE, file_label, name_from
from innercouncil.model.card import CardFile, CardFormat, ImportedCard, Original, PersonaCard
from innercouncil.model.errors import CardError
from innercouncil.model.slug import is_device

LABELS: Final[dict[CardFormat, str]] = {
    "card-v2": "A version 2 character card",
    "card-v3": "A version 3 character card",
    "card-png": "A character card in a picture",
    "modelfile": "A Modelfile",
    "open-webui": "An Open WebUI model",
    "llm-template": "A template of llm",
    "skill": "A skill",
    "markdown": "Plain Markdown",
}
_KNOWN: Final = "character cards (JSON, PNG), Modelfiles, Open WebUI models, llm templates, SKILL.md and Markdown"


def read_card(data: bytes, filename: str = "") -> list[ImportedCard]:
    """The cards in the file, all formats but Open WebUI's with one each. Raises CardError, and nothing else."""
    where = file_label(filename)
    if len(data) > MAX_FILE:
        raise CardError(f"{where} is larger than {MAX_FILE >> 20} MB; a persona card is smaller. Is it the right file?")
    try:
        cards = png.read(data, filename) if png.recognise(data) else _read_text(decode(data, where), filename)
    except RecursionError:  # a guard behind the guards: depth is bounded where it is read
        raise CardError(f"{where} is nested too deep to be a persona card.") from None
    for card in cards:
        if not card.card.system:
            raise CardError(f"{where} holds no system prompt ({LABELS[card.format].lower()}); add one and try again.")
    return cards


def _read_text(text: str, filename: str) -> list[ImportedCard]:
    where, name = file_label(filename), filename.lower()
    if not text.strip():
        raise CardError(f"{where} is empty; choose a file with a persona in it.")
    if text.lstrip()[0] in "{[":
        try:
            return _read_json(load_json(text, where), filename)
        except CardError as error:
            # Markdown may begin with a bracket too; a file that is JSON, or says so, is told what is wrong with it.
            if name.endswith(".json") or "is not valid JSON" not in str(error):
                raise
    if skill.recognise(text):
        return skill.read(text, filename)
    if name.endswith((".md", ".markdown")):
        return markdown.read(text, filename)
    if "modelfile" in name or modelfile.recognise(text):
        return modelfile.read(text, filename)
    if name.endswith((".yaml", ".yml")) or llm_template.recognise(text):
        return llm_template.read(text, filename)
    if name.endswith(".json"):
        load_json(text, where)
        raise CardError(f"{where} is JSON, but no persona card; known are {_KNOWN}.")
    return markdown.read(text, filename)


def _read_json(data: object, filename: str) -> list[ImportedCard]:
    if character_card.recognise(data):
        return character_card.read(data, filename)
    if open_webui.recognise(data):
        return open_webui.read(data, filename)
    if isinstance(data, dict) and llm_template.is_template(data):
        return [llm_template.parse({"fields": data}, name_from(filename))]
    raise CardError(f"{file_label(filename)} is JSON, but no persona card; known are {_KNOWN}.")


def write_card(card: PersonaCard, format: CardFormat) -> CardFile:  # noqa: A002
    """The card in that format. `loss` is found by reading the file back: what is not there again is named."""
    file = _WRITERS[format](card)
    loss = [*file.loss, *_left_out(card.original, format), *_not_read_back(card, file, format)]
    filename = f"persona-{file.filename}" if is_device(file.filename) else file.filename
    return msgspec.structs.replace(file, filename=filename, loss=tuple(dict.fromkeys(loss)))


def _left_out(original: Original | None, format_: CardFormat) -> list[str]:
    """What the original file held beyond the card, if the new one is not of its kind."""
    if original is None or original.format == format_:
        return []
    loss = ["Left out: the picture of the card."] if original.picture and format_ != "card-png" else []
    if {original.format, format_} <= set(character_card.FAMILY):
        return loss
    held = _PARSERS[original.format](original.data).loss
    return loss + [f"Left out: {what.removeprefix(KEPT)}" for what in held if what.startswith(KEPT)]


def _not_read_back(card: PersonaCard, file: CardFile, format_: CardFormat) -> list[str]:
    try:
        again = read_card(file.content, file.filename)[0].card
    except CardError as error:
        return [f"The file could not be read back: {error}"]
    lost = [label for name, label in FIELDS.items() if getattr(again, name) != getattr(card, name)]
    return [f"{LABELS[format_]} cannot hold exactly: {listed(lost)}."] if lost else []


def _parse_character(data: dict[str, Any]) -> ImportedCard:
    return character_card.parse(data, Original(format="card-v2", data=data))


_WRITERS: Final[dict[CardFormat, Callable[[PersonaCard], CardFile]]] = {
    "card-v2": partial(character_card.write, spec="card-v2"),
    "card-v3": partial(character_card.write, spec="card-v3"),
    "card-png": png.write,
    "modelfile": modelfile.write,
    "open-webui": open_webui.write,
    "llm-template": llm_template.write,
    "skill": skill.write,
    "markdown": markdown.write,
}
_PARSERS: Final[dict[CardFormat, Callable[[dict[str, Any]], ImportedCard]]] = {
    "card-v2": _parse_character,
    "card-v3": _parse_character,
    "card-png": _parse_character,
    "modelfile": modelfile.parse,
    "open-webui": open_webui.parse,
    "llm-template": llm_template.parse,
    "skill": skill.parse,
    "markdown": markdown.parse,
}
