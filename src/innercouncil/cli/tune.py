"""`innercouncil tune …`: a small adapter for a persona whose prompt is not enough."""

from __future__ import annotations

import click

from innercouncil.cli.tune_prepare import prepare


@click.group(epilog="Example: innercouncil tune prepare")
def tune() -> None:
    """Prepare training data from your messages."""


tune.add_command(prepare)
