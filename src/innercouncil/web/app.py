"""The web app: pages, API and OpenAI-compatible endpoint over one house, for this machine only."""

from __future__ import annotations

import contextlib
import errno
import shutil
import socket
from collections.abc import AsyncGenerator, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

import innercouncil.web.api_ab
import innercouncil.web.api_dashboard_csv
import innercouncil.web.api_personas
import innercouncil.web.api_prompts
import innercouncil.web.api_sessions
import innercouncil.web.api_training_data
import innercouncil.web.api_tune
import innercouncil.web.api_tune_adapter
import innercouncil.web.api_worth  # noqa: F401 - they add their endpoints to the table
from innercouncil.app.council import House
from innercouncil.app.dashboard import Figures
from innercouncil.model.errors import DamagedError, InnerCouncilError, UsageError
from innercouncil.store.workspace import Workspace
from innercouncil.web import api, pages, v1
from innercouncil.web.http import LocalOnly, NoTraceback, json_response, problem_response, status_of
from innercouncil.web.jobs import Jobs

HOST = "127.0.0.1"
PORT = 5000


def build(workspace: Workspace, *, port: int) -> Starlette:
    """The ASGI application; the house is opened when it starts and closed when it ends."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None, None]:
        app.state.house = House(workspace)
        shutil.rmtree(workspace.stamps / api.UPLOADS, ignore_errors=True)
        app.state.jobs = Jobs()
        app.state.figures = Figures(app.state.house)
        try:
            yield
        finally:
            await app.state.jobs.close()
            await app.state.house.close()

    return Starlette(
        routes=[
            *pages.routes(),
            *api.TABLE.routes(),
            Route("/openapi.json", _openapi),
            *v1.routes(),
            Mount("/static", StaticFiles(packages=[("innercouncil.web", "static")])),
        ],
        middleware=[Middleware(LocalOnly, port=port), Middleware(NoTraceback)],
        exception_handlers={HTTPException: _http_problem, InnerCouncilError: _problem},
        lifespan=lifespan,
    )


def serve(
    workspace: Workspace, *, port: int = PORT, elsewhere: bool = False, ready: Callable[[str], None] | None = None
) -> None:
    """Serve until interrupted; `ready` is called with the address once it listens.

    Where the port is taken, another is found if it may be `elsewhere`, else it raises UsageError.
    """
    import uvicorn

    listening = _listen(port, elsewhere=elsewhere)
    address = f"http://{HOST}:{listening.getsockname()[1]}"
    app = build(workspace, port=listening.getsockname()[1])

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started and ready:
                ready(address)

    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=3
    )
    Server(config).run(sockets=[listening])


def _listen(port: int, *, elsewhere: bool) -> socket.socket:
    # With the protocol named, asyncio turns Nagle's delay off for every connection; else each small answer waits 40 ms.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    with contextlib.suppress(OSError):
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        if elsewhere:
            return _listen(0, elsewhere=False)
        if error.errno in (errno.EADDRINUSE, errno.EACCES) or getattr(error, "winerror", 0) in (10013, 10048):
            raise UsageError(
                f"Port {port} is taken by another program (perhaps innercouncil runs already at http://{HOST}:{port}); "
                "close it, or choose another port with --port."
            ) from None
        raise UsageError(
            f"Cannot listen on {HOST}:{port}: {error.strerror}; choose another port with --port."
        ) from None
    return listening


async def _openapi(_request: Request) -> Response:
    return json_response(api.TABLE.openapi())


async def _http_problem(request: Request, error: Any) -> Response:
    sentences = {404: "There is nothing at this address.", 405: "This address does not take such a request."}
    sentence = sentences.get(error.status_code, str(error.detail))
    if _is_page(request):
        return pages.problem_page(error.status_code, sentence)
    response = problem_response(error.status_code, sentence)
    response.headers.update(error.headers or {})
    return response


async def _problem(request: Request, error: Any) -> Response:
    if isinstance(error, DamagedError):
        request.app.state.house.database.suspect()
    if request.url.path.startswith("/v1/"):
        return v1.problem(error)
    if _is_page(request):
        return pages.problem_page(status_of(error), str(error))
    return problem_response(status_of(error), str(error))


def _is_page(request: Request) -> bool:
    return request.method == "GET" and not request.url.path.startswith(("/api/", "/v1/", "/static/"))
