"""Fixtures shared by all tests: the bundled example, discovered once."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from innercouncil.app.discover import Outcome, discover_personas
from innercouncil.app.settings import Settings
from innercouncil.store.workspace import Workspace

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that starts the tests in the background makes all their children deaf to Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)

EXAMPLE = Path(__file__).parent.parent / "examples" / "conversations.json"


class Quiet:
    """A watcher that keeps which stages ran."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, bool]] = []

    def stage(self, title: str, *, done: bool) -> Callable[[int, int], None]:
        self.stages.append((title, done))
        return lambda _done, _total: None


def run(export: Path, folder: Path, **settings: object) -> Outcome:
    """Discover into `folder` with few resamplings, to be quick."""
    return discover_personas(export, Workspace(folder), Settings(**{"bootstraps": 4, **settings}), Quiet())  # type: ignore[arg-type]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a workspace but locks and stamps."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != "lock" and not p.name.startswith("council.db")
    }


@pytest.fixture(scope="session")
def example() -> Path:
    return EXAMPLE


@pytest.fixture(scope="session")
def discovered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Path]:
    """The example's outcome and its workspace; not to be changed."""
    folder = tmp_path_factory.mktemp("example") / "data"
    return run(EXAMPLE, folder), folder
