"""Ollama's Modelfile: FROM, SYSTEM, PARAMETER, MESSAGE, read by Ollama's own rules (parser/parser.go).

A value runs to the end of the line, or from three quotes (or one) to the line that ends in them; there is no escape. A
text with three quotes at the end of a line can therefore not be said: they are written as ''' and the exact text goes
into a comment beside the name and whatever else a Modelfile has no command for.
"""

from __future__ import annotations

import re
from itertools import pairwise
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
from innercouncil.cards.safety import as_list, file_label, name_from, slug_of
from innercouncil.model.card import CardFile, ImportedCard, Original, PersonaCard
from innercouncil.model.errors import CardError

NO_MODEL: Final = "qwen2.5:3b"
"""FROM must name a model; this stands there for a card that names none."""

MAX_LINES: Final = 50_000
EXTRAS: Final = ("name", "description", "tags", "creator", "version")
_COMMANDS: Final = frozenset(
    {
        "from",
        "license",
        "template",
        "system",
        "adapter",
        "draft",
        "renderer",
        "parser",
        "parameter",
        "message",
        "requires",
    }
)
_COMMENT: Final = "#"
_MARK: Final = f" {OURS}: "
_NOT_ASCII_SPACE_RE: Final = re.compile(r"[^\S \t\n]")
_WORD_RE: Final = re.compile(r"([A-Za-z]+)[ \t](.*)")
_KEYED_RE: Final = re.compile(r"[ \t]*([A-Za-z0-9_]+)[ \t](.*)")
_USED_PARAMETERS: Final = ("temperature", "top_p")

Command = list[str]
"""["from", value], ["parameter", key, value], ["message", role, text] …; ["#", text] for a comment."""


class _MalformedError(Exception):
    """Not a Modelfile: the line, from 1."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


def recognise(text: str) -> bool:
    """Whether the text is a Modelfile: FROM and at least one more command, and nothing else."""
    if not re.search(r"^[ \t]*FROM[ \t]", text, re.IGNORECASE | re.MULTILINE):
        return False
    try:
        words = [command[0] for command in _commands(text) if command[0] != _COMMENT]
    except _MalformedError:
        return False
    return "from" in words and len(words) > 1


def read(text: str, filename: str = "") -> list[ImportedCard]:
    """The persona of the Modelfile. Raises CardError."""
    where = file_label(filename)
    try:
        commands = _commands(text)
    except _MalformedError as error:
        raise CardError(
            f"{where} is not a Modelfile Ollama would read (line {error.line}); correct that line."
        ) from None
    return [parse({"commands": commands}, name_from(filename))]


def parse(data: dict[str, Any], fallback: str = "") -> ImportedCard:
    """The card in the commands."""
    commands = _checked(data)
    extras = _extras(commands)
    system = _last(commands, "system")
    exact = extras.get("system")
    base = _last(commands, "from")
    greeting, pairs, odd = _messages(commands)
    draft = Draft(
        system=exact if isinstance(exact, str) and _sayable(exact) == system else system,
        temperature=_last(commands, "parameter", "temperature"),
        top_p=_last(commands, "parameter", "top_p"),
        greeting=greeting,
        examples=pairs,
        license=_last(commands, "license"),
        base_model=None if base == NO_MODEL and extras.get("base_model") == "" else _model_or_path(base),
        unused=_unused(commands, odd, base),
    )
    draft.fill({name: extras[name] for name in EXTRAS if name in extras})
    return finish(draft, Original(format="modelfile", data={"commands": commands}), fallback=fallback)


def _checked(data: dict[str, Any]) -> list[Command]:
    """The commands as they should be, whatever a stored original holds."""
    lists = (item for item in as_list(data.get("commands")) if isinstance(item, list))
    return [list(item) for item in lists if len(item) in (2, 3) and all(isinstance(part, str) for part in item)]


def _commands(text: str) -> list[Command]:
    lines = text.split("\n")
    if len(lines) > MAX_LINES:
        raise _MalformedError(MAX_LINES)
    commands: list[Command] = []
    at = 0
    while at < len(lines):
        line, start = lines[at].lstrip(" \t"), at
        at += 1
        if not line:
            continue
        if line[0] == _COMMENT:
            commands.append([_COMMENT, line[1:]])
            continue
        match = _WORD_RE.fullmatch(line)
        if match is None or match[1].lower() not in _COMMANDS:
            raise _MalformedError(start + 1)
        command, rest = [match[1].lower()], match[2]
        if command[0] in ("parameter", "message"):
            keyed = _KEYED_RE.fullmatch(rest)
            if keyed is None or (command[0] == "message" and keyed[1] not in ("system", "user", "assistant")):
                raise _MalformedError(start + 1)
            command.append(keyed[1])
            rest = keyed[2]
        value, at = _value(lines, at, rest)
        commands.append([*command, value])
    return commands


def _value(lines: list[str], at: int, first: str) -> tuple[str, int]:
    """The value that begins with `first`, and the number of the line after it."""
    text = first.strip()
    quote = next((q for q in ('"""', '"') if text.startswith(q)), "")
    if not quote:
        return text, at
    parts, start = [first.lstrip()], at
    closed = len(text) >= 2 * len(quote) and text.endswith(quote)
    while not closed:
        if at == len(lines):
            raise _MalformedError(start)
        parts.append(lines[at])
        closed = lines[at].rstrip().endswith(quote)
        at += 1
    return "\n".join(parts).rstrip()[len(quote) : -len(quote)], at


