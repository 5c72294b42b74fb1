"""Nothing that a file, a model or a stranger wrote steers the terminal: every command there is, over hostile data."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest

import voted_sessions
from conftest import EXAMPLE, run
from hostile_models import HostileModels
from hostile_session import hostile_session
from innercouncil.cli.main import cli
from innercouncil.cli.main import run as run_command
from innercouncil.model.ab import AbTest, SideAnswer, Trial, Variant
from innercouncil.model.council import Worker
from innercouncil.model.persona import Change
from innercouncil.model.worth import WorthVote
from innercouncil.store import database as changes
from innercouncil.store.ab_tests import AbStore
from innercouncil.store.cards import CardStore
from innercouncil.store.database import Database
from innercouncil.store.sessions import SessionStore
from innercouncil.store.worth import WorthStore

ESCAPES = (
    "\x1b]0;owned\x07",
    "\x1b[2J\x1b[31m",
    "\x9b31m",
    "\u202egnp.exe\u200f\u061c",
    "\x1b]8;;http://evil.example\x07x\x1b]8;;\x07",
    "[/x][link=http://evil.example]",
    "\u2028\x85\ufeff\U000e0041\rZ",
)
"""Sequences and characters that a terminal obeys, and markup of the library that draws on it."""
ALL = "".join(ESCAPES)
SAYS = f"{ALL} owned [click](http://evil.example) ![x](http://evil.example)"
STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufeff\U000e0000-\U000e007f]"
)
DRAWN = re.compile(r"\x1b\[[0-9;]*m|\x1b\[\?25[lh]|\x1b\[2K|\x1b\[1A|\r(?=\n|\x1b\[2K|\x1b\[1A)")
"""What our own drawing sends: colours, the cursor hidden and shown, a line cleared, a line up, the line's beginning."""
COMMANDS = (
    "discover {export} {llm} --llm-budget 2", "personas list", "personas show {slug}", "personas show {slug} --prompt",
    "personas write {slug} {llm}", "personas diff {slug}", "personas choose {slug} model", "personas choose {slug} offline",
    "personas edit {slug} --file {text}", "personas undo", "evaluate modes", "evaluate prompts", "evaluate twins {llm} --questions 5 --samples 2 --personas {seats}",
    "evaluate adherence {llm} --no-judge --questions 5 --samples 1 --turns 2 --conversations 1 --personas {seats}",
    "standings", "standings --board models --topic all", "sessions list", "sessions list --search owned", "sessions show {session}",
    "sessions export {session}", "sessions export {session} --output {out}", "sessions import {out}", "sessions resume {spare}",
    "sessions replay {spare} --personas {seats}", "sessions delete {spare} --yes", "ask {all} --personas {seats} --baseline",
    "ask {all} --attach {text} --rounds 1", "run-questions {text} --limit 1", "worth show", "worth judge {llm}", "worth vote",
    "ab list", "ab status shorter", "ab status planted", "ab delete mine", "ab start mine --a-file {text} --b {seat} --questions {text}",
    "ab vote mine", "ab vote planted --choice first", "ab stop planted", "ab delete planted", "models list",
    "models use --worker {worker} --synthesizer {worker}", "models pull x", "models allow {all}", "doctor", "backup make",
    "backup list", "backup restore {text}", "tune prepare", "tune check --persona {slug} --data {text}", "tune train --persona {slug} --check-only",
    "tune preferences --persona {seat}", "tune vllm", "tune gates --persona {slug}", "tune seat --persona {slug}",
    "tune unseat --persona {slug}", "tune export --persona {slug}", "discover-many {many} --out {people} --workers 1", "plan-many {people} --exports 9 --mb 9",
    "personas merge {slug} {all}", "personas split {slug}", "personas rename science-solver {name}", "personas drop story-writer", "demo --no-browser --workspace {demo}",
)  # fmt: skip
NOT_RUN = {
    "serve": "it prints its own address alone and stays until it is ended",
    "models key": "it writes to the keyring of whoever runs the tests",
}


class Place(NamedTuple):
    root: Path
    words: dict[str, str]


