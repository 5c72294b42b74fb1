"""One table of the API's endpoints: what serves them also documents them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from innercouncil import __version__
from innercouncil.app.council import House
from innercouncil.web.http import json_response, read_json

Handler = Callable[..., Awaitable[Any]]


class Problem(msgspec.Struct):
    """An error: one sentence for a person."""

    error: str


class Endpoint(NamedTuple):
    """One endpoint."""

    method: str
    path: str
    handler: Handler
    summary: str
    body: Any
    """Type of the JSON body, bytes for a raw file, None for none."""
    returns: Any
    """Type of the JSON answer; a media type as text for anything else; None for no content."""
    status: int
    query: dict[str, Any]


class Table:
    """Endpoints, collected by decorating their handlers."""

    def __init__(self) -> None:
        self.endpoints: list[Endpoint] = []

    def add(
        self, method: str, path: str, summary: str, *, body: Any = None, returns: Any = None, status: int = 200,
        query: dict[str, Any] | None = None,
    ) -> Callable[[Handler], Handler]:  # fmt: skip
        """Register the decorated handler; it gets (house, request) and, where there is one, the decoded JSON body."""

        def register(handler: Handler) -> Handler:
            self.endpoints.append(Endpoint(method, path, handler, summary, body, returns, status, query or {}))
            return handler

        return register

    def routes(self) -> list[Route]:
        """Starlette routes; one per path and method."""
        return [Route(e.path, _serve(e), methods=[e.method]) for e in self.endpoints]

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI 3.1 document of the table."""
        types = [
            t for e in self.endpoints for t in (e.body, e.returns) if t not in (None, bytes) and not isinstance(t, str)
        ]
        schemas, components = msgspec.json.schema_components(
            [*types, Problem], ref_template="#/components/schemas/{name}"
        )
        found = iter(schemas)
        paths: dict[str, dict[str, Any]] = {}
        for e in self.endpoints:
            body = (
                None if e.body is None else {"type": "string", "format": "binary"} if e.body is bytes else next(found)
            )
            answer = None if e.returns is None or isinstance(e.returns, str) else next(found)
            paths.setdefault(e.path, {})[e.method.lower()] = _operation(e, body, answer)
        return {
            "openapi": "3.1.0",
            "info": {"title": "innercouncil", "version": __version__, "description": "The council on this machine. No key is needed; only programs on this machine are answered."},
            "paths": paths,
            "components": {"schemas": components},
        }  # fmt: skip


def _operation(e: Endpoint, body: Any, answer: Any) -> dict[str, Any]:
    problem = {
        "description": "What was wrong, in one sentence",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    ok: dict[str, Any] = {"description": "Done"}
    if isinstance(e.returns, str):
        ok["content"] = {e.returns: {"schema": {"type": "string"}}}
    elif answer is not None:
        ok["content"] = {"application/json": {"schema": answer}}
    names = [part[1:-1] for part in e.path.split("/") if part.startswith("{")]
    parameters = [{"name": n, "in": "path", "required": True, "schema": {"type": "string"}} for n in names]
    parameters += [{"name": n, "in": "query", "required": False, "schema": s} for n, s in e.query.items()]
    out: dict[str, Any] = {
        "summary": e.summary, "operationId": e.handler.__name__, "parameters": parameters,
        "responses": {str(e.status): ok, **dict.fromkeys(("400", "403", "404", "422", "503", "507"), problem)},
    }  # fmt: skip
    if body is not None:
        kind = "application/octet-stream" if e.body is bytes else "application/json"
        out["requestBody"] = {"required": True, "content": {kind: {"schema": body}}}
    return out


def _serve(e: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        house: House = request.app.state.house
        given = [] if e.body in (None, bytes) else [await read_json(request, e.body)]
        result = await e.handler(house, request, *given)
        if isinstance(result, Response):
            return result
        return Response(status_code=e.status) if e.returns is None else json_response(result, e.status)

    return serve