def _extras(commands: list[Command]) -> dict[str, Any]:
    for command in commands:
        if command[0] == _COMMENT and command[1].startswith(_MARK):
            return extras_from(command[1][len(_MARK) :])
    return {}


def _last(commands: list[Command], *head: str) -> str | None:
    values = [command[-1] for command in commands if tuple(command[:-1]) == head]
    return values[-1] if values else None


def _messages(commands: list[Command]) -> tuple[str | None, list[tuple[object, object]], int]:
    """The assistant's first words before any user's, the exchanges, and how many messages are neither."""
    messages = [(c[1], c[2]) for c in commands if c[0] == "message"]
    greeting = messages[0][1] if messages and messages[0][0] == "assistant" else None
    pairs: list[tuple[object, object]] = [
        (a[1], b[1]) for a, b in pairwise(messages) if (a[0], b[0]) == ("user", "assistant")
    ]
    return greeting, pairs, len(messages) - 2 * len(pairs) - (greeting is not None)


def _model_or_path(base: str | None) -> str | None:
    return None if base is None or base.startswith((".", "/", "~", "\\", '"')) else base


def _unused(commands: list[Command], odd: int, base: str | None) -> list[str]:
    words = {c[0].upper() for c in commands} & {"TEMPLATE", "ADAPTER", "DRAFT", "RENDERER", "PARSER", "REQUIRES"}
    parameters = sorted({c[1] for c in commands if c[0] == "parameter"} - set(_USED_PARAMETERS))
    told = [
        (words, ", ".join(sorted(words))),
        (parameters, f"parameters ({keys_listed(parameters)})"),
        (odd, f"{odd} messages that are no exchange of user and assistant"),
        (base and not _model_or_path(base), "the model, a file on another computer"),
    ]
    return [what for present, what in told if present]


def write(card: PersonaCard) -> CardFile:
    """The card as a Modelfile; what it came from is changed only where it was edited."""
    data = original_of(card, "modelfile")
    commands = _checked(data) if data else []
    before = parse({"commands": commands}).card if data else None
    loss: list[str] = []
    extras = extras_of(card, EXTRAS)

    def changed(name: str) -> bool:
        return before is None or getattr(before, name) != getattr(card, name)

    if changed("base_model"):
        _set(commands, ["from"], [card.base_model or NO_MODEL])
        if not card.base_model:
            loss.append(f"The card names no model: FROM says {NO_MODEL}, change it to one you have.")
    if not card.base_model and _last(commands, "from") == NO_MODEL:
        extras["base_model"] = ""
    if changed("system"):
        _set(commands, ["system"], [_sayable(card.system)])
    if _sayable(card.system) != card.system:
        extras["system"] = card.system
        loss.append("A Modelfile cannot hold three quotes at the end of a line: Ollama gets ''' there.")
    for name in _USED_PARAMETERS:
        if changed(name):
            value = getattr(card, name)
            _set(commands, ["parameter", name], [] if value is None else [str(value)])
    if changed("license"):
        _set(commands, ["license"], [_sayable(card.license)] if card.license else [])
    if changed("greeting") or changed("examples"):
        commands = [c for c in commands if c[0] != "message" or c[1] == "system"]
        commands += [["message", "assistant", _sayable(card.greeting)]] if card.greeting else []
        for example in card.examples:
            commands += [
                ["message", "user", _sayable(example.user)],
                ["message", "assistant", _sayable(example.assistant)],
            ]
    commands = [c for c in commands if not (c[0] == _COMMENT and c[1].startswith(_MARK))]
    if extras:
        commands.insert(0, [_COMMENT, _MARK + extras_text(extras)])
    loss += aside([name for name in extras if name in EXTRAS], "A Modelfile has", "a comment")
    if _NOT_ASCII_SPACE_RE.search(card.system):
        loss.append("Ollama drops spaces of other kinds (non-breaking ones) when it reads a Modelfile.")
    content = "".join(f"{_line(command)}\n" for command in commands)
    return CardFile(
        filename=f"{slug_of(card.name)}.modelfile",
        media_type="text/plain",
        content=content.encode("utf-8", "replace"),
        loss=tuple(loss),
    )


def _set(commands: list[Command], head: Command, values: list[str]) -> None:
    """Put the values where the last such command stood, and remove the others."""
    places = [i for i, command in enumerate(commands) if command[:-1] == head]
    at = places[-1] - len(places) + 1 if places else len(commands)
    commands[:] = [command for i, command in enumerate(commands) if i not in places]
    commands[at:at] = [[*head, value] for value in values]


def _sayable(text: str) -> str:
    """The text with ''' for three quotes that would end it before its end."""
    lines = text.split("\n")
    for i, line in enumerate(lines[:-1]):
        bare = line.rstrip()
        if bare.endswith('"""'):
            lines[i] = bare[:-3] + "'''" + line[len(bare) :]
    return "\n".join(lines)


def _line(command: Command) -> str:
    if command[0] == _COMMENT:
        return _COMMENT + command[1]
    head = " ".join([command[0].upper(), *command[1:-1]])
    value = command[-1]
    simple = value and "\n" not in value and value == value.strip() and not value.startswith('"')
    return (
        f"{head} {value}"
        if simple and command[0] in ("from", "parameter", "adapter", "requires")
        else f'{head} """{value}"""'
    )
