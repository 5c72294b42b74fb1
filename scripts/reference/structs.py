"""Struct types as tables and JSON Schema, with the meanings that stand beside their fields in the code."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any

import msgspec


def meanings(struct: type) -> dict[str, str]:
    """Field -> the docstring below it, in the struct itself and in those it is made from."""
    found: dict[str, str] = {}
    for cls in reversed(struct.__mro__[:-1]):
        if cls is msgspec.Struct or not cls.__module__.startswith("innercouncil"):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, said in zip(body.body, body.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(said, ast.Expr) and isinstance(said.value, ast.Constant):
                assert isinstance(field.target, ast.Name)
                found[field.target.id] = " ".join(str(said.value.value).split())
    return found


def schema(kind: Any, title: str) -> dict[str, Any]:
    """JSON Schema of a type, every field with its meaning."""
    made = msgspec.json.schema(kind)
    for name, struct in _structs(msgspec.inspect.type_info(kind)).items():
        said = meanings(struct)
        for field, about in made["$defs"][name].get("properties", {}).items():
            if field in said:
                about["description"] = said[field]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **made}


def _structs(info: Any) -> dict[str, type]:
    """Every struct that a type is made of, by the name msgspec gives it in a schema."""
    found: dict[str, type] = {}
    waiting = [info]
    while waiting:
        now = waiting.pop()
        if isinstance(now, msgspec.inspect.StructType):
            if now.cls.__name__ in found:
                continue
            found[now.cls.__name__] = now.cls
            waiting += [f.type for f in now.fields]
        elif isinstance(now, msgspec.inspect.TupleType):
            waiting += now.item_types
        elif isinstance(now, msgspec.inspect.UnionType):
            waiting += now.types
        elif isinstance(now, msgspec.inspect.DictType):
            waiting += [now.key_type, now.value_type]
        elif hasattr(now, "item_type"):
            waiting.append(now.item_type)
    return found


def fields(struct: type[msgspec.Struct]) -> str:
    """A table of a struct's fields."""
    said = meanings(struct)
    rows = ["| field | type | meaning |", "|---|---|---|"]
    rows += [
        f"| `{name}` | {_cell(_type(struct, name))} | {_cell(said.get(name, ''))} |"
        for name in struct.__struct_fields__
    ]
    return "\n".join(rows)


def options(struct: type[msgspec.Struct]) -> str:
    """A table of a struct's fields with their defaults."""
    said, defaults = meanings(struct), msgspec.structs.fields(struct)
    rows = ["| name | type | default | meaning |", "|---|---|---|---|"]
    for field in defaults:
        default = "needed" if field.required else f"`{_default(field)}`"
        rows.append(
            f"| `{field.name}` | {_cell(_type(struct, field.name))} | {default} | {_cell(said.get(field.name, ''))} |"
        )
    return "\n".join(rows)


def _default(field: msgspec.structs.FieldInfo) -> str:
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()  # type: ignore[operator]
    return msgspec.json.encode(value).decode()


def _type(struct: type, field: str) -> str:
    """The annotation as it stands in the code."""
    for cls in struct.__mro__:
        if field in (there := inspect.get_annotations(cls)):
            said = there[field]
            return f"`{said if isinstance(said, str) else getattr(said, '__name__', said)}`"
    return ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
