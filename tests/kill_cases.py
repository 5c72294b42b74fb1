"""What is killed at its every write: stages as a person runs them, each on a workspace of its own, and what must be there after."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from conftest import EXAMPLE, Quiet, contents
from innercouncil.app.changes import make_change
from innercouncil.app.findings import load_discovery
from innercouncil.app.personas import edit_persona, open_personas
from innercouncil.model.council import Answer, Answered, Council, CouncilOptions, Finished, Timing, Worker
from innercouncil.model.persona import Change
from innercouncil.store.database import MIGRATIONS, Database
from innercouncil.store.sessions import SessionStore
from innercouncil.store.workspace import Workspace
from kill_points import shot, writes_of

VOTE: Final = """
import sys
from pathlib import Path
from innercouncil.app.council import House
from innercouncil.store.workspace import Workspace
house = House(Workspace(Path(sys.argv[1])))
session = house.sessions.find("last")
if not house.sessions.get(session).votes:
    house.vote(session, [[1], [0]], blind=True)
house.database.close()
"""
ROOT: Final = Path(__file__).parent.parent
THROUGH: Final = "Error: mender speaks with its prompt alone already"
_CLOCK: Final = ("made_at", "created_at", "finished_at", "voted_at")


class Case(NamedTuple):
    """A command, and how the workspace is made that it runs in; `base` is one with the example discovered.

    `again` is what a person runs after the kill, where not the same command; `look` what is compared, where not everything.
    """

    prepare: Callable[[Path, Path], object]
    command: Callable[[Path], list[Any]]
    again: Callable[[Path], list[Any]] | None = None
    look: Callable[[Path], Any] | None = None


def _copied(base: Path, workspace: Path) -> None:
    shutil.copytree(base, workspace)


def _empty(_base: Path, workspace: Path) -> None:
    workspace.mkdir()


def _old(_base: Path, workspace: Path) -> None:
    """A council.db as the first version left it, with changes in it."""
    workspace.mkdir()
    with sqlite3.connect(workspace / "council.db") as db:
        db.executescript(MIGRATIONS[0])
        for n in range(3):
            db.execute(
                "INSERT INTO persona_change (made_at, action, slug, value) VALUES ('x', 'edit', ?, 'v')", (f"s{n}",)
            )
        db.execute("PRAGMA user_version=1")
    db.close()


def _answered(_base: Path, workspace: Path) -> None:
    database = Database(workspace / "council.db")
    store = SessionStore(database)
    workers = tuple(
        Worker(seat=n, slug=f"w{n}", name=f"W{n}", description="", system="s", temperature=0.7, version=None)
        for n in range(2)
    )
    council = Council(question="Q?", workers=workers, worker_model="m", synthesizer_model="m", options=CouncilOptions())
    session = store.begin(council)
    for n in range(2):
        timing = Timing(started=0, first_token=1, finished=2)
        store.record(
            session, Answered(Answer(part="council", round=0, seat=n, text="Yes.", status="ok", timing=timing))
        )
    store.record(session, Finished("done", ""))
    database.close()


def _seated(base: Path, workspace: Path) -> None:
    """The discovered personas sit in the council, the largest with a prompt of the person's."""
    shutil.copytree(base, workspace)
    _, database, cards = open_personas(Workspace(workspace))
    first = cards.all()[0]
    edit_persona(
        Workspace(workspace), cards, first.slug, msgspec.structs.replace(first.card, system="In my own words.")
    )
    database.close()


def _renamed(base: Path, workspace: Path) -> None:
    """The same, and the largest was given another name."""
    _seated(base, workspace)
    slug = load_discovery(Workspace(workspace)).personas[0].slug
    make_change(Workspace(workspace), Change(action="rename", slug=slug, value="The Maker"), Quiet())


def _cli(*words: Any) -> Callable[[Path], list[Any]]:
    return lambda workspace: ["innercouncil", *words, "--workspace", workspace]


