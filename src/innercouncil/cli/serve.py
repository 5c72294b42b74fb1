"""`innercouncil serve`: the web app."""

from __future__ import annotations

import contextlib
import threading
import webbrowser
from pathlib import Path
from typing import Final

import click

from innercouncil.cli.options import WORKSPACE, with_options

_TEXT_BROWSERS: Final = frozenset({"www-browser", "links", "elinks", "lynx", "w3m"})


@click.command(epilog="Example: innercouncil serve --port 5001 --open")
@with_options(
    WORKSPACE,
    click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True, help="Port on 127.0.0.1."),
    click.option("--open", "open_", is_flag=True, help="Open the browser."),
)
def serve(workspace: Path, port: int, open_: bool) -> None:
    """Start the web app: Persona Manager, council room, sessions. Only this machine can reach it."""
    serve_workspace(workspace, port=port, open_=open_)


def serve_workspace(workspace: Path, *, port: int, open_: bool, elsewhere: bool = False) -> None:
    """Serve a workspace until Ctrl-C; on a free port where `port` is taken and it may be `elsewhere`."""
    from innercouncil.store.workspace import Workspace
    from innercouncil.web.app import serve as serve_web

    def ready(address: str) -> None:
        click.echo(f"innercouncil is at {address} (Ctrl-C ends it; everything is kept in {workspace}).", err=True)
        if open_:
            _open_browser(address)

    serve_web(Workspace(workspace), port=port, elsewhere=elsewhere, ready=ready)


def _open_browser(address: str) -> None:
    """Open the person's browser beside the server, which it may ask before this returns; none that takes the terminal."""
    with contextlib.suppress(webbrowser.Error):
        if getattr(webbrowser.get(), "name", "") not in _TEXT_BROWSERS:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
