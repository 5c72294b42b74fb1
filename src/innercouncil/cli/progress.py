"""Progress of the stages on stderr: bars with an estimate on a terminal, a line a stage elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class StageProgress:
    """A `Watcher` that draws; use it as a context manager."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description:<24}", markup=False),
            BarColumn(bar_width=28),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=self._console,
            disable=not self._console.is_terminal,
        )

        self._newest: TaskID | None = None

    @property
    def drawn(self) -> bool:
        """Whether bars are drawn: only on a terminal."""
        return self._console.is_terminal

    def note(self, text: str) -> None:
        """Say something beside the newest bar; only on a terminal."""
        if self._newest is not None:
            self._progress.update(self._newest, note=text)

    def __enter__(self) -> StageProgress:
        self._progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._progress.stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the terminal to a question."""
        self._progress.stop()
        try:
            yield
        finally:
            self._progress.start()

    def stage(self, title: str, *, done: bool) -> Callable[[int, int], None]:
        """Draw a new bar, or say that the stage was done before."""
        if not self._console.is_terminal:
            self._console.print(f"{title}{' (done before)' if done else ''}", markup=False, highlight=False)
            return lambda _done, _total: None
        task = self._progress.add_task(title, total=1, completed=int(done), note="")
        self._newest = task
        if done:
            self._progress.update(task, description=f"{title} (kept)")

        def update(at: int, total: int) -> None:
            self._progress.update(task, completed=at, total=max(total, 1))

        return update
