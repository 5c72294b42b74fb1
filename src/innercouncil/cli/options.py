"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from innercouncil.cli.given import GivenPath

F = TypeVar("F", bound=Callable[..., Any])

WORKSPACE: Final = click.option(
    "--workspace", type=GivenPath(file_okay=False), default=Path("data"), show_default=True,
    help="Folder for everything innercouncil keeps.",
)  # fmt: skip
JSON: Final = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")


def with_options(*options: Callable[[Any], Any]) -> Callable[[F], F]:
    """Decorate a command with several options, shown in this order."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate
