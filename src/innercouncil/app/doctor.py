"""What is on this machine, what fits into it, and what to do: for `innercouncil doctor`, `models` and the web app."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from innercouncil.app.backends import Backends, Check, shape_of
from innercouncil.app.council import House
from innercouncil.app.council_settings import CouncilSettings
from innercouncil.llm.memory import GIB, measure_memory
from innercouncil.llm.select import parse_model
from innercouncil.model.errors import BackendError, InnerCouncilError, UsageError
from innercouncil.model.ports import ChatModel, ChatRequest, ChatTurn
from innercouncil.store.backups import backups, damage


class Found(msgspec.Struct, frozen=True):
    """A model on this machine."""

    name: str
    where: str
    """Ollama, Ollama (cloud), or llama.cpp."""
    size_bytes: int
    quantization: str


class Step(NamedTuple):
    """How far fetching a model is, in bytes; `total` 0 while it is not known."""

    what: str
    done: int
    total: int


class Line(msgspec.Struct, frozen=True):
    """A finding."""

    verdict: Literal["good", "note", "bad"]
    text: str


async def list_models(house: House) -> tuple[list[Found], Check, CouncilSettings]:
    """Models on this machine, whether the council's are there, and the settings."""
    backends = house.backends
    found = []
    with contextlib.suppress(BackendError):
        if await backends.ollama.version() is not None:
            for m in await backends.ollama.models():
                where = "Ollama (not on this machine)" if m.remote_host or backends.ollama.is_remote else "Ollama"
                found.append(Found(m.name, where, m.size_bytes, m.quantization))
    found += [Found(str(file), "llama.cpp", file.stat().st_size, "") for file in model_files(backends)]
    return found, await backends.check(), backends.settings


def model_files(backends: Backends) -> list[Path]:
    """GGUF files where a person keeps them: with the workspace, in this folder, and where `models pull` puts them from here."""
    folders = (backends.folder.root, backends.folder.root.parent, Path.cwd(), Path.cwd() / "data" / "models")
    return sorted({file.resolve() for folder in folders for file in folder.glob("*.gguf")})


async def pull_model(house: House, name: str) -> AsyncGenerator[Step, None]:
    """Fetch a model: with Ollama where it runs, else its GGUF file for llama.cpp.

    Raises UsageError for what is no name, BackendError, WorkspaceError for the disk.
    """
    spec = parse_model(name)
    if spec.kind not in ("auto", "ollama"):
        raise UsageError(f"{name} is not the name of a model to fetch; write it like qwen2.5:3b.")
    ollama = house.backends.ollama
    if await ollama.version() is not None:
        async with contextlib.aclosing(ollama.pull(spec.name)) as steps:
            async for p in steps:
                yield Step(f"Ollama: {p.status}", p.completed, p.total)
        return
    if spec.kind == "ollama":
        raise UsageError("Ollama does not run; start it, or leave `ollama:` out to fetch the model for llama.cpp.")
    async with contextlib.aclosing(house.backends.folder.fetch(spec.name)) as parts:
        async for part in parts:
            yield Step(f"{spec.name} for llama.cpp", part.done, part.total)


async def examine(house: House, *, measure: bool = False) -> list[Line]:
    """Look at everything a council needs, in the order in which it matters."""
    backends, s = house.backends, house.backends.settings
    lines = [
        *_personas(house),
        _database(house),
        *await _ollama(backends),
        *_embedded(),
        *_machine(house.workspace.root),
    ]
    check = await backends.check()
    if check.problem:
        lines.append(Line("bad", check.problem))
    else:
        same = (
            ", which also writes the final answer"
            if check.worker == check.synthesizer
            else f"; {check.synthesizer} writes the final answer"
        )
        lines.append(Line("good", f"Workers use {check.worker}{same}."))
        lines += await _at_once(backends, s)
    lines += await _memory(backends, s)
    if measure and check.ready:
        lines += await _measure((await backends.seats()).worker)
    return lines


def _personas(house: House) -> list[Line]:
    seated = [p for p in house.cards.all() if p.enabled]
    if not seated:
        return [Line("bad", "No persona is enabled; run `innercouncil discover EXPORT`, or make one in the web app.")]
    names = ", ".join(p.card.name for p in seated)
    verdict: Literal["good", "note"] = "good" if len(seated) > 2 else "note"
    more = "" if len(seated) > 2 else " Three or more are needed for a vote."
    return [Line(verdict, f"{len(seated)} personas are enabled: {names}.{more}")]


