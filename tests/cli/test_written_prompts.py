"""`personas write`, `diff` and `choose` as a person runs them, with an author whose right answers are known and a real tiny model."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from innercouncil.app.personas import open_personas
from innercouncil.store.workspace import Workspace
from scripted_author import answer_of, serving
from tiny_model import build_tiny_model

SLUG = "software-builder"
NAME = "Careful Maker"


def command(*args: object) -> list[str]:
    return [sys.executable, "-m", "innercouncil", *map(str, args)]


ENV = {**os.environ, "OLLAMA_HOST": "127.0.0.1:9", "COLUMNS": "120"}


def innercouncil(*args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*args), capture_output=True, text=True, check=False, env=ENV)


def did(*args: object) -> str:
    result = innercouncil(*args)
    assert result.returncode == 0, result.stderr
    return result.stdout


def prompt_of(workspace: Path, file: str = "system_prompts.json") -> dict[str, Any]:
    return json.loads((workspace / "personas" / "prompts" / file).read_text("utf-8"))[SLUG]


def seated_prompt(workspace: Path) -> str:
    opened = open_personas(Workspace(workspace))
    try:
        return opened.cards.get(SLUG).card.system
    finally:
        opened.database.close()


@pytest.fixture(scope="module")
def author() -> Iterator[str]:
    with serving() as url:
        yield url


@pytest.fixture
def own(discovered, tmp_path) -> Path:
    shutil.copytree(discovered[1], tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def written(own, author) -> Path:
    said = json.loads(did("personas", "write", SLUG, "--workspace", own, "--llm", author, "--yes", "--json"))
    assert [(w["slug"], w["written"]["usable"], w["chosen"]) for w in said] == [(SLUG, True, False)]
    return own


def test_the_offline_prompt_stands_until_the_person_chooses(written, discovered):
    before = prompt_of(discovered[1])
    assert prompt_of(written) == before
    shown = did("personas", "diff", SLUG, "--workspace", written)
    assert f"{SLUG}: {NAME} (" in shown
    assert "- You are Software Builder" in shown
    assert f"+ You are {NAME}" in shown
    assert "+ - Keep to this habit, number a." in shown
    assert prompt_of(written) == before


def test_what_was_chosen_is_in_the_files_and_in_the_council_and_goes_back(written):
    before = prompt_of(written)
    assert seated_prompt(written) == before["text"]
    did("personas", "choose", SLUG, "model", "--workspace", written)
    now = prompt_of(written)
    assert now["name"] == "Software Builder", "the name is chosen apart"
    assert now["text"].startswith("You are Software Builder, ")
    assert "Keep to this habit, number a." in now["text"]
    assert now == prompt_of(written, "generated_prompts.json"), "an edit is compared with it from now on"
    assert seated_prompt(written) == now["text"]
    assert all(line["evidence"] for line in now["lines"])
    assert json.loads(did("personas", "diff", SLUG, "--workspace", written, "--json"))["chosen"]
    did("personas", "undo", "--workspace", written)
    assert prompt_of(written) == before
    assert seated_prompt(written) == before["text"]
    did("personas", "choose", SLUG, "model", "--workspace", written)
    did("personas", "choose", SLUG, "offline", "--workspace", written)
    assert prompt_of(written) == before
    assert seated_prompt(written) == before["text"]


def test_the_models_name_comes_on_request_and_leaves_with_undo(written):
    did("personas", "choose", SLUG, "model", "--name", "--workspace", written)
    listed = did("personas", "list", "--workspace", written, "--json")
    assert json.loads(listed)[0]["slug"] == "careful-maker"
    did("personas", "undo", "--workspace", written)
    did("personas", "undo", "--workspace", written)
    assert prompt_of(written)["text"].startswith("You are Software Builder, ")


def test_an_edit_comes_back_when_the_choice_is_undone(written, tmp_path):
    seated_prompt(written)
    (tmp_path / "mine.md").write_text("You are mine alone.\n", "utf-8")
    did("personas", "edit", SLUG, "--file", tmp_path / "mine.md", "--workspace", written)
    did("personas", "choose", SLUG, "model", "--workspace", written)
    assert "number a" in seated_prompt(written)
    did("personas", "undo", "--workspace", written)
    assert prompt_of(written)["text"] == seated_prompt(written) == "You are mine alone.\n"


def test_a_choice_outlives_another_run_of_discovery_and_a_new_prompt_budget_asks_for_new_writing(written, example):
    did("personas", "choose", SLUG, "model", "--workspace", written)
    did("discover", example, "--workspace", written)
    assert "number a" in prompt_of(written)["text"]
    did("discover", example, "--workspace", written, "--prompt-tokens", "300")
    old = innercouncil("personas", "diff", SLUG, "--workspace", written)
    assert old.returncode == 2
    assert "present evidence" in old.stderr


def test_what_was_written_from_the_same_evidence_is_not_written_again(written, author):
    again = innercouncil("personas", "write", SLUG, "--workspace", written, "--llm", author)
    assert again.returncode == 0, "no yes is needed where nothing is asked"
    assert "will be asked" not in again.stderr
    rest = innercouncil("personas", "write", "--workspace", written, "--llm", author, "--yes")
    assert "asked about 3 personas in 6 calls" in rest.stderr


def test_interrupted_it_keeps_what_was_written(own):
    """Ctrl-C in the middle of the third persona: two are kept, and the same command writes the other two."""
    asked = []

    def slow(request: str, schema: dict[str, Any] | None) -> str:
        if schema is not None and "lines" in schema["properties"]:
            asked.append(request)
            if len(asked) == 3:
                time.sleep(3)
        return answer_of(request, schema)

    with serving(slow) as url:
        args = ("personas", "write", "--workspace", own, "--llm", url, "--yes")
        with subprocess.Popen(
            command(*args), stderr=subprocess.PIPE, text=True, env=ENV, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler)  # noqa: PLW1509
        ) as process:  # fmt: skip
            while len(asked) < 3 and process.poll() is None:
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=30)
        assert process.returncode != 0
        assert "Traceback" not in said
        assert len(json.loads(Workspace(own).model_prompts.read_text("utf-8"))) == 2
        rest = innercouncil(*args)
    assert rest.returncode == 0, rest.stderr
    assert "asked about 2 personas" in rest.stderr


def test_a_model_that_answers_at_random_leaves_every_prompt_as_it_was(own, tmp_path, discovered):
    tiny = build_tiny_model(tmp_path / "tiny.gguf")
    args = ("personas", "write", SLUG, "--workspace", own, "--llm", "embedded", "--llm-model", tiny, "--yes")
    said = did(*args)
    assert f"{SLUG}: the offline prompt stands" in said
    assert "dropped: " in said
    refused = innercouncil("personas", "choose", SLUG, "model", "--workspace", own)
    assert refused.returncode == 2
    assert "the offline prompt stands" in refused.stderr
    assert prompt_of(own) == prompt_of(discovered[1])


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("write",), "add --llm"),
        (("write", SLUG, "--llm", "nowhere"), "--llm is"),
        (("diff", SLUG), "personas write"),
        (("choose", SLUG, "model"), "personas write"),
        (("choose", SLUG, "other"), "'other'"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_sentence(own, args, says):
    result = innercouncil("personas", *args, "--workspace", own)
    assert result.returncode == 2
    assert says in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unknown_persona_and_a_workspace_without_any_are_told(own, author, tmp_path):
    none = innercouncil("personas", "write", "nobody", "--workspace", own, "--llm", author, "--yes")
    assert none.returncode != 0
    assert "There is no persona called" in none.stderr
    empty = innercouncil("personas", "write", "--workspace", tmp_path / "none", "--llm", author, "--yes")
    assert empty.returncode == 1
    assert "discover EXPORT" in empty.stderr


def test_what_the_model_wrote_is_measured_beside_the_offline_prompts(own, author):
    found = json.loads(did("evaluate", "prompts", "--workspace", own, "--llm", author, "--yes", "--json"))
    assert [s["name"] for s in found["sets"]] == ["no persona", "offline", "model-written"]
    offline, model = found["sets"][1:]
    assert model["attribution"]["value"] != offline["attribution"]["value"]
    assert offline["judged"]["value"] == pytest.approx(1 / 4, abs=0.12), "a judge that always says A is at chance"
    assert [d["name"] for d in found["differences"]] == [
        "offline over no persona", "model-written over offline", "model-written over offline, by the model",
    ]  # fmt: skip
