"""Adapters for servers that load none: merged into their base, and a Modelfile for Ollama."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from innercouncil.app.personas import open_personas
from innercouncil.app.tune_watch import find_card
from innercouncil.cards.modelfile import write as write_modelfile
from innercouncil.llm.ollama import Ollama
from innercouncil.model.errors import UsageError
from innercouncil.store.workspace import Workspace, disk_errors, writing
from innercouncil.tuning.merging import MergeType, merge_gguf

NO_ADAPTERS: Final = (0, 34, 1)
"""Ollama refuses ADAPTER when it creates a model, from this version on (as reported; not tried here)."""


def merge(
    folder: Path, base: Path, output: Path | None, outtype: MergeType, progress: Callable[[int, int], None]
) -> tuple[Path, int]:
    """Write the base with the adapter of a folder worked in; the file and how many modules changed. Raises UsageError."""
    adapter = folder / "adapter.gguf"
    if not adapter.is_file():
        raise UsageError(f"{adapter} is missing; `innercouncil tune export` writes it.")
    file = output or folder / f"merged-{outtype}.gguf"
    if file.resolve() in (base.resolve(), adapter.resolve()):
        raise UsageError(f"{file} would be overwritten by itself; name another with --output.")
    with disk_errors(file):
        return file, merge_gguf(base, adapter, file, outtype=outtype, progress=progress)


def modelfile(workspace: Workspace, slug: str, folder: Path, merged: Path | None) -> tuple[Path, str]:
    """Write a Modelfile with the persona's prompt: FROM the merged file, or its base with ADAPTER where Ollama takes that.

    Returns the file and Ollama's version, empty where none was found. Raises UsageError where a running Ollama takes no adapters.
    """
    version = asyncio.run(_ollama_version())
    if merged is None and version and _numbers(version) >= NO_ADAPTERS:
        raise UsageError(
            f"Ollama {version} takes no adapters; merge it into its base with --merge BASE.gguf --modelfile, and it needs none."
        )
    _, database, cards = open_personas(workspace)
    try:
        card = cards.get(slug).card
    finally:
        database.close()
    told = find_card(folder)
    source = f"./{merged.name}" if merged else told.base if told else card.base_model
    text = write_modelfile(msgspec.structs.replace(card, base_model=source)).content.decode()
    if merged is None:
        lines = text.splitlines(keepends=True)
        at = next(n for n, line in enumerate(lines) if line.startswith("FROM "))
        text = "".join([*lines[: at + 1], "ADAPTER ./adapter.gguf\n", *lines[at + 1 :]])
    path = (merged.parent if merged else folder) / "Modelfile"
    with disk_errors(path), writing(path) as out:
        out.write(text.encode())
    return path, version


async def _ollama_version() -> str:
    ollama = Ollama()
    try:
        return await ollama.version() or ""
    finally:
        await ollama.aclose()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version)[:3])
