"""`innercouncil tune …`: adapters for personas, from their rows to the seat in the council."""

from __future__ import annotations

import click

from innercouncil.cli.tune_export import export
from innercouncil.cli.tune_gates import gates, seat, unseat
from innercouncil.cli.tune_preferences import preferences
from innercouncil.cli.tune_prepare import prepare
from innercouncil.cli.tune_train import check, train
from innercouncil.cli.tune_vllm import vllm


@click.group(epilog="Example: innercouncil tune train --persona software-builder --mode 16GB")
def tune() -> None:
    """Train a small adapter (LoRA) for a persona, where its prompt is not enough."""


tune.add_command(prepare)
tune.add_command(check)
tune.add_command(train)
tune.add_command(export)
tune.add_command(gates)
tune.add_command(seat)
tune.add_command(unseat)
tune.add_command(preferences)
tune.add_command(vllm)
