"""What every answer of the web app goes through: who may ask, what a page may load, how errors look."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from innercouncil.model.errors import (
    NO_ROOM,
    AbTestNotFoundError,
    BackendError,
    DiskFullError,
    InnerCouncilError,
    PersonaNotFoundError,
    SessionNotFoundError,
    UsageError,
    WorkspaceError,
)

LOG: Final = logging.getLogger("innercouncil.web")
HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
JSON_LIMIT: Final = 4 << 20
"""Largest JSON body, bytes."""


class LocalOnly:
    """Lets only this machine's own pages and programs in.

    The Host must be a name of this machine (a foreign site that points its name at 127.0.0.1 is turned away), a foreign
    Origin is refused, and so is every changing request that a browser says comes from another site.
    """

    def __init__(self, app: ASGIApp, *, port: int) -> None:
        self._app = app
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}
        if port == 80:
            self._hosts |= {"127.0.0.1", "localhost", "[::1]"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or refuse."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        problem = self._problem(scope)
        if problem:
            await problem_response(403, problem)(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                extra = [(k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in present]
                message["headers"] = [*message["headers"], *extra]
            await send(message)

        await self._app(scope, receive, sending)

    def _problem(self, scope: Scope) -> str:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if headers.get("host", "").lower() not in self._hosts:
            return "This address is not one of this machine; open http://127.0.0.1 with the port innercouncil told you."
        origin = headers.get("origin")
        if origin is not None and (
            urlsplit(origin).scheme != "http" or urlsplit(origin).netloc.lower() not in self._hosts
        ):
            return "Another site asked for this; only innercouncil's own pages may."
        if scope["method"] not in ("GET", "HEAD") and headers.get("sec-fetch-site", "same-origin") not in (
            "same-origin",
            "none",
        ):
            return "Another site asked for this; only innercouncil's own pages may."
        return ""


class NoTraceback:
    """What nobody foresaw becomes one sentence too; neither its message nor a traceback is logged: both may hold a person's text."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, whatever happens."""
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except ClientDisconnect:
            return
        except Exception as error:
            if scope["type"] != "http":
                raise
            LOG.error("request failed: %s", type(error).__name__)  # noqa: TRY400 - see above
            if begun:
                return  # the server closes the connection, and the browser sees that something is missing
            status, sentence = 500, "Something went wrong inside innercouncil; nothing that was saved is lost."
            if isinstance(error, OSError) and error.errno in NO_ROOM:
                status, sentence = (
                    507,
                    "The disk is full; free some space and try again: everything saved before is kept.",
                )
            await problem_response(status, sentence)(scope, receive, send)


def json_response(data: Any, status: int = 200) -> Response:
    """Data as JSON."""
    return Response(msgspec.json.encode(data), status, {"cache-control": "no-store"}, "application/json")


def problem_response(status: int, sentence: str) -> Response:
    """An error as JSON."""
    return json_response({"error": sentence}, status)


def status_of(error: InnerCouncilError) -> int:
    """HTTP status of an error."""
    if isinstance(error, PersonaNotFoundError | SessionNotFoundError | AbTestNotFoundError):
        return 404
    if isinstance(error, DiskFullError):
        return 507
    if isinstance(error, BackendError | WorkspaceError):
        return 503
    return 400 if isinstance(error, UsageError) else 422


async def read_json(request: Request, type_: Any) -> Any:
    """The body as `type_`. Raises UsageError for another content type, an overlong body, wrong JSON or wrong fields."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise UsageError("Send the request with Content-Type: application/json.")
    try:
        return msgspec.json.decode(await read_body(request, JSON_LIMIT), type=type_)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise UsageError(f"The request is not as it should be: {error}.") from None
    except UnicodeDecodeError:
        raise UsageError("The request is not UTF-8.") from None


async def read_file(request: Request, limit: int) -> bytes:
    """A raw file body. Raises UsageError for another content type or an overlong body."""
    check_file(request)
    return await read_body(request, limit)


def check_file(request: Request) -> None:
    """A browser cannot send this content type across sites without asking first."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/octet-stream":
        raise UsageError("Send the file as it is, with Content-Type: application/octet-stream.")


async def read_body(request: Request, limit: int) -> bytes:
    """The body, at most `limit` bytes. Raises UsageError."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise UsageError(f"The request is longer than {limit} bytes; send less.")
        parts.append(part)
    return b"".join(parts)


def event_stream(events: AsyncGenerator[tuple[str, Any], None]) -> StreamingResponse:
    """Server-sent events: (name, data) pairs."""

    async def lines() -> AsyncGenerator[bytes, None]:
        try:
            async for name, data in events:
                yield b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode(data) + b"\n\n"
        except InnerCouncilError as error:
            yield b"event: problem\ndata: " + msgspec.json.encode({"error": str(error)}) + b"\n\n"
        finally:
            await events.aclose()

    return StreamingResponse(lines(), media_type="text/event-stream", headers={"cache-control": "no-store"})
