"""SQL and template syntax in every parameter of every address and every word of every command; both lists are the app's own."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import click
import httpx
import msgspec
import pytest
from starlette.routing import Mount, Route

import voted_sessions
from innercouncil.app.council_settings import CouncilSettings
from innercouncil.cli.main import cli
from innercouncil.cli.main import run as run_command
from innercouncil.store.ab_tests import AbStore
from innercouncil.store.cards import CardStore
from innercouncil.store.database import Database
from innercouncil.store.sessions import SessionStore
from innercouncil.store.workspace import Workspace
from innercouncil.web.api import TABLE
from innercouncil.web.app import build
from innercouncil.web.routing import Endpoint

SUM = "50337"
"""Of 7191 * 7, which no template may work out."""
ATTACKS = (
    "'; DROP TABLE session; --", '" OR 1=1 --', "' OR '1'='1", "x') UNION SELECT name, value FROM setting --", "%", "_", "*",
    "a\0b", "{{7191*7}}{% for x in y %}", "${7191*7}#{7191*7}<%= 7191*7 %>", "{0.__class__}%s%n%(x)s", "\\", "?1 :name @x", "a" * 3000,
)  # fmt: skip
OTHER_BODIES: dict[str, Any] = {
    "/v1/chat/completions": {"model": "", "messages": [{"role": "user", "content": ""}]},
}
"""Of routes that are not in the API's table."""
NOT_RUN = {
    "serve": "it stays until it is ended", "demo": "it discovers and serves", "discover-many": "it starts workers",
    "models key": "it writes to the keyring of whoever runs the tests",
}  # fmt: skip


class Place(NamedTuple):
    client: httpx.Client
    workspace: Workspace
    real: dict[str, str]
    """What stands for a parameter of an address where another one is tried."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    from starlette.testclient import TestClient

    home = tmp_path_factory.mktemp("injection")
    workspace = voted_sessions.filled(home / "data", 8)
    database = Database(workspace.database)
    database.set("council", msgspec.json.encode(CouncilSettings(worker="none", lite=True)).decode())
    seat, session = CardStore(database).all()[0].slug, SessionStore(database).page(limit=1).sessions[0].id
    real = {"slug": seat, "id": session, "name": AbStore(database).all()[0].name, "format": "markdown"}
    database.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OLLAMA_HOST", "127.0.0.1:9")
        patch.chdir(home)
        with TestClient(build(workspace, port=5000), base_url="http://127.0.0.1:5000") as opened:
            yield Place(opened, workspace, real)  # type: ignore[arg-type]


def counts(workspace: Workspace) -> dict[str, int]:
    """Rows of every table; the database is sound."""
    with contextlib.closing(sqlite3.connect(workspace.database)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        return {n: db.execute(f'SELECT count(*) FROM "{n}"').fetchone()[0] for n in names if n != "setting"}


@pytest.fixture(autouse=True)
def _nothing_is_lost(place: Place) -> Iterator[None]:
    before = counts(place.workspace)
    yield
    after = counts(place.workspace)
    assert set(after) == set(before)
    assert {name: n for name, n in after.items() if n < before[name]} == {}


def check(answer: httpx.Response) -> None:
    """It is no crash, tells nothing of the database, and has worked nothing out."""
    assert answer.status_code != 500, answer.text[:300]
    said = answer.text.lower()
    assert SUM not in said
    assert not [
        word for word in ("sqlite", "syntax error", "unrecognized token", "traceback", "fts5") if word in said
    ], said[:300]


def filled_in(schema: dict[str, Any], whole: dict[str, Any], text: str, *, all_: bool) -> Any:
    """What a JSON Schema allows, with `text` for every string; without `all_` no more than it asks for."""
    if "$ref" in schema:
        return filled_in(whole["$defs"][schema["$ref"].rpartition("/")[2]], whole, text, all_=all_)
    if "anyOf" in schema:
        return filled_in(next(s for s in schema["anyOf"] if s.get("type") != "null"), whole, text, all_=all_)
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type", "string")
    if kind == "object":
        fields = schema.get("properties", {})
        wanted = fields if all_ else schema.get("required", [])
        more = {text: text} if all_ and schema.get("additionalProperties") not in (None, False) else {}
        return {name: filled_in(fields[name], whole, text, all_=all_) for name in wanted} | more
    if kind == "array":
        items = [schema["items"]] if schema.get("items") else schema.get("prefixItems", [])
        return [filled_in(item, whole, text, all_=all_) for item in items * max(1, schema.get("minItems", 1))]
    return {"integer": 1, "number": 1.0, "boolean": True}.get(kind, text)


def texts_in(value: Any, found: Any, change: Any) -> Iterator[Any]:
    """The body once for each of its texts, that one changed."""
    if isinstance(value, str):
        yield change(found)
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():

        def within(new: Any, key: Any = key) -> Any:
            copy = dict(value) if isinstance(value, dict) else list(value)
            copy[key] = new
            return change(copy)

        yield from texts_in(inner, found, within)


def bodies(endpoint: Endpoint, attack: str) -> Iterator[Any]:
    """Bodies that hold the attack: everywhere, and in one text at a time."""
    if endpoint.body in (None, bytes):
        return
    schema = msgspec.json.schema(endpoint.body)
    yield filled_in(schema, schema, attack, all_=True)
    yield from texts_in(filled_in(schema, schema, "x", all_=True), attack, lambda body: body)
    yield from texts_in(filled_in(schema, schema, "x", all_=False), attack, lambda body: body)


ROUTES = [
    (method, route.path)
    for route in build(Workspace(Path("nowhere")), port=5000).routes
    if isinstance(route, Route)
    for method in sorted((route.methods or {"GET"}) - {"HEAD"})
]


def test_all_routes_are_here() -> None:
    app = build(Workspace(Path("nowhere")), port=5000)
    assert {type(route) for route in app.routes} <= {Route, Mount}, "a route of another kind needs its own attack"
    assert [route.path for route in app.routes if isinstance(route, Mount)] == ["/static"]
    assert {(e.method, e.path) for e in TABLE.endpoints} <= set(ROUTES)
    assert len(ROUTES) > 90


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_no_parameter_is_code(place: Place, method: str, path: str) -> None:
    endpoint = next((e for e in TABLE.endpoints if (e.method, e.path) == (method, path)), None)
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    address = path.format_map(place.real)
    for attack in ATTACKS:
        body: dict[str, Any] = {}
        if endpoint is not None and endpoint.body is bytes:
            body = {"content": attack.encode(), "headers": {"content-type": "application/octet-stream"}}
        elif endpoint is not None and endpoint.body is not None:
            body = {"json": next(bodies(endpoint, attack))}
        elif method in ("POST", "PUT") and endpoint is None:
            body = {"json": next(texts_in(OTHER_BODIES[path], attack, lambda found: found))}
        for name in names:
            other = path.format_map(place.real | {name: quote(attack, safe="")})
            answer = place.client.request(method, other, **body)
            check(answer)
            if path.startswith("/api/"):
                assert 400 <= answer.status_code < 500 or answer.status_code == 503, (other[:80], answer.status_code)
        for name in [*(endpoint.query if endpoint else ()), "x"] if endpoint is None or endpoint.query else []:
            check(place.client.request(method, address, params={name: attack}, **body))
        for content in bodies(endpoint, attack) if endpoint else ():
            check(place.client.request(method, address, json=content))
        if endpoint is not None and endpoint.body is bytes:
            check(place.client.request(method, address, **body))
        if method in ("POST", "PUT") and endpoint is None:
            for content in texts_in(OTHER_BODIES[path], attack, lambda found: found):
                check(place.client.request(method, address, json=content))


def commands(command: click.Command, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command."""
    if not isinstance(command, click.Group):
        yield before
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        yield from commands(command.get_command(context, name) or cli, (*before, name))


