"""`--llm` and what belongs to it: which model helps, what it will take, and the person's yes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

import click

from innercouncil.app.helper_model import DEFAULT_BUDGET, HelperModel, Offer, Price, Spent, model_name
from innercouncil.cli.progress import StageProgress
from innercouncil.cli.terminal import clean
from innercouncil.model.errors import UsageError
from innercouncil.store.workspace import Workspace

LLM_OPTIONS: Final = (
    click.option("--llm", metavar="WHERE", help="Let a model help: ollama, embedded, anthropic, or the URL of an OpenAI-compatible server."),
    click.option("--llm-model", metavar="NAME", help="Which model there; for embedded also a path to a .gguf file."),
    click.option("--yes", is_flag=True, help="Do not ask before the model is used."),
    click.option("--llm-price", type=(float, float), metavar="READ WRITE", callback=lambda _c, _p, v: Price(*v) if v else None, help="Price of a million tokens read and written, to see the cost beforehand."),
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
    price: Price | None = None
    budget: int = DEFAULT_BUDGET


NO_MODEL: Final = Choice()


@contextmanager
def chosen_model(
    choice: Choice, workspace: Workspace, watcher: StageProgress, *, otherwise: Callable[[], str] | None = None
) -> Iterator[HelperModel | None]:
    """The model of a choice; without `--llm` the one `otherwise` names, or None. Raises UsageError, BackendError."""
    if choice.llm is None and choice.model is not None:
        raise UsageError("--llm-model needs --llm, which says where the model runs.")
    if choice.llm is None and otherwise is None:
        yield None
        return
    name = model_name(choice.llm, choice.model) if choice.llm is not None else otherwise() if otherwise else ""

    def agrees(offer: Offer) -> bool:
        with watcher.paused():
            return _agrees(offer, choice)

    def spends(spent: Spent) -> None:
        watcher.note(spent.told(choice.price))

    helper = HelperModel(workspace, name, agrees=agrees, budget=choice.budget, spends=spends)
    try:
        yield helper
    finally:
        helper.release()
        if helper.spent.calls:
            with watcher.paused():
                click.echo(f"{clean(helper.label)} took {helper.spent.told(choice.price)}.", err=True)


def _agrees(offer: Offer, choice: Choice) -> bool:
    """Show what asking will take; ask the person unless they agreed beforehand."""
    click.echo(clean(offer.told(choice.price)), err=True)
    if choice.yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError("This needs your yes: add --yes, or run it in a terminal.")
    return click.confirm("Go on?", default=True, err=True)
