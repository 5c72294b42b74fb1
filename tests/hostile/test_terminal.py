"""Nothing that a file, a model or a stranger wrote steers the terminal: every command that prints, over hostile data."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

import voted_sessions
from conftest import EXAMPLE, run
from innercouncil.cli.main import cli
from innercouncil.cli.main import run as run_command
from innercouncil.model.council import Answer, Answered, Council, Finished, Source, Synthesis, Synthesised, Worker
from innercouncil.model.errors import InnerCouncilError
from innercouncil.model.persona import Change
from innercouncil.store import database as changes
from innercouncil.store.database import Database
from innercouncil.store.sessions import SessionStore

ESCAPES = (
    "\x1b]0;owned\x07",
    "\x1b[2J\x1b[31m",
    "\x9b31m",
    "\u202egnp.exe",
    "\x1b]8;;http://evil.example\x07x\x1b]8;;\x07",
)
ALL = "".join(ESCAPES)
STEERING = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
PRINTING = (
    "personas list", "personas show {slug}", "personas show {slug} --prompt", "standings", "sessions list",
    "sessions list --search owned", "sessions show {session}", "ab list", "ab status shorter", "ab status waiting", "worth show",
    "models list", "doctor", "evaluate modes",
)  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A workspace in which names, questions, answers and problems hold escapes; (folder, a persona, a session)."""
    root = tmp_path_factory.mktemp("terminal") / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(voted_sessions, "PEOPLE", tuple(f"{e} P{n}" for n, e in enumerate(ESCAPES[:4])))
        patch.setattr(voted_sessions, "QUESTIONS", tuple(f"{ALL} owned {n}" for n in range(4)))
        workspace = voted_sessions.filled(root, 20)
    database = Database(workspace.database)
    store, now = SessionStore(database), voted_sessions.NOW
    workers = (Worker(seat=0, slug=ALL, name=ALL, system="x", temperature=0.0),)
    session = store.begin(Council(question=ALL + " owned", workers=workers, worker_model=ALL, synthesizer_model=ALL))
    store.record(
        session,
        Answered(
            Answer(part="council", seat=0, round=0, text=ALL, status="cut", problem=ALL, timing=now, appeals=(ALL,))
        ),
    )
    sources = (Source(text=ALL, seats=(0,), cited=True, overlap=1.0),)
    store.record(
        session, Synthesised(Synthesis(part="council", text=ALL, status="ok", problem=ALL, timing=now, sources=sources))
    )
    store.record(session, Finished("failed", ALL))
    database.close()
    slug = run(EXAMPLE, root).discovery.personas[0].slug
    changes.add_change(workspace.database, Change(action="edit", slug=slug, value=ALL + " be kind\n"))
    run(EXAMPLE, root)
    return root, slug, session


@pytest.mark.parametrize("command", PRINTING)
def test_no_command_prints_what_steers_a_terminal(place: tuple[Path, str, str], command: str) -> None:
    root, slug, session = place
    words = [word.format(slug=slug, session=session) for word in command.split()]
    done = CliRunner().invoke(cli, [*words, "--workspace", str(root)], env={"OLLAMA_HOST": "127.0.0.1:9"})
    assert len(done.output) > 40, done.exception
    assert done.exit_code in (0, 1) and (
        done.exception is None or isinstance(done.exception, SystemExit | InnerCouncilError)
    )
    assert not STEERING.findall(done.output), repr(done.output)


@pytest.mark.parametrize(
    "command",
    [
        ["discover", f"/nowhere/{ALL}.json"],
        ["personas", "show", ALL],
        ["sessions", "show", ALL],
        ["ab", "report", ALL],
        ["tune", "train", "--persona", ALL],
        ["ask", "x", "--personas", ALL],
        ["standings", "--topic", ALL],
        [ALL],
        ["discover", f"--{ALL}"],
    ],
    ids=range(9),
)
def test_no_error_prints_what_steers_a_terminal(
    place: tuple[Path, str, str], command: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    more = ["--workspace", str(place[0])] if command[0] != ALL else []
    assert run_command(cli, [*command, *more]) != 0
    said = "".join(capfd.readouterr())
    assert said
    assert not STEERING.findall(said), repr(said)
