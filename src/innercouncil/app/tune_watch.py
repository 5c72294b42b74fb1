"""Watching trainings: everything is read from their files, so whoever looks sees the same, whoever started them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

import msgspec
import psutil

from innercouncil.app.findings import names_of
from innercouncil.model.errors import PersonaNotFoundError
from innercouncil.model.slug import slug_of
from innercouncil.model.training import AdapterCard, TrainingEvent, TrainingRun
from innercouncil.store.workspace import Workspace

PROGRESS: Final = "progress.jsonl"
CARD: Final = "card.json"
PID: Final = "pid"
"""File in the run's folder that names the process that trains."""
LOOK_S: Final = 0.5


def training_runs(ws: Workspace) -> list[TrainingRun]:
    """Every adapter that is there or under way, by slug."""
    folders = sorted(f for f in ws.loras.glob("persona_*") if (f / PROGRESS).is_file() or (f / CARD).is_file())
    return [_run_of(folder) for folder in folders]


def training_run(ws: Workspace, slug: str) -> TrainingRun:
    """That of one persona. Raises PersonaNotFoundError."""
    found = {run.slug: run for run in training_runs(ws)}
    if slug not in found:
        slug = next((name for name in names_of(ws, slug) if name in found), slug)
    if slug not in found:
        raise PersonaNotFoundError(
            f"There is no adapter or training of {slug[:60]!r}; `innercouncil tune train` begins one."
        )
    return found[slug]


async def follow(ws: Workspace, slug: str) -> AsyncGenerator[tuple[str, list[TrainingEvent]], None]:
    """What happened so far and then what happens, several events at a time, until the training ends.

    Raises PersonaNotFoundError.
    """
    slug = training_run(ws, slug).slug
    path, offset = ws.loras / f"persona_{slug}" / PROGRESS, 0
    while True:
        running = training_run(ws, slug).state == "running"
        events, offset = read_progress(path, offset)
        if events:
            yield "events", events
        if not running:
            return
        await asyncio.sleep(LOOK_S)


def adapter_folder(ws: Workspace, slug: str) -> Path:
    """Where the adapter of a persona lies, also one that was trained before the persona was renamed."""
    folders = [ws.loras / f"persona_{slug_of(name)}" for name in names_of(ws, slug)]
    return next((f for f in folders if f.is_dir()), folders[0])


def find_card(output: Path) -> AdapterCard | None:
    """The card of the adapter in a folder, None where there is none that can be read."""
    try:
        return msgspec.json.decode((output / CARD).read_bytes(), type=AdapterCard)
    except (OSError, msgspec.MsgspecError):
        return None


def read_progress(path: Path, offset: int = 0) -> tuple[list[TrainingEvent], int]:
    """Whole lines of a progress file from `offset` on, and where to go on."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read()
    except OSError:
        return [], offset
    whole = data[: data.rfind(b"\n") + 1]
    events = []
    for line in whole.splitlines():
        with contextlib.suppress(msgspec.MsgspecError):
            events.append(msgspec.json.decode(line, type=TrainingEvent))
    return events, offset + len(whole)


def _run_of(folder: Path) -> TrainingRun:
    events, _ = read_progress(folder / PROGRESS)
    card, newest = find_card(folder), events[-1] if events else None
    steps = [e for e in events if e.event == "step"]
    losses = [e.eval_loss for e in events if e.event == "eval" and e.step and e.eval_loss is not None]
    run = TrainingRun(
        slug=folder.name.removeprefix("persona_"), state="interrupted", step=steps[-1].step if steps else 0,
        steps=steps[-1].steps if steps else 0, last=steps[-1] if steps else None, best_loss=min(losses, default=None), problem="",
        adapter=card.id if card else "",
    )  # fmt: skip
    if _alive(folder / ".run" / PID):
        return msgspec.structs.replace(run, state="running")
    if newest is not None and newest.event == "failed":
        return msgspec.structs.replace(run, state="failed", problem=newest.text)
    whole = card is not None and (newest is None or newest.event == "done")
    return msgspec.structs.replace(run, state="done") if whole else run


def _alive(path: Path) -> bool:
    """Whether the process that the file names trains; its number may belong to another one by now."""
    with contextlib.suppress(OSError, ValueError, psutil.Error):
        return "innercouncil.tuning.child" in psutil.Process(int(path.read_text("utf-8"))).cmdline()
    return False
