"""What else is killed at its every write: commands that ask models, here a server on this machine, and those on copies and adapters."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from conftest import contents
from faulty_server import FaultyServer, beside
from innercouncil.app.council import House
from innercouncil.app.council_settings import CouncilSettings
from innercouncil.app.tune_adapters import adapter_of, digest_of, prompt_digest, seat_adapter
from innercouncil.app.tune_card import GATES
from innercouncil.model.card import PersonaCard
from innercouncil.model.gates import Gate, GateReport
from innercouncil.store.backups import back_up, backups, damage
from innercouncil.store.database import Database
from innercouncil.store.workspace import Workspace
from kill_cases import Case, state
from scripted_author import serving
from tiny_adapter import row, trained
from tiny_model import build_tiny_model

RESUME: Final = """
import sys
from innercouncil.cli.main import cli, run
from innercouncil.model.errors import InnerCouncilError
workspace = ["--workspace", sys.argv[1]]
if run(cli, ["sessions", "resume", "last", *workspace]):
    sys.exit(run(cli, ["ask", "What first?", *workspace]))
"""
"""What a person does after a kill: go on with the session, or ask where it had not begun."""
NAMES: Final = ("Mender", "Doubter", "Maker")


def system(name: str) -> str:
    return f"You are the {name}."


def furnished(workspace: Path, worker: str) -> House:
    """Three personas and a model."""
    workspace.mkdir(parents=True)
    house = House(Workspace(workspace))
    for name in NAMES:
        house.cards.add(PersonaCard(name=name, system=system(name)), name.lower(), "created")
    house.backends.change(CouncilSettings(worker=worker, lite=True, context_tokens=8192))
    return house


def closed(house: House) -> None:
    house.backends.stop()
    house.database.close()


def sessions(workspace: Path) -> list[Any]:
    """What is kept of every session but words, ids and times, which another draw may change."""
    database = Database(workspace / "council.db")
    with database.reading() as db:
        found = [
            (
                question, status,
                sorted(db.execute("SELECT part, seat, round, status FROM answer WHERE session = ?", (number,)).fetchall()),
                sorted(db.execute("SELECT part, voter FROM ballot WHERE session = ?", (number,)).fetchall()),
                sorted(db.execute("SELECT part FROM tally WHERE session = ?", (number,)).fetchall()),
                sorted(db.execute("SELECT part FROM synthesis WHERE session = ?", (number,)).fetchall()),
                db.execute("SELECT count(*) FROM session_text WHERE rowid = ?", (number,)).fetchone()[0],
            )
            for number, question, status in db.execute("SELECT number, question, status FROM session").fetchall()
        ]  # fmt: skip
    database.close()
    return sorted(found)


def _resume(workspace: Path) -> list[Any]:
    script = workspace.parent / "resume.py"
    script.write_text(RESUME, "utf-8")
    return [script, workspace]


def _questions(workspace: Path) -> list[Any]:
    file = workspace.parent / "questions.txt"
    file.write_text("What first?\nAnd then?\n", "utf-8")
    return ["innercouncil", "run-questions", file, "--workspace", workspace]


def _copies(workspace: Path) -> list[str]:
    """The database, and the copies, of which each has to be sound."""
    found = backups(workspace / "council.db")
    assert found
    assert [b.problem for b in found] == [""] * len(found)
    assert not list((workspace / "backups").glob(".*")), "half a copy stays"
    return state(workspace)[1]


def _with_copy(_base: Path, workspace: Path) -> None:
    """A database, a copy of it, and something written since."""
    workspace.mkdir()
    database = Database(workspace / "council.db")
    database.set("mine", "copied")
    back_up(database.path, "asked-for")
    database.set("mine", "later")
    database.close()


def _restored(workspace: Path) -> list[str]:
    """The database, and whether what was there before is somewhere still."""
    aside = list((workspace / "backups").glob("replaced-*.db"))
    assert any(_value(path) == "later" for path in aside), "what was there is gone"
    assert damage(workspace / "council.db") == ""
    return state(workspace)[1]


def _value(path: Path) -> str:
    with contextlib.closing(sqlite3.connect(path)) as db:
        return str(db.execute("SELECT value FROM setting WHERE name = 'mine'").fetchone()[0])


def _with_adapter(model: Path, *, seated: bool) -> Callable[[Path, Path], None]:
    """A persona with an adapter that passed its gates."""

    def prepare(_base: Path, workspace: Path) -> None:
        house = furnished(workspace, str(model))
        loras = trained(workspace, "mender", [row("q", "a b")], [])
        adapter = adapter_of(house, "mender")
        report = GateReport(
            adapter=adapter.name, sha256=adapter.sha256, base=model.name, base_sha256=digest_of(house.database, model),
            prompt_sha256=prompt_digest(system("Mender")), data_sha256="", seed=0, passed=True,
            gates=(Gate(name="privacy", outcome="pass", words="Told."),),
        )  # fmt: skip
        (loras / GATES).write_bytes(msgspec.json.encode(report))
        if seated:
            import asyncio

            asyncio.run(seat_adapter(house, "mender"))
        closed(house)

    return prepare


def _adapters(workspace: Path) -> Any:
    files, rows = state(workspace)
    # The digest of a file is remembered with the time it was written, which is another one in every workspace.
    return files, [r for r in rows if "sha256:/" not in r], contents(workspace.parent / "loras")


def _tune(verb: str) -> Callable[[Path], list[Any]]:
    return lambda workspace: ["innercouncil", "tune", verb, "--persona", "mender", "--workspace", workspace]


@contextlib.contextmanager
def asked_cases(slugs: list[str], folder: Path) -> Iterator[dict[str, Case]]:
    """All of them, while the servers they ask run; `slugs` are the example's personas."""
    model = build_tiny_model(folder / "tiny.gguf", ending=4.0)
    with beside(FaultyServer(0)) as server, serving() as author:
        url = f"http://127.0.0.1:{server.port}/v1#any"

        def council(_base: Path, workspace: Path) -> None:
            closed(furnished(workspace, url))

        def copied(base: Path, workspace: Path) -> None:
            import shutil

            shutil.copytree(base, workspace)

        yield {
            "ask": Case(council, lambda w: ["innercouncil", "ask", "What first?", "--workspace", w], _resume, sessions),
            "run-questions": Case(council, _questions, None, sessions),
            "write": Case(
                copied,
                lambda w: ["innercouncil", "personas", "write", slugs[0], "--llm", author, "--yes", "--workspace", w],
            ),
            "backup-make": Case(council, lambda w: ["innercouncil", "backup", "make", "--workspace", w], None, _copies),
            "backup-restore": Case(
                _with_copy, lambda w: ["innercouncil", "backup", "restore", "--workspace", w], None, _restored
            ),
            "seat": Case(_with_adapter(model, seated=False), _tune("seat"), None, _adapters),
            "unseat": Case(_with_adapter(model, seated=True), _tune("unseat"), None, _adapters),
        }
