"""JSON and YAML from strangers: bounded in size, depth and parts, plain values only, no aliases, no tags, no code."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

import yaml

from innercouncil.cards.safety import without_surrogates
from innercouncil.model.errors import CardError
from innercouncil.model.plain_text import text_of

MAX_DEPTH: Final = 50
WRITING: Final = -10
"""The depth at which what is written begins: a file that was deep but readable may be wrapped and still be written."""
MAX_PARTS: Final = 500_000
MAX_EVENTS: Final = 50_000
"""Values and brackets of a YAML document."""
MAX_YAML: Final = 1 << 20
"""Characters of YAML: the parser is slow, and forty thousand characters of prompt fit many times."""

_PLAIN_TAGS: Final = frozenset(
    f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "seq", "map")
)
_NOT_YAML_RE: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|\ufeff")
_TIMESTAMP: Final = "tag:yaml.org,2002:timestamp"
_SAFE_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SAFE_LOADER):  # type: ignore[misc]
    """The safe loader; a date stays the text it is written as."""


class _Dumper(yaml.SafeDumper):
    """The safe dumper; texts of several lines as blocks, dates as they were."""


for _class in (_Loader, _Dumper):
    _class.yaml_implicit_resolvers = {
        first: [(tag, regexp) for tag, regexp in resolvers if tag != _TIMESTAMP]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


class _BlockDumper(_Dumper):
    """As `_Dumper`, with texts of several lines as blocks."""


_BlockDumper.add_representer(str, _block)


def decode(data: bytes, where: str) -> str:
    """The bytes as text with plain line breaks. Raises CardError."""
    try:
        return text_of(data).replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise CardError(
            f"{where} is neither a PNG picture nor UTF-8 text (byte {error.start}); save the card as UTF-8 and try again."
        ) from None


def load_json(text: str, where: str) -> Any:
    """The JSON value as plain data. Raises CardError."""
    if text.count(",") + text.count("[") + text.count("{") > MAX_PARTS:
        raise CardError(f"{where} has more than {MAX_PARTS:,} parts; a persona card is smaller. Is it the right file?")
    try:
        return plain(json.loads(text), where)
    except json.JSONDecodeError as error:
        raise CardError(
            f"{where} is not valid JSON (line {error.lineno}, column {error.colno}: {error.msg}); export it again."
        ) from None
    except ValueError:
        raise CardError(f"{where} holds a number too long to read; export it again.") from None
    except RecursionError:
        raise _too_deep(where) from None


def dump_json(value: object) -> bytes:
    """The value as JSON for people to read."""
    return json.dumps(plain(value, "The card", WRITING), ensure_ascii=False, indent=2).encode() + b"\n"


def load_yaml(text: str, where: str) -> Any:
    """The YAML document as plain data. Raises CardError, also for aliases, anchors and tags of any other type."""
    if len(text) > MAX_YAML:
        raise CardError(f"{where} has more than {MAX_YAML:,} characters of YAML; a persona card is smaller.")
    text = _NOT_YAML_RE.sub("", text)
    try:
        _check_events(text, where)
        return plain(yaml.load(text, Loader=_Loader), where)  # noqa: S506  # nosec: a safe loader, checked above
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f" (line {mark.line + 1})" if mark is not None else ""
        raise CardError(f"{where} is not valid YAML{at}; correct it there and try again.") from None
    except (ValueError, TypeError, OverflowError):
        raise CardError(f"{where} holds a YAML value that cannot be read; put it in quotes and try again.") from None
    except RecursionError:
        raise _too_deep(where) from None


def _check_events(text: str, where: str) -> None:
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=_Loader)):
        at = f"line {event.start_mark.line + 1}" if event.start_mark else "somewhere"
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise CardError(f"{where} uses YAML anchors or aliases ({at}), which cards may not; write the text out.")
        tag = getattr(event, "tag", None)
        if tag not in (None, "!") and tag not in _PLAIN_TAGS:
            raise CardError(f"{where} uses a YAML tag ({at}), which cards may not; remove it and try again.")
        if number > MAX_EVENTS:
            raise CardError(f"{where} has more than {MAX_EVENTS:,} values in YAML; a persona card has fewer.")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise _too_deep(where)


def unreadable(text: str) -> list[str]:
    """A warning where the YAML holds characters that YAML forbids: they are dropped before it is read."""
    count = len(_NOT_YAML_RE.findall(text))
    return [f"Hidden characters were removed from the file: {count} control."] if count else []


def dump_yaml(value: object) -> str:
    """The value as YAML that reads back as the same; long texts as blocks where YAML can."""
    value = plain(value, "The card", WRITING)
    for dumper in (_BlockDumper, _Dumper):
        text: str = yaml.dump(value, Dumper=dumper, allow_unicode=True, sort_keys=False, width=1_000_000)
        try:
            if load_yaml(text, "The card") == value:
                return text
        except CardError:
            continue
    return yaml.dump(value, Dumper=_Dumper, allow_unicode=False, sort_keys=False, width=1_000_000)


def plain(value: object, where: str, depth: int = 0) -> Any:
    """The value made of what JSON and the workspace can hold. Raises CardError where it is nested too deep."""
    if depth > MAX_DEPTH:
        raise _too_deep(where)
    if isinstance(value, list | tuple):
        return [plain(item, where, depth + 1) for item in value]
    if isinstance(value, dict):
        return {_key(key): plain(item, where, depth + 1) for key, item in value.items()}
    if isinstance(value, str):
        return without_surrogates(value)
    if isinstance(value, int | float):
        storable = math.isfinite(value) if isinstance(value, float) else -(1 << 63) <= value < 1 << 63
        return value if storable else str(value)  # as text it is kept, and is no number to anyone
    return None


def _key(key: object) -> str:
    return without_surrogates(key) if isinstance(key, str) else json.dumps(key, default=str)


def _too_deep(where: str) -> CardError:
    return CardError(
        f"{where} is nested more than {MAX_DEPTH} levels deep; a persona card is not. Is it the right file?"
    )
