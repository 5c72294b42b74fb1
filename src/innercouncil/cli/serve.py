"""`innercouncil serve`: the web app."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from innercouncil.cli.options import WORKSPACE, with_options


@click.command(epilog="Example: innercouncil serve --port 5001 --open")
@with_options(
    WORKSPACE,
    click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True, help="Port on 127.0.0.1."),
    click.option("--open", "open_", is_flag=True, help="Open the browser."),
)
def serve(workspace: Path, port: int, open_: bool) -> None:
    """Start the web app: Persona Manager, council room, sessions. Only this machine can reach it."""
    from innercouncil.store.workspace import Workspace
    from innercouncil.web.app import serve as serve_web

    def ready(address: str) -> None:
        click.echo(f"innercouncil is at {address} (Ctrl-C ends it; everything is kept in {workspace}).", err=True)
        if open_:
            webbrowser.open(address)

    serve_web(Workspace(workspace), port=port, ready=ready)