def _database(house: House) -> Line:
    path = house.workspace.database
    if problem := damage(path):
        return Line(
            "bad",
            f"{path} is damaged ({problem}): stop everything that uses it, then `innercouncil backup restore` takes the "
            "newest sound copy.",
        )
    copies = sum(not b.problem for b in backups(path))
    return Line("good", f"{path} is sound; there are {copies} sound copies of it (`innercouncil backup make`).")


async def _ollama(backends: Backends) -> list[Line]:
    ollama = backends.ollama
    version = await ollama.version()
    if version is None:
        return [Line("note", f"Ollama does not answer at {ollama.url} (it is not needed where you have a .gguf file).")]
    lines = [Line("good", f"Ollama {version} runs at {ollama.url}.")]
    with contextlib.suppress(BackendError):
        loaded = await ollama.loaded()
        lines += [
            Line("note", f"Ollama holds {m.name}: {m.size_bytes / GIB:.1f} GiB, {m.vram_bytes / GIB:.1f} of it on the GPU"
                 + (f", context {m.context_tokens}" if m.context_tokens else "") + ".")
            for m in loaded
        ]  # fmt: skip
    return lines


def _embedded() -> list[Line]:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return [
            Line(
                "good",
                f"llama.cpp is built in (xllamacpp {version('xllamacpp')}); CPU unless a GPU build is installed.",
            )
        ]
    except PackageNotFoundError:
        return [Line("bad", "The built-in llama.cpp is missing; run `uv sync`.")]


def _machine(root: Path) -> list[Line]:
    memory = measure_memory()
    gpus = "; ".join(f"{name} {total / GIB:.1f} GiB, {free / GIB:.1f} free" for name, total, free in memory.gpus)
    text = (
        f"{os.cpu_count()} CPU cores, RAM {memory.ram_total / GIB:.1f} GiB, {memory.ram_free / GIB:.1f} free, "
        f"GPU: {gpus or 'no NVIDIA GPU found'}."
    )
    free = shutil.disk_usage(root).free
    disk = Line("note" if free > 10 * GIB else "bad", f"{free / GIB:.1f} GiB of disk are free where the workspace is.")
    return [Line("note", text), disk]


async def _memory(backends: Backends, s: CouncilSettings) -> list[Line]:
    names = [s.worker] if s.lite else [s.worker, s.synthesizer]
    specs = []
    for name in names:
        try:
            specs.append(await backends.resolve(name))
        except InnerCouncilError:
            specs.append(parse_model(name))
    if any(spec.kind in ("openai", "anthropic") for spec in specs):
        return [Line("note", "A model runs elsewhere; its memory is not this machine's concern.")]
    missing = [spec.name for spec in specs if shape_of(spec) is None]
    plan = backends.plan_for(specs[0], specs[-1], s, measure_memory())
    if plan is None:
        return [
            Line("note", f"The size of {', '.join(missing)} is not known here, so whether it fits cannot be computed.")
        ]
    verdict: Literal["good", "bad"] = "bad" if "more than there is: close" in plan.advice else "good"
    return [*(Line("note", line) for line in plan.lines), Line(verdict, plan.advice)]


async def _at_once(backends: Backends, s: CouncilSettings) -> list[Line]:
    spec = await backends.resolve(s.worker)
    if spec.kind == "gguf":
        return [Line("note", f"llama.cpp writes {s.slots} answers at a time (`innercouncil models use --slots`).")]
    known = backends.at_once(f"{spec.kind}:{spec.url}:{spec.name}")
    if known is None:
        return [Line("note", "The workers' backend has not been seen to queue: all workers are asked at once.")]
    hint = "; OLLAMA_NUM_PARALLEL changes it" if spec.kind == "ollama" else ""
    return [Line("note", f"The workers' backend was seen to write {known} answers at a time{hint}.")]


_AT_ONCE: Final = (1, 2, 4, 6)


async def _measure(model: ChatModel) -> list[Line]:
    """Tokens a second with one, two, four and six answers at a time, as a person's council would ask for them."""

    async def one(seed: int) -> int:
        request = ChatRequest(
            turns=(ChatTurn("user", "Count from one to sixty in words."),), temperature=0.7, max_tokens=64, seed=seed
        )
        used = 0
        async with contextlib.aclosing(model.stream(request)) as chunks:
            async for chunk in chunks:
                used = chunk.usage.completion_tokens if chunk.usage else used
        return used

    await one(0)
    lines = []
    for count in _AT_ONCE:
        began = time.monotonic()
        written = sum(await asyncio.gather(*(one(i) for i in range(count))))
        seconds = time.monotonic() - began
        lines.append(
            Line(
                "note",
                f"{count} at a time: {written / seconds:.1f} tokens a second in all ({written} in {seconds:.1f} s).",
            )
        )
    return lines
