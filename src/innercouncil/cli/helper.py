"""`--llm` and what belongs to it: which model helps, what it will take, and the person's yes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

import click

from innercouncil.app.helper_model import DEFAULT_BUDGET, HelperModel, Offer, model_name
from innercouncil.cli.progress import StageProgress
from innercouncil.cli.terminal import clean
from innercouncil.model.errors import UsageError
from innercouncil.store.workspace import Workspace

LLM_OPTIONS: Final = (
    click.option("--llm", metavar="WHERE", help="Let a model help: ollama, embedded, anthropic, or the URL of an OpenAI-compatible server."),
    click.option("--llm-model", metavar="NAME", help="Which model there; for embedded also a path to a .gguf file."),
    click.option("--yes", is_flag=True, help="Do not ask before the model is used."),
    click.option("--llm-price", type=(float, float), metavar="READ WRITE", help="Price of a million tokens read and written, to see the cost beforehand."),
)  # fmt: skip
LLM_BUDGET: Final = click.option(
    "--llm-budget", type=click.IntRange(0, 1_000_000), default=DEFAULT_BUDGET, show_default=True,
    help="Most messages to let it label: those the offline labeller is least sure of; 0 to let it label none.",
)  # fmt: skip


class Choice(NamedTuple):
    """What the person said about a model."""

    llm: str | None = None
    model: str | None = None
    yes: bool = False
    price: tuple[float, float] | None = None
    budget: int = DEFAULT_BUDGET


NO_MODEL: Final = Choice()


@contextmanager
def chosen_model(choice: Choice, workspace: Workspace, watcher: StageProgress) -> Iterator[HelperModel | None]:
    """The model of a choice, None without `--llm`. Raises UsageError, BackendError."""
    if choice.llm is None:
        if choice.model is not None:
            raise UsageError("--llm-model needs --llm, which says where the model runs.")
        yield None
        return

    def agrees(offer: Offer) -> bool:
        with watcher.paused():
            return _agrees(offer, choice)

    helper = HelperModel(workspace, model_name(choice.llm, choice.model), agrees=agrees, budget=choice.budget)
    try:
        yield helper
    finally:
        helper.release()


def _agrees(offer: Offer, choice: Choice) -> bool:
    """Show what asking will take; ask the person unless they agreed beforehand."""
    e = offer.estimate
    parts = [
        f"{clean(offer.model)} will be asked about {e.what} in {e.calls} call{'s' if e.calls != 1 else ''}: about "
        f"{e.prompt_tokens:,} tokens to read and up to {e.answer_tokens:,} to write",
        f"at its present speed at most {_duration(offer.speed.seconds(e))}",
    ]
    if choice.price is not None:
        cost = (e.prompt_tokens * choice.price[0] + e.answer_tokens * choice.price[1]) / 1e6
        parts.append(f"at your price at most {cost:.2f}")
    if offer.redacted:
        parts.append("personal things taken out before they are sent")
    click.echo(", ".join(parts) + ".", err=True)
    if choice.yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError("This needs your yes: add --yes, or run it in a terminal.")
    return click.confirm("Go on?", default=True, err=True)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