def _edit(slug: str) -> Callable[[Path], list[Any]]:
    def command(workspace: Path) -> list[Any]:
        text = workspace.parent / "prompt.md"
        text.write_text("You answer in rhymes.\n", "utf-8")
        return ["innercouncil", "personas", "edit", slug, "--file", text, "--workspace", workspace]

    return command


def _vote(workspace: Path) -> list[Any]:
    script = workspace.parent / "vote.py"
    script.write_text(VOTE, "utf-8")
    return [script, workspace]


def cases(slugs: list[str]) -> dict[str, Case]:
    """All of them; `slugs` are the example's personas."""
    prompts = ROOT / "scripts" / "import_personas.py"
    return {
        "discover": Case(_empty, _cli("discover", EXAMPLE, "--json")),
        "rename": Case(_copied, _cli("personas", "rename", slugs[0], "The Maker")),
        "merge": Case(_copied, _cli("personas", "merge", slugs[0], slugs[1])),
        "rename-seated": Case(_seated, _cli("personas", "rename", slugs[0], "The Maker")),
        "merge-seated": Case(_seated, _cli("personas", "merge", slugs[0], slugs[1])),
        "undo-seated": Case(_renamed, _cli("personas", "undo")),
        "edit-seated": Case(_seated, _edit(slugs[0])),
        "import": Case(_copied, lambda workspace: [prompts, "--keep", "--workspace", workspace]),
        "prepare": Case(_copied, _cli("tune", "prepare")),
        "migration": Case(_old, _cli("standings", "--json")),
        "vote": Case(_answered, _vote),
    }


def state(workspace: Path) -> tuple[dict[str, bytes], list[str]]:
    """Every file's bytes, and all rows of council.db but times and drawn ids."""
    files = {n: b for n, b in contents(workspace).items() if not n.startswith(("backups/", ".innercouncil/lock"))}
    database = workspace / "council.db"
    if not database.exists():
        return files, []
    with sqlite3.connect(database) as db:
        db.row_factory = sqlite3.Row
        tables = [r[0] for r in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        rows = [
            f"{table}: { {k: row[k] for k in row.keys() if k not in _CLOCK} }"  # noqa: SIM118 - a Row has no items
            for table in tables if not table.startswith("session")
            for row in db.execute(f"SELECT * FROM {table}")
        ]  # fmt: skip
        version = db.execute("PRAGMA user_version").fetchone()[0]
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    db.close()
    return files, [f"schema {version}", *rows]


def uninterrupted(case: Case, base: Path, folder: Path) -> tuple[int, Any]:
    """How many writes the command makes, and what is there afterwards."""
    workspace = folder / "whole" / "data"
    workspace.parent.mkdir(parents=True)
    case.prepare(base, workspace)
    return writes_of(case.command(workspace), workspace), (case.look or state)(workspace)


def killed_and_again(case: Case, base: Path, folder: Path, point: int) -> Any:
    """Kill the command at a write, run it again, and say what is there."""
    workspace = folder / f"at-{point}" / "data"
    workspace.parent.mkdir(parents=True)
    case.prepare(base, workspace)
    first = shot(case.command(workspace), workspace, point)
    assert first.killed, f"write {point} was not reached: {first.code} {first.stderr}"
    again = shot((case.again or case.command)(workspace), workspace, -1)
    # A change that was through when the kill came is not there to be made again, and the command says so.
    said = [
        line for line in again.stderr.splitlines() if line.startswith(("Error: There is no persona called", THROUGH))
    ]
    assert again.code == 0 or len(said) == 1, f"after a kill at write {point}: {again.stderr}"
    assert "Traceback" not in again.stderr
    assert not list(workspace.rglob(".*.part")), f"left behind by a kill at write {point}"
    found = (case.look or state)(workspace)
    shutil.rmtree(workspace.parent)
    return found
