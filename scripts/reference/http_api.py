"""The page of the HTTP API, from the table that also serves it."""

from __future__ import annotations

import json
from typing import Any

import innercouncil.web.app  # noqa: F401 - its imports fill the table
from innercouncil.web import api, v1

HEAD = """# HTTP API

The web app at `http://127.0.0.1:5000` is drawn from this API; only programs on this machine are answered, and no key is
needed. The same as an OpenAPI 3.1 document: [openapi.json](openapi.json), and `/openapi.json` of the running app.

An error is `{"error": "one sentence"}` with 400 (the request), 403 (not from here), 404 (not there), 422 (cannot be done
so) or 503 (no model answers). A JSON body needs the header `Content-Type: application/json`, a raw
file `application/octet-stream`.
"""
OPENAI = """## For programs that speak OpenAI's protocol

The base address is `http://127.0.0.1:5000/v1`. A model is `council`, or the slug of an enabled persona. With `"stream": true`
the answer comes as server-sent events. Pictures and tools are not taken.

"""


def document() -> str:
    """The OpenAPI document as JSON."""
    return json.dumps(api.TABLE.openapi(), indent=1, ensure_ascii=False) + "\n"


def page() -> str:
    """The page as Markdown."""
    made = api.TABLE.openapi()
    parts = [HEAD, "## Endpoints\n"]
    for path, methods in made["paths"].items():
        parts += [_operation(f"{method.upper()} {path}", about) for method, about in methods.items()]
    parts.append("## What is sent and answered\n")
    parts += [_component(name, about) for name, about in sorted(made["components"]["schemas"].items())]
    parts.append(OPENAI + "\n".join(f"- `{_verbs(r)} {r.path}`" for r in v1.routes()) + "\n")
    return "\n".join(parts)


def _verbs(route: Any) -> str:
    return "POST" if "POST" in (route.methods or ()) else "GET"


def _operation(name: str, about: dict[str, Any]) -> str:
    lines = [f"### `{name}`\n", about["summary"] + "\n"]
    queries = [f"`{p['name']}` ({_kind(p['schema'])})" for p in about["parameters"] if p["in"] == "query"]
    if queries:
        lines.append(f"- query: {', '.join(queries)}")
    for title, content in (("body", about.get("requestBody", {}).get("content", {})), *_answers(about)):
        lines += [f"- {title}: {_kind(c['schema'])}, {media}" for media, c in content.items()]
    return "\n".join(lines) + "\n"


def _answers(about: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    good = {code: r for code, r in about["responses"].items() if code < "400"}
    return [(f"answers {code}", r.get("content", {})) for code, r in good.items()]


def _component(name: str, about: dict[str, Any]) -> str:
    if "properties" not in about:
        return f"### {name}\n\n{_kind(about)}\n"
    rows = ["| field | type |", "|---|---|"]
    rows += [f"| `{field}` | {_kind(kind)} |" for field, kind in about["properties"].items()]
    said = about.get("description", "")
    return f"### {name}\n\n{said}\n\n" + "\n".join(rows) + "\n"


def _kind(schema: dict[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower().replace('.', '')})"
    if "anyOf" in schema:
        return " or ".join(_kind(s) for s in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(v)}`" for v in schema["enum"])
    if schema.get("type") == "array":
        items = schema.get("items") or (schema.get("prefixItems") or [{}])[0]
        return f"list of {_kind(items) if isinstance(items, dict) and items else 'anything'}"
    if isinstance(extra := schema.get("additionalProperties"), dict) and extra:
        return f"object of {_kind(extra)}"
    return str(schema.get("format") or schema.get("type") or "anything")
