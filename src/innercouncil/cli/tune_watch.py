"""A training on the terminal: a bar with loss, speed, memory and time left; where nobody looks, a line now and then."""

from __future__ import annotations

from collections.abc import Callable

import click

from innercouncil.cli.progress import StageProgress
from innercouncil.cli.terminal import clean
from innercouncil.model.times import duration
from innercouncil.model.training import TrainingCheck, TrainingEvent


class TrainingWatch:
    """Shows the events of one training after another."""

    def __init__(self, progress: StageProgress, *, live: bool) -> None:
        self._progress, self._live = progress, live
        self._update: Callable[[int, int], None] = lambda _done, _total: None
        self._best: float | None = None
        self._tenth = -1
        self._last: TrainingEvent | None = None

    def __call__(self, check: TrainingCheck, event: TrainingEvent) -> None:
        """An event of the training of `check`."""
        if event.event == "start":
            self._begin(check, event)
        elif event.event == "step":
            self._last = event
            self._update(event.step, event.steps)
            self._progress.note(told(event))
            tenth = 10 * event.step // max(event.steps, 1)
            if not self._live and tenth != self._tenth:
                self._tenth = tenth
                click.echo(f"{clean(check.plan.slug)}, step {event.step} of {event.steps}: {told(event)}", err=True)
        elif event.event == "stopping":
            with self._progress.paused():
                click.echo("Finishing the step under way, to keep it; Ctrl-C again stops at once.", err=True)
        elif event.event == "eval" and event.eval_loss is not None:
            better = self._best is None or event.eval_loss < self._best
            self._best = event.eval_loss if better else self._best
            mark = "" if event.step == 0 else ", the best so far" if better else ""
            with self._progress.paused():
                click.echo(
                    f"{clean(check.plan.slug)}, step {event.step}: held-out loss {event.eval_loss:.4f}{mark}", err=True
                )

    def _begin(self, check: TrainingCheck, event: TrainingEvent) -> None:
        if event.step == 0 or self._last is None:
            self._tenth = -1
        self._update = self._progress.stage(f"Training {check.plan.slug}", done=False)
        if event.step:
            with self._progress.paused():
                click.echo(f"{clean(check.plan.slug)} goes on after step {event.step} of {event.steps}.", err=True)


def told(event: TrainingEvent) -> str:
    """The figures of a step in words."""
    parts = [f"loss {event.loss:.4f}" if event.loss is not None else ""]
    parts.append(f"{event.tokens_per_s:.0f} tokens/s" if event.tokens_per_s else "")
    parts.append(f"{event.memory / 1e9:.2f} GB held" if event.memory else "")
    parts.append(f"{duration(event.left)} left" if event.left is not None else "")
    return ", ".join(p for p in parts if p)
