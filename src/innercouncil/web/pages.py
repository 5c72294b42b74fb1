"""The pages: small templates that load the data they show from the API."""

from __future__ import annotations

from functools import cache

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from innercouncil import __version__

_PAGES = {
    "/": ("room", "Council room"),
    "/sessions": ("sessions", "Sessions"),
    "/sessions/{id}": ("session", "Session"),
    "/personas": ("personas", "Persona Manager"),
    "/personas/{slug}": ("persona", "Persona"),
    "/import": ("import", "Import"),
    "/map": ("map", "Persona map"),
    "/dashboard": ("dashboard", "Dashboard"),
    "/dashboard/sessions": ("dashboard_sessions", "Sessions behind a figure"),
    "/worth": ("worth", "Was it worth it?"),
    "/ab": ("ab", "A/B tests"),
    "/adapters": ("adapters", "Adapters"),
    "/models": ("models", "Models"),
}


def routes() -> list[Route]:
    """A route a page."""
    return [Route(path, _page(name, title)) for path, (name, title) in _PAGES.items()]


def problem_page(status: int, sentence: str) -> Response:
    """An error as a page."""
    return _render(
        "error", status=status, sentence=sentence, title="Not found" if status == 404 else "Problem", code=status
    )


def _page(name: str, title: str):  # type: ignore[no-untyped-def]
    async def page(request: Request) -> Response:
        return _render(name, title=title, key=request.path_params.get("id") or request.path_params.get("slug") or "")

    return page


def _render(name: str, *, code: int = 200, **values: object) -> Response:
    text = _environment().get_template(f"{name}.html").render(version=__version__, page=name, **values)
    return HTMLResponse(text, code, {"cache-control": "no-store"})


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("innercouncil.web"), autoescape=True, undefined=jinja2.StrictUndefined
    )
