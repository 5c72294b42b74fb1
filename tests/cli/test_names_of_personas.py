"""Names in merges, splits and renames: earlier renames are carried, no two personas ever share a slug, `undo` always gets out."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from starlette.testclient import TestClient

from conftest import contents
from innercouncil.app.findings import TITLES, changed, load_discovery
from innercouncil.app.personas import open_personas
from innercouncil.cli.main import cli, run
from innercouncil.model.persona import Change
from innercouncil.model.slug import slug_of
from innercouncil.store import database
from innercouncil.store.workspace import Workspace
from innercouncil.web import app

LONG = "The one who always thinks about how to get from here to there again"


class Told(NamedTuple):
    """How a command or a job of the app ended, and what it said."""

    code: int
    says: str


class Place(NamedTuple):
    """A workspace in which changes are asked for by commands or by the app."""

    ws: Workspace
    types: Callable[..., Told]
    merge: Callable[[str, str, str], Told]
    split: Callable[[str], Told]

    def rename(self, slug: str, name: str) -> None:
        """The app has no way to rename what discovery found."""
        assert self.types("personas", "rename", slug, name).code == 0

    def called(self) -> dict[str, str]:
        return {p.slug: p.name for p in load_discovery(self.ws).personas}

    def changes(self) -> list[str]:
        return [c.action for c in database.changes(self.ws.database)]


@pytest.fixture
def place(
    discovered: object, tmp_path: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> Place:
    data = tmp_path / "data"
    shutil.copytree(discovered[1], data)  # type: ignore[index]

    def types(*args: str) -> Told:
        capsys.readouterr()
        code = run(cli, [*args, "--workspace", str(data)])
        said = capsys.readouterr().err.splitlines(keepends=True)
        return Told(code, "".join(line for line in said if line.strip() not in TITLES.values()))

    def posts(path: str, body: object) -> Told:
        with TestClient(app.build(Workspace(data), port=80), base_url="http://127.0.0.1") as client:
            answer = client.post(path, json=body)
            assert answer.status_code == 202, answer.text
            job = f"/api/jobs/{answer.json()['job']}"
            client.get(f"{job}/events")
            ended = client.get(job).json()
            return Told(int(ended["state"] != "done"), ended["problem"])

    if request.param == "commands":
        return Place(
            Workspace(data), types,
            lambda a, b, name: types("personas", "merge", a, b, "--name", name), lambda a: types("personas", "split", a),
        )  # fmt: skip
    return Place(
        Workspace(data), types,
        lambda a, b, name: posts("/api/personas/merge", {"slugs": [a, b], "name": name}),
        lambda a: posts(f"/api/personas/{a}/split", {}),
    )  # fmt: skip


by_each = pytest.mark.parametrize("place", ["commands", "app"], indirect=True)
by_commands = pytest.mark.parametrize("place", ["commands"], indirect=True)


def locked(place: Place, change: Change) -> None:
    """As an older version left it: the change is recorded, and nothing that follows from it could be written."""
    database.add_change(place.ws.database, change, begins=True)
    place.ws.forget(["personas", "report"])


@by_each
def test_a_merge_under_the_name_of_a_third_is_refused_and_nothing_is_recorded(place: Place) -> None:
    (a, _), (b, _), (_, third), _ = before = list(place.called().items())
    told = place.merge(a, b, third)
    assert told.code != 0
    assert f"Another persona is called {third} already" in told.says
    assert (place.changes(), list(place.called().items())) == ([], before)
    assert place.merge(a, b, "Both Hands").code == 0
    assert "both-hands" in place.called()


@by_each
def test_a_merge_may_keep_the_name_of_either(place: Place) -> None:
    (a, _), (b, second), c, d = place.called().items()
    assert place.merge(a, b, second).code == 0
    assert place.called() == {b: second} | dict([c, d])


@by_each
def test_a_split_whose_half_would_have_anothers_name_is_refused(place: Place) -> None:
    (a, first), (b, _), *_ = place.called().items()
    place.rename(b, f"{first} B")
    told = place.split(a)
    assert told.code != 0
    assert f"{first} B" in told.says
    assert place.changes() == ["rename"]


@by_commands
def test_a_rename_to_the_name_of_another_is_refused(place: Place) -> None:
    (a, _), (_, second), *_ = place.called().items()
    told = place.types("personas", "rename", a, second.upper())
    assert told == (2, f"Error: Another persona is called {second} already; choose a different name.\n")
    assert place.changes() == []


@by_each
def test_a_name_that_was_freed_by_a_rename_is_free_for_a_merge(place: Place) -> None:
    (a, first), (b, _), (c, _), (d, fourth) = place.called().items()
    place.rename(a, "Maker")
    told = place.merge(b, c, first)
    assert told.code == 0, told.says
    assert place.called() == {"maker": "Maker", a: first, d: fourth}
    prompts = {p.slug: p.prompt.text for p in load_discovery(place.ws).personas}
    assert prompts["maker"].startswith("You are Maker,")
    assert prompts[a].startswith(f"You are {first},")


@by_each
def test_a_persona_renamed_before_is_split_under_its_present_name(place: Place) -> None:
    _, (b, _), *_ = place.called().items()
    place.rename(b, "My Own Name")
    assert place.split("my-own-name").code == 0
    assert {"my-own-name-a": "My Own Name A", "my-own-name-b": "My Own Name B"}.items() <= place.called().items()
    assert b not in place.called()


@by_each
def test_a_persona_renamed_before_is_merged_under_the_name_that_is_asked_for(place: Place) -> None:
    (_, _), (b, second), (c, _), _ = place.called().items()
    place.rename(b, "Poet")
    assert place.merge("poet", c, second).code == 0
    assert place.called()[b] == second
    assert "poet" not in place.called()


@by_each
def test_a_merge_without_a_name_keeps_the_present_name_and_what_is_changed_later(place: Place) -> None:
    (_, _), (b, _), (c, _), (d, _) = place.called().items()
    place.rename(b, "Poet")
    assert place.merge("poet", c, "").code == 0
    assert place.merge("poet", d, "").code == 0
    assert place.called()["poet"] == "Poet"
    assert len(place.called()) == 2


@by_each
def test_the_halves_of_a_persona_with_a_long_name_have_two_slugs(place: Place) -> None:
    _, (b, _), *_ = place.called().items()
    place.rename(b, LONG)
    told = place.split(slug_of(LONG))
    assert told.code == 0, told.says
    halves = sorted(name for name in place.called().values() if name.startswith("The one"))
    assert halves == [f"The one who always thinks about how to get from here to {x}" for x in "AB"]


@by_commands
def test_a_prompt_written_by_hand_goes_with_its_persona_and_not_with_its_former_name(
    place: Place, tmp_path: Path
) -> None:
    (a, first), (b, _), (c, _), _ = place.called().items()
    (tmp_path / "mine.md").write_text(f"You are {first}, mine alone.\n", "utf-8")
    assert place.types("personas", "edit", a, "--file", str(tmp_path / "mine.md")).code == 0
    place.rename(a, "Maker")
    assert place.merge(b, c, first).code == 0
    prompts = {p.slug: p.prompt.text for p in load_discovery(place.ws).personas}
    assert prompts["maker"] == "You are Maker, mine alone.\n"
    assert "mine alone" not in prompts[a]


@by_each
def test_a_workspace_locked_by_an_older_version_says_so_and_gets_out_by_undo(place: Place) -> None:
    (a, _), (b, _), (_, third), (d, _) = before = list(place.called().items())
    files = contents(place.ws.root)
    locked(place, Change(action="merge", slug=a, other=b, value=third))
    for told in (place.merge(a, b, "Another"), place.split(d)):
        assert told.code != 0
        assert f"another persona is called {third} already" in told.says
        assert "`innercouncil personas undo`" in told.says
        assert "Traceback" not in told.says
        assert len(told.says.strip().splitlines()) == 1
    assert place.types("personas", "undo") == (0, f"Took back: merge {a}.\n")
    assert (place.changes(), list(place.called().items())) == ([], before)
    now = contents(place.ws.root)
    assert {n for n in files if n.startswith("personas/") and files[n] != now.get(n)} == set()
    assert place.split(d).code == 0


@by_commands
@pytest.mark.parametrize("what", ["freed", "long"])
def test_what_locked_an_older_version_and_is_sound_now_is_finished_or_taken_back(place: Place, what: str) -> None:
    (a, first), (b, _), (c, _), (d, _) = place.called().items()
    place.rename(a, "Maker" if what == "freed" else LONG)
    before = place.called()
    change = Change(action="merge", slug=b, other=c, value=first)
    locked(place, change if what == "freed" else Change(action="split", slug=slug_of(LONG)))
    undone = place.types("personas", "undo")
    assert (undone.code, place.called()) == (0, before)
    locked(place, change)
    finished = place.types("personas", "drop", d)
    assert finished.code == 0
    assert "First finished what was cut off: merge" in finished.says


@by_commands
def test_undo_of_a_change_that_cannot_be_finished_keeps_what_was_recorded_after_it(place: Place) -> None:
    (a, _), (b, _), (_, third), (d, _) = before = list(place.called().items())
    locked(place, Change(action="merge", slug=a, other=b, value=third))
    changed(place.ws, Change(action="edit", slug=d, value="Be terse.\n"))
    assert place.types("personas", "undo") == (0, f"Took back: merge {a}.\n")
    assert place.changes() == ["edit"]
    assert list(place.called().items()) == before
    assert {p.slug: p.prompt.text for p in load_discovery(place.ws).personas}[d] == "Be terse.\n"


@by_commands
def test_undo_of_a_rename_that_was_cut_off_takes_back_that_one_in_the_council_too(place: Place) -> None:
    (a, first), *_ = place.called().items()
    place.rename(a, "Maker")
    opened = open_personas(place.ws)
    locked(place, Change(action="rename", slug="maker", value="Other"))
    assert place.types("personas", "undo") == (0, "Took back: rename maker.\n")
    assert next((p.source, p.card.name) for p in opened.cards.all()) == ("maker", "Maker")
    assert place.types("personas", "undo").code == 0
    assert next((p.source, p.card.name) for p in opened.cards.all()) == (a, first)
    assert place.types("personas", "undo").says == "There is no change to take back.\n"
    opened.database.close()


@by_commands
def test_a_persona_of_the_council_keeps_its_history_when_its_former_name_was_anothers_for_a_while(place: Place) -> None:
    (a, first), (b, _), (c, _), _ = place.called().items()
    opened = open_personas(place.ws)
    place.rename(a, "Maker")
    assert place.merge(b, c, first).code == 0
    assert opened.cards.get("maker").slug == a
    for _ in range(2):
        assert place.types("personas", "undo").code == 0
    assert {p.slug: (p.source, p.card.name) for p in opened.cards.all()}[a] == (a, first)
    assert [p.slug for p in opened.cards.all()] == list(place.called())
    opened.database.close()