def plant(root: Path, model: str) -> list[str]:
    """Fill a workspace in which every text that is kept is an attack; gives two sessions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(voted_sessions, "PEOPLE", tuple(f"{e} P{n}" for n, e in enumerate((*ESCAPES[:3], ESCAPES[5]))))
        patch.setattr(voted_sessions, "QUESTIONS", tuple(f"{ALL} owned {n}" for n in range(4)))
        patch.setattr(voted_sessions, "WORDS", tuple(f"{ALL} plan word{n}" for n in range(4)))
        workspace = voted_sessions.filled(root, 20)
    database = Database(workspace.database)
    with sqlite3.connect(workspace.database) as raw:  # what another program wrote: ours keeps no such names
        raw.execute(
            "UPDATE persona_version SET card = json_set(card, '$.name', ? || (card ->> '$.name'), '$.description', ?)",
            (ALL, SAYS),
        )
    raw.close()
    sessions = SessionStore(database)
    held = [hostile_session(sessions, (ALL, ESCAPES[0], ESCAPES[5]), ALL, SAYS) for _ in range(2)]
    WorthStore(database).add(
        [WorthVote(session=held[0], judge=ALL, shown=("council", "alone"), tiers=(("council",), ("alone",)))]
    )
    worker = Worker(seat=0, slug=ALL, name=ALL, system=ALL, temperature=0.7)
    a, b = (Variant(kind="prompt", name=f"{ALL}{side}", workers=(worker,)) for side in "ab")
    store = AbStore(database)
    store.add(AbTest(name="planted", a=a, b=b, worker_model=model, synthesizer_model=model, questions=(ALL, SAYS)))
    said = [SideAnswer(text=f"{SAYS} {side}", milliseconds=1) for side in "ab"]
    store.put("planted", Trial(number=1, question=ALL, first="a", a=said[0], b=said[1]))
    database.close()
    return held


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    home = tmp_path_factory.mktemp("terminal")
    root, text = home / "data", home / "text.txt"
    text.write_text(f"{SAYS}\n", "utf-8")
    (home / "many").mkdir()
    shutil.copy(EXAMPLE, home / "many" / f"{ESCAPES[1]}{ESCAPES[3]}[bold].json")
    with HostileModels(SAYS, (ALL, f"{ALL}:latest"), elsewhere=ALL) as models, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OLLAMA_HOST", models.host)
        patch.setenv("COLUMNS", "200")
        worker = f"{models.url}/v1#{ALL}"
        session, spare = plant(root, worker)
        slug = run(EXAMPLE, root).discovery.personas[0].slug
        changes.add_change(root / "council.db", Change(action="edit", slug=slug, value=ALL + " be kind\n"))
        run(EXAMPLE, root)
        database = Database(root / "council.db")
        seats = [p.slug for p in CardStore(database).all()][:3]
        database.set("council", json.dumps({"worker": worker, "synthesizer": worker}))
        database.close()
        words = {
            "slug": slug, "session": session, "spare": spare, "all": ALL, "name": f"{ESCAPES[1]}Name", "worker": worker,
            "seats": ",".join(seats), "seat": seats[0], "llm": f"--llm {models.url}/v1 --llm-model m --yes", "text": str(text),
            "export": str(EXAMPLE), **{name: str(home / name) for name in ("out", "many", "people", "demo")},
        }  # fmt: skip
        yield Place(root, words)


def argv_of(place: Place, command: str) -> list[str]:
    """The command's words; the workspace where it takes one."""
    words = command.replace("{llm}", place.words["llm"]).split(" ")
    words = [word.format_map(place.words) for word in words]
    takes = {o for p in leaf(words).params for o in p.opts} - set(words)
    return [*words, "--workspace", str(place.root)] if "--workspace" in takes else words


def outcome(argv: list[str]) -> int:
    """Run a command as the shell would; gives its exit code."""
    try:
        return run_command(cli, argv)
    except SystemExit as left:
        return int(left.code or 0)


def leaf(words: list[str]) -> click.Command:
    """The command that the words call."""
    found: click.Command = cli
    for word in words:
        if not isinstance(found, click.Group):
            break
        found = found.get_command(click.Context(found), word) or found
    return found


def names_of(command: click.Command, before: str = "") -> list[str]:
    """All commands below, with the groups they are in."""
    if not isinstance(command, click.Group):
        return [before.strip()]
    context = click.Context(command)
    return [
        n
        for name in command.list_commands(context)
        for n in names_of(command.get_command(context, name) or cli, f"{before} {name}")
    ]


def test_every_command_is_among_those_that_are_run() -> None:
    names = names_of(cli)
    assert len(names) > 50
    missed = [n for n in names if n not in NOT_RUN and not any(f"{c} ".startswith(f"{n} ") for c in COMMANDS)]
    assert not missed


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such terminals")
@pytest.mark.parametrize(
    ("command", "typed"),
    [("worth vote --session {session}", "q\n"), ("ab vote planted", "q\n"), ("ask {all} --personas {seats}", "")],
)
def test_what_is_drawn_and_asked_in_a_terminal_steers_nothing(place: Place, command: str, typed: str) -> None:
    import pty

    child, screen = pty.fork()
    if child == 0:
        environment = {**os.environ, "TERM": "xterm-256color"}
        os.execve(sys.executable, [sys.executable, "-m", "innercouncil", *argv_of(place, command)], environment)
    os.write(screen, typed.encode())
    said = b""
    while piece := read_some(screen):
        said += piece
    os.close(screen)
    os.waitpid(child, 0)
    text = said.decode("utf-8")
    assert "owned" in text
    assert not STEERING.findall(DRAWN.sub("", text)), repr(text)


def read_some(screen: int) -> bytes:
    try:
        return os.read(screen, 1 << 16)
    except OSError:  # the other end is closed
        return b""


@pytest.mark.parametrize("command", [c for c in COMMANDS if any("--json" in p.opts for p in leaf(c.split(" ")).params)])
def test_json_is_escaped(place: Place, command: str, capfd: pytest.CaptureFixture[str]) -> None:
    outcome([*argv_of(place, command), "--json"])
    told = capfd.readouterr()
    assert all(c.isprintable() or c == "\n" for c in told.out), repr(told.out)
    assert not STEERING.findall(told.err), repr(told.err)
    if told.out:
        json.loads(told.out)


@pytest.mark.parametrize("command", ["sessions show {session} --json", "sessions export {session}"])
def test_what_is_escaped_is_all_there(place: Place, command: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert outcome(argv_of(place, command)) == 0
    told = json.loads(capfd.readouterr().out)
    assert told.get("session", told)["council"]["question"] == ALL


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_prints_what_steers_a_terminal(
    place: Place, command: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    code = outcome(argv_of(place, command))
    said = "".join(capfd.readouterr())
    assert said or code == 0
    assert not STEERING.findall(DRAWN.sub("", said)), repr(said)


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
    place: Place, command: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    more = ["--workspace", str(place.root)] if command[0] != ALL else []
    assert outcome([*command, *more]) != 0
    said = "".join(capfd.readouterr())
    assert said
    assert not STEERING.findall(said), repr(said)