def leaf(words: tuple[str, ...]) -> click.Command:
    """The command that the words call."""
    found: click.Command = cli
    for word in words:
        assert isinstance(found, click.Group)
        found = found.get_command(click.Context(found), word) or found
    return found


def lines(words: tuple[str, ...], attack: str, workspace: Workspace) -> Iterator[list[str]]:
    """The command with the attack for all its arguments, then for each option that is a text as well."""
    params = leaf(words).params
    home = ["--workspace", str(workspace.root)] if any("--workspace" in p.opts for p in params) else []
    needed = [[p.opts[-1], value(p, attack)] for p in params if isinstance(p, click.Option) and p.required]
    given = [value(p, attack) for p in params if isinstance(p, click.Argument)]
    start = [*words, *home, *(w for pair in needed for w in pair)]
    yield [*start, "--", *given]
    for option in params:
        if (
            isinstance(option, click.Option)
            and not option.is_flag
            and type(option.type) is type(click.STRING)
            and option.nargs == 1
        ):
            yield [*start, option.opts[-1], attack, "--", *given]


def value(parameter: click.Parameter, attack: str) -> str:
    """The attack, or where a text cannot be given what can."""
    kind = parameter.type
    if isinstance(kind, click.Choice):
        return str(kind.choices[0])
    if isinstance(kind, click.Path | click.File):
        return "nowhere"
    return "1" if isinstance(kind, click.types.IntParamType | click.types.FloatParamType) else attack


@pytest.mark.parametrize("words", [w for w in commands(cli) if " ".join(w) not in NOT_RUN], ids=" ".join)
def test_no_word_of_a_command_is_code(place: Place, words: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    for attack in (a for a in ATTACKS if "\0" not in a):  # no command line can hold that one
        for line in lines(words, attack, place.workspace):
            try:
                code = run_command(cli, line)
            except SystemExit as left:
                code = int(left.code or 0)
            said = "".join(capfd.readouterr()).lower()
            assert code in (0, 1, 2), line
            assert SUM not in said
            assert "traceback" not in said and "sqlite" not in said and "fts5" not in said, (line, said[:300])
