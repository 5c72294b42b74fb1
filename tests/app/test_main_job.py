"""The main job on the bundled example: files, determinism, resuming, changes of the person."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from conftest import EXAMPLE, Quiet, contents, run
from innercouncil.app.discover import discover_personas, rebuild_personas
from innercouncil.app.findings import changed, load_discovery
from innercouncil.app.settings import Settings
from innercouncil.model.errors import NothingToDiscoverError, WorkspaceError
from innercouncil.model.persona import Change
from innercouncil.store import database
from innercouncil.store.workspace import Workspace

PLAN_FILES = (
    "personas/extracted/all_messages.jsonl", "personas/extracted/categorized_messages.jsonl",
    "personas/clusters/cluster_analysis.json", "personas/clusters/personas.json", "personas/prompts/generated_prompts.json",
    "personas/prompts/system_prompts.json", "personas/raw_imports/conversations.json", "report.html",
)  # fmt: skip


def test_every_file_the_plan_names_is_written(discovered):
    outcome, folder = discovered
    assert all((folder / name).is_file() for name in PLAN_FILES)
    assert {p.name for p in folder.glob("personas/clusters/persona_*.jsonl")} == {
        f"persona_{p.slug}.jsonl" for p in outcome.discovery.personas
    }


def test_the_four_ways_of_the_invented_person_are_found(discovered):
    outcome, _ = discovered
    topics = {max(p.topics, key=p.topics.get) for p in outcome.discovery.personas}
    assert topics == {"software", "creative", "business", "math_science"}


def test_every_message_is_assigned_or_left_out_by_name(discovered):
    outcome, folder = discovered
    ids = [json.loads(line)["id"] for line in (folder / PLAN_FILES[0]).read_text("utf-8").split("\n") if line]
    assert list(outcome.discovery.analysis.assignments) == ids
    slugs = {p.slug for p in outcome.discovery.personas}
    assert set(outcome.discovery.analysis.assignments.values()) <= slugs | {None}
    assert sum(p.size for p in outcome.discovery.personas) + sum(outcome.discovery.analysis.unassigned.values()) == len(
        ids
    )


def test_every_line_of_a_prompt_and_every_claim_names_messages_of_its_persona(discovered):
    outcome, _ = discovered
    owner = outcome.discovery.analysis.assignments
    for persona in outcome.discovery.personas:
        for part in (*persona.claims, *persona.prompt.lines, *persona.phrases):
            assert part.evidence, part
            assert {owner[i] for i in part.evidence} == {persona.slug}, part


def test_prompts_stay_within_their_budget_and_names_differ(discovered):
    personas = discovered[0].discovery.personas
    assert all(p.prompt.tokens <= p.prompt.budget for p in personas)
    assert len({p.slug for p in personas}) == len(personas)


def test_a_second_run_elsewhere_gives_the_same_bytes_with_fewer_processes_too(discovered, tmp_path):
    run(EXAMPLE, tmp_path / "data", mode="8GB")
    first, second = contents(discovered[1]), contents(tmp_path / "data")
    same = [n for n in first if not n.startswith(".innercouncil/")]
    assert {n: first[n] == second[n] for n in same} == dict.fromkeys(same, True)


def test_a_finished_run_is_not_done_again_and_refresh_does_it(discovered, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(discovered[1], folder)
    watcher = Quiet()
    discover_personas(EXAMPLE, Workspace(folder), Settings(bootstraps=4), watcher)
    assert [done for _, done in watcher.stages] == [True] * 5
    watcher = Quiet()
    discover_personas(EXAMPLE, Workspace(folder), Settings(bootstraps=4, refresh=True), watcher)
    assert [done for _, done in watcher.stages] == [False] * 5


def test_another_number_of_clusters_keeps_the_stages_before(discovered, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(discovered[1], folder)
    outcome = run(EXAMPLE, folder, clusters=2)
    assert len(outcome.discovery.personas) == 2
    assert outcome.resumed == ("read", "label")


@pytest.mark.parametrize("seconds", [0.7, 1.4, 2.2, 3.2])
def test_killed_and_run_again_it_ends_with_the_same_files(discovered, tmp_path, seconds):
    folder = tmp_path / "data"
    command = [sys.executable, "-m", "innercouncil", "discover", str(EXAMPLE), "--workspace", str(folder), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    time.sleep(seconds)
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
    outcome = run(EXAMPLE, folder)
    first, second = contents(discovered[1]), contents(folder)
    assert {n for n in first if first[n] != second.get(n)} == set()
    assert outcome.discovery == discovered[0].discovery


def test_the_persons_changes_survive_a_new_run_and_can_be_taken_back(discovered, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(discovered[1], folder)
    ws, settings = Workspace(folder), Settings(bootstraps=4)
    a, b, c, d = (p.slug for p in load_discovery(ws).personas)
    changed(ws, Change(action="rename", slug=a, value="The Maker"))
    changed(ws, Change(action="merge", slug="the-maker", other=b, value="Both"))
    changed(ws, Change(action="edit", slug="both", value="Be terse.\n"))
    changed(ws, Change(action="split", slug=c))
    changed(ws, Change(action="drop", slug=d))
    rebuild_personas(ws, settings, Quiet())
    outcome = discover_personas(EXAMPLE, ws, Settings(bootstraps=4, refresh=True), Quiet())
    personas = {p.slug: p for p in outcome.discovery.personas}
    assert set(personas) == {"both", f"{c}-a", f"{c}-b"}
    assert personas["both"].prompt.text == "Be terse.\n"
    generated = msgspec.json.decode((folder / "personas/prompts/generated_prompts.json").read_bytes())
    assert generated["both"]["text"] != "Be terse.\n"
    while database.undo_change(ws.database):
        pass
    rebuild_personas(ws, settings, Quiet())
    assert load_discovery(ws) == discovered[0].discovery


def test_lines_left_in_an_edited_prompt_keep_their_evidence(discovered, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(discovered[1], folder)
    ws, settings = Workspace(folder), Settings(bootstraps=4)
    before = load_discovery(ws).personas[0]
    kept, dropped = before.prompt.lines[0], before.prompt.lines[1]

    def edited(text: str):
        changed(ws, Change(action="edit", slug=before.slug, value=text))
        rebuild_personas(ws, settings, Quiet())
        return load_discovery(ws).personas[0].prompt.lines

    lines = edited(before.prompt.text.replace(f"- {dropped.text}\n", "") + "Always name the cheapest test first.\n")
    assert kept in lines
    assert dropped not in lines
    assert [line.text for line in lines if line.section == "Written by you"] == ["Always name the cheapest test first."]
    assert edited(before.prompt.text) == before.prompt.lines, "what is brought back has its evidence again"


def test_two_processes_do_not_share_a_workspace(tmp_path):
    ws = Workspace(tmp_path / "data")
    with ws.lock(), pytest.raises(WorkspaceError, match="in use by another"):
        run(EXAMPLE, tmp_path / "data")


def test_too_little_text_is_said_plainly(tmp_path):
    chats = json.loads(EXAMPLE.read_text("utf-8"))[:2]
    small = tmp_path / "small.json"
    small.write_text(json.dumps(chats), encoding="utf-8")
    with pytest.raises(NothingToDiscoverError, match="at least 30 are needed"):
        run(small, tmp_path / "data")


def test_the_export_is_kept_as_given(discovered):
    assert (discovered[1] / "personas/raw_imports/conversations.json").read_bytes() == EXAMPLE.read_bytes()


def test_hostile_text_reaches_the_report_only_escaped(tmp_path):
    chats = json.loads(EXAMPLE.read_text("utf-8"))
    for chat in chats:
        for node in chat["mapping"].values():
            if node["message"] and node["message"]["author"]["role"] == "user":
                parts = node["message"]["content"]["parts"]
                parts[0] = "</script><script>alert(1)</script> \x1b[31m{{7*7}} " + parts[0]
    export = tmp_path / "conversations.json"
    export.write_text(json.dumps(chats), encoding="utf-8")
    run(export, tmp_path / "data")
    page = Path(tmp_path / "data" / "report.html").read_text("utf-8")
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "src=" not in page.replace("data:", "")
