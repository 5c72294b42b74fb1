"""A persona that was renamed twice is found by all three of its names, wherever a command or the API takes one."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest
from starlette.testclient import TestClient

from conftest import Quiet
from innercouncil.app.council import House
from innercouncil.app.council_settings import CouncilSettings
from innercouncil.app.discover import rebuild_personas
from innercouncil.app.findings import load_discovery, names_of, persona_named
from innercouncil.app.personas import open_personas, sync_personas
from innercouncil.app.settings import settings_of
from innercouncil.app.written_prompts import offered_prompt
from innercouncil.cli.main import cli, run
from innercouncil.model.persona import Change, called_before, called_now
from innercouncil.store.database import add_change
from innercouncil.store.workspace import Workspace
from innercouncil.web import app
from innercouncil.web.api import TABLE
from scripted_author import serving, speaking
from tiny_adapter import row, trained

MIDDLE, PRESENT = "second-name", "third-name"


class Home(NamedTuple):
    """A workspace with a renamed persona: the council's slug is its first name, discovery's its third."""

    data: Path
    first: str
    other: str
    session: str

    def copied(self, to: Path) -> Home:
        shutil.copytree(self.data.parent, to / "home")
        return self._replace(data=to / "home" / "data")

    def types(self, *args: object) -> int:
        try:
            return run(cli, [*map(str, args), "--workspace", str(self.data)])
        except SystemExit as end:
            return int(end.code or 0)


@pytest.fixture(scope="module")
def author() -> Iterator[str]:
    with serving() as url:
        yield url


@pytest.fixture(scope="module")
def speaker() -> Iterator[str]:
    with speaking(lambda _body: "Begin with the part you know.") as url:
        yield url.removesuffix("#author") + "#speaker"


@pytest.fixture(scope="module")
def home(discovered: tuple[Any, Path], speaker: str, tmp_path_factory: pytest.TempPathFactory) -> Home:
    data = tmp_path_factory.mktemp("renamed") / "home" / "data"
    shutil.copytree(discovered[1], data)
    first, other = (p.slug for p in discovered[0].discovery.personas[:2])
    trained(data, first, [row("q", "a b")], [])
    house = House(Workspace(data))
    sync_personas(house.workspace, house.cards)
    house.backends.change(CouncilSettings(worker=speaker, lite=True))
    house.backends.stop()
    house.database.close()
    made = Home(data, first, other, "")
    assert made.types("ask", "What first?", "--personas", f"{first},{other}") == 0
    assert made.types("personas", "rename", first, "Second Name") == 0
    assert made.types("personas", "rename", first, "Third Name") == 0, "by the name it no longer has"
    house = House(Workspace(data))
    session = house.sessions.page().sessions[0].id
    house.database.close()
    return made._replace(session=session)


COMMANDS: dict[str, tuple[str, int, str]] = {
    "personas show": ("NAME", 0, "third-name"),
    "personas edit": ("NAME --file PROMPT", 0, "third-name"),
    "personas rename": ("NAME Fourth", 0, "fourth"),
    "personas merge": ("NAME OTHER --name Both", 0, "Now: "),
    "personas split": ("NAME", 0, "third-name-b"),
    "personas drop": ("NAME", 0, "Now: "),
    "personas write": ("NAME --llm AUTHOR --yes", 0, "third-name: "),
    "personas diff": ("NAME", 2, "No model has written third-name"),
    "personas choose": ("NAME offline", 0, "third-name"),
    "evaluate adherence": ("--personas NAME", 2, "This needs your yes"),
    "evaluate twins": ("--personas NAME,OTHER", 2, "This needs your yes"),
    "ask": ("Why? --personas NAME,OTHER", 0, "Begin with the part you know."),
    "run-questions": ("PROMPT --personas NAME,OTHER", 0, "1 of 1 questions answered"),
    "sessions replay": ("SESSION --personas NAME", 0, "Begin with the part you know."),
    "ab start": ("test --a NAME --b-council NAME,OTHER", 0, "test"),
    "tune prepare": ("--personas NAME", 0, "third-name"),
    "tune check": ("--persona NAME", 1, "FIRST: "),
    "tune train": ("--persona NAME --generate-script", 0, "Wrote train_"),
    "tune export": ("--persona NAME", 2, "persona_FIRST is not the folder of a PEFT adapter"),
    "tune preferences": ("--persona NAME", 2, "No vote of yours gives a row for FIRST"),
    "tune gates": ("--persona NAME", 2, "adapters need a GGUF file of their base"),
    "tune seat": ("--persona NAME", 2, "The gates of FIRST-"),
    "tune unseat": ("--persona NAME", 2, "FIRST speaks with its prompt alone already"),
    "tune vllm": ("--persona NAME", 0, "persona_FIRST"),
}
"""Command -> its arguments, how it ends, and a word of what it says. The council knows the persona, and the training its rows and
adapter, by the first name; discovery by the third."""
ENDPOINTS: dict[str, tuple[Any, int]] = {
    "GET /api/personas/NAME": (None, 200),
    "PUT /api/personas/NAME": ({"name": "N", "system": "Say yes."}, 200),
    "DELETE /api/personas/NAME": (None, 204),
    "POST /api/personas/NAME/bring-back": ({}, 400),
    "POST /api/personas/NAME/undo": ({}, 200),
    "POST /api/personas/NAME/restore": ({"version": 1}, 200),
    "POST /api/personas/NAME/enabled": ({"enabled": False}, 200),
    "POST /api/personas/NAME/duplicate": ({"name": "Copy"}, 201),
    "POST /api/personas/NAME/split": ({}, 202),
    "POST /api/personas/NAME/diff": ({"system": "Say yes."}, 200),
    "POST /api/personas/NAME/try": ({"question": "Why?"}, 200),
    "GET /api/personas/NAME/export/card-v2": (None, 200),
    "GET /api/personas/NAME/export/card-v2/loss": (None, 200),
    "GET /api/personas/NAME/written": (None, 200),
    "POST /api/personas/NAME/write": ({"model": "AUTHOR"}, 202),
    "POST /api/personas/NAME/choose": ({"which": "offline"}, 202),
    "GET /api/personas/NAME/training": (None, 200),
    "PUT /api/personas/NAME/training/1": ({"assistant": "Yes."}, 400),
    "GET /api/personas/NAME/adapter": (None, 200),
    "POST /api/personas/NAME/adapter/seat": ({}, 400),
    "POST /api/personas/NAME/adapter/unseat": ({}, 400),
    "POST /api/personas/NAME/adapter/gates": ({}, 202),
    "POST /api/personas/NAME/adapter/test": ({}, 400),
    "GET /api/tuning/NAME/events": (None, 200),
    "POST /api/personas/merge": ({"slugs": ["NAME", "OTHER"]}, 202),
    "POST /api/personas/sync": ({"overwrite": ["NAME"]}, 200),
    "POST /api/sessions": ({"question": "Why?", "personas": ["NAME", "OTHER"]}, 201),
    "POST /api/sessions/SESSION/replay": ({"personas": ["NAME", "OTHER"]}, 201),
    "POST /api/ab": ({"name": "test", "a": {"persona": "NAME"}, "b": {"persona": "OTHER"}}, 201),
    "GET /api/dashboard/sessions?figure=seated&slug=NAME": (None, 200),
    "GET /api/dashboard/sessions.csv?figure=seated&slug=NAME": (None, 200),
    "POST /v1/chat/completions": ({"model": "NAME", "messages": [{"role": "user", "content": "Why?"}]}, 200),
}
NAMED = {"persona", "personas", "slug", "slugs", "other", "a", "b", "a_council", "a_adapter", "overwrite"}
"""What parameters, fields and queries that take a persona are called."""


def filled(home: Home, text: str, name: str, **more: str) -> str:
    words = {"NAME": name, "OTHER": home.other, "FIRST": home.first, "SESSION": home.session, **more}
    return re.sub("|".join(words), lambda found: words[found[0]], text)


@pytest.mark.parametrize("which", ["first", MIDDLE, PRESENT])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_takes_any_name_the_persona_had(
    home: Home, author: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, which: str
) -> None:  # fmt: skip
    line, code, says = COMMANDS[command]
    name = home.first if which == "first" else which
    (tmp_path / "prompt.md").write_text("Say yes.\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    given = [filled(home, word, name, PROMPT="prompt.md", AUTHOR=author) for word in line.split()]
    capsys.readouterr()
    ended = home.copied(tmp_path).types(*command.split(), *given)
    out, err = capsys.readouterr()
    assert (ended, filled(home, says, name) in out + err) == (code, True), out + err


@pytest.mark.parametrize("name", [MIDDLE, PRESENT])
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_the_api_takes_any_name_the_persona_had(home: Home, author: str, tmp_path: Path, endpoint: str, name: str) -> None:  # fmt: skip
    body, status = ENDPOINTS[endpoint]
    method, path = filled(home, endpoint, name).split()
    content = None if body is None else filled(home, json.dumps(body), name, AUTHOR=author)
    with TestClient(app.build(Workspace(home.copied(tmp_path).data), port=80), base_url="http://127.0.0.1") as client:
        answer = client.request(method, path, content=content, headers={"content-type": "application/json"})
        assert answer.status_code == status, answer.text
        if status == 201 and "sessions" in path:
            assert "finished" in client.get(f"/api/sessions/{answer.json()['id']}/events").text
        if "figure=seated" in path:
            assert "What first?" in answer.text


def commands(command: click.Command = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from commands(command.get_command(context, name), (*path, name))
    else:
        yield " ".join(path), command


def test_the_tables_leave_out_no_command_and_no_endpoint() -> None:
    taking = {path for path, command in commands() if NAMED & {p.name for p in command.params}}
    assert taking == set(COMMANDS)
    listed = {re.sub(r"\?.*", "", e) for e in ENDPOINTS}
    for e in TABLE.endpoints:
        fields = set(getattr(e.body, "__struct_fields__", ())) | set(e.query)
        if "{slug}" in e.path or NAMED & fields:
            pattern = re.sub(r"\{\w+\}", "[^/]+", f"{e.method} {e.path}")
            assert any(re.fullmatch(pattern, one) for one in listed), f"{e.method} {e.path}"


def test_names_are_followed_forward_and_back() -> None:
    renamed = [Change(action="rename", slug=old, value=new) for old, new in [("a", "B"), ("b", "C"), ("d", "A")]]
    assert called_now("a", renamed) == "c"
    assert called_before("c", renamed) == ["b", "a"]
    assert called_before("a", renamed) == ["d"]


def test_a_name_that_somebody_else_has_now_is_theirs(home: Home, tmp_path: Path) -> None:
    taken = home.copied(tmp_path)
    assert taken.types("personas", "rename", home.other, home.first.replace("-", " ")) == 0
    workspace = Workspace(taken.data)
    there = {p.slug: p for p in load_discovery(workspace).personas}
    assert persona_named(workspace, there, home.first).slug == home.first
    assert persona_named(workspace, there, home.other).slug == home.first
    assert persona_named(workspace, there, MIDDLE).slug == PRESENT
    assert names_of(workspace, PRESENT) == [PRESENT, MIDDLE], "what lies under the first name may be the other's now"


def test_the_same_name_again_changes_nothing_and_is_undone_once(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = home.copied(tmp_path)
    for name in (PRESENT, home.first, MIDDLE):
        assert again.types("personas", "rename", name, "Third Name") == 0
    assert again.types("personas", "undo") == 0
    assert MIDDLE in {p.slug for p in load_discovery(Workspace(again.data)).personas}
    assert "Nothing changed." in capsys.readouterr().err


def test_questions_that_wait_for_an_answer_wait_on_under_another_name(home: Home, tmp_path: Path) -> None:
    waiting = home.copied(tmp_path)
    assert waiting.types("tune", "prepare") == 0
    assert waiting.types("personas", "rename", PRESENT, "Fourth Name") == 0
    path = f"/api/personas/{home.first}/training"
    with TestClient(app.build(Workspace(waiting.data), port=80), base_url="http://127.0.0.1") as client:
        found = client.get(path).json()
        assert found["report"]["slug"] == PRESENT
        assert found["awaiting"]
        answer = client.put(f"{path}/{found['awaiting'][0]['id']}", json={"assistant": "By hand."})
        assert answer.status_code == 200, answer.text
        assert client.get(path).json()["awaiting"][0]["assistant"] == "By hand."


def test_a_rename_cut_off_before_the_council_heard_of_it_is_finished_by_the_same_command(
    home: Home, tmp_path: Path
) -> None:
    cut = home.copied(tmp_path)
    workspace = Workspace(cut.data)
    add_change(workspace.database, Change(action="rename", slug=PRESENT, value="Fourth Name"), begins=True)
    rebuild_personas(workspace, settings_of(load_discovery(workspace)), Quiet())
    assert cut.types("personas", "rename", PRESENT, "Fourth Name") == 0
    opened = open_personas(workspace)
    try:
        seated = opened.cards.get(home.first)
        assert (seated.source, seated.card.name) == ("fourth-name", "Fourth Name")
    finally:
        opened.database.close()


def test_what_a_model_wrote_stays_on_offer_under_another_name(home: Home, author: str, tmp_path: Path) -> None:
    offered = home.copied(tmp_path)
    assert offered.types("personas", "write", PRESENT, "--llm", author, "--yes") == 0
    assert offered.types("personas", "rename", PRESENT, "Fourth Name") == 0
    found = offered_prompt(Workspace(offered.data), "fourth-name")
    assert found is not None
    assert found.slug == "fourth-name"
