"""The demo: the bundled example in a workspace of its own, and a council of whatever model is there."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

import msgspec
import platformdirs

from innercouncil.app.backends import Backends, Check
from innercouncil.app.council import House
from innercouncil.app.council_settings import CouncilSettings
from innercouncil.app.doctor import model_files
from innercouncil.llm.gguf_header import read_header
from innercouncil.llm.memory import measure_memory
from innercouncil.model.errors import BackendError, InnerCouncilError, UsageError, WorkspaceError
from innercouncil.questions import of_the_demo
from innercouncil.store.workspace import Workspace, disk_errors, is_temporary, writing

_EXPORT: Final = "conversations.json"
_PACKAGE: Final = Path(__file__).parent.parent
_SMALL_BYTES: Final = 1_000_000_000
"""Models below this size answer poorly; of those above, the smallest is the quickest."""


def example_export() -> Path:
    """The bundled export: in the installed package, or in the source tree it is built from."""
    installed = _PACKAGE / "example" / _EXPORT
    return installed if installed.is_file() else _PACKAGE.parent.parent / "examples" / _EXPORT


def demo_workspace(root: Path | None) -> Workspace:
    """The demo's workspace: `root`, or a folder where this system keeps data of programs.

    Raises UsageError for a folder that holds anything but a demo, WorkspaceError where it cannot be written.
    """
    ws = Workspace(root or platformdirs.user_data_path("innercouncil-demo", appauthor=False))
    mark = ws.stamps / "demo"
    with disk_errors(ws.root):
        if not mark.exists():
            if any(p.is_file() and not is_temporary(p.name) for p in ws.root.rglob("*")):
                raise UsageError(f"{ws.root} holds files of something else; give the demo a new folder.")
            with writing(mark) as out:
                out.write(b"")
        if any(p.name != _EXPORT and not p.name.startswith(".") for p in ws.raw_imports.glob("*")):
            raise UsageError(
                f"{ws.root} holds an export of your own by now; give the demo another folder, and see this one with "
                "`innercouncil serve --workspace`."
            )
    return ws


async def seat_models(house: House) -> Check:
    """Let the council use the models it is set to; where they are not there and nothing was chosen, one that is.

    Only models on this machine are taken unasked.
    """
    backends = house.backends
    check = await backends.check()
    if check.ready or backends.settings != CouncilSettings():
        return check
    for name in (backends.settings.worker, *await _chat_models(backends)):
        with contextlib.suppress(InnerCouncilError):
            if not (await backends.resolve(name)).host:
                backends.change(msgspec.structs.replace(backends.settings, worker=name, lite=True))
                return await backends.check()
    return check


async def put_question(house: House) -> str:
    """Ask the council the demo's question and return the session; one that was stopped goes on, a finished one is kept.

    Raises as `House.ask` does, WorkspaceError where another process is asking it now.
    """
    question = of_the_demo()
    earlier = next((s for s in house.sessions.page(limit=200).sessions if s.question == question), None)
    if earlier is None:
        return await house.ask(question)
    if earlier.status == "running":
        raise WorkspaceError("The demo's council is sitting in another innercouncil process; wait for it, or stop it.")
    if earlier.status != "done":
        await house.resume(earlier.id)
    return earlier.id


async def _chat_models(backends: Backends) -> list[str]:
    """Models on this machine that can hold a conversation and fit into its memory, the most suitable first."""
    found = [(f.stat().st_size, str(f)) for f in model_files(backends) if _chats(f)]
    with contextlib.suppress(BackendError):
        if await backends.ollama.version() is not None:
            found += [
                (m.size_bytes, f"ollama:{m.name}")
                for m in await backends.ollama.models()
                if not m.remote_host and "bert" not in m.family and "embed" not in m.name
            ]
    memory = measure_memory()
    most = max(memory.ram_free, *(free for _, _, free in memory.gpus), 0)
    return [name for size, name in sorted(found, key=_suitable) if size < most]


def _suitable(model: tuple[int, str]) -> tuple[bool, int]:
    return model[0] < _SMALL_BYTES, abs(model[0] - _SMALL_BYTES)


def _chats(file: Path) -> bool:
    """Whether a GGUF file is a model with a chat template: no adapter, embedder or damaged file."""
    with contextlib.suppress(OSError, ValueError):
        header = read_header(file)
        return header.get("general.type", "model") == "model" and "tokenizer.chat_template" in header
    return False
