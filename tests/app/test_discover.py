"""The main job on an invented person of three modes: every file, the same bytes always, whatever interrupts it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from export_factory import MODES, conversations, mode_of, write_export

from conftest import Quiet, contents
from innercouncil.app.discover import STAGES, Outcome, discover_personas, load_discovery
from innercouncil.app.settings import Mode, Settings
from innercouncil.model.errors import ImportFormatError, InnerCouncilError, NothingToDiscoverError
from innercouncil.model.labels import LabelledMessage
from innercouncil.model.persona import ClusterAnalysis, Persona
from innercouncil.store.workspace import Workspace

pytestmark = pytest.mark.filterwarnings("ignore:Number of distinct clusters")

FIXED_FILES = {
    "personas/raw_imports/conversations.json",
    "personas/extracted/all_messages.jsonl",
    "personas/extracted/import_report.json",
    "personas/extracted/categorized_messages.jsonl",
    "personas/clusters/cluster_analysis.json",
    "personas/clusters/personas.json",
    "personas/prompts/generated_prompts.json",
    "personas/prompts/system_prompts.json",
    "personas/prompts/redaction_report.json",
    "report.html",
}


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_export(tmp_path_factory.mktemp("export") / "conversations.json")


@pytest.fixture(scope="module")
def done(export: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Path]:
    """A finished run with the settings of the command line; not to be changed."""
    folder = tmp_path_factory.mktemp("done") / "data"
    return discover(export, folder), folder


def discover(export: Path, folder: Path, **settings: object) -> Outcome:
    return discover_personas(export, Workspace(folder), Settings(**settings), Quiet())  # type: ignore[arg-type]


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()


def ids_of(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in lines_of(path)]


def files_for_people(folder: Path) -> set[str]:
    return {name for name in contents(folder) if not name.startswith(".innercouncil/")}


def differences(one: Path, other: Path) -> set[str]:
    """Names of the files that are not the same bytes in both workspaces."""
    first, second = contents(one), contents(other)
    return {name for name in first.keys() | second.keys() if first.get(name) != second.get(name)}


def copy_of(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "data"))


def test_every_file_of_the_workspace_is_written_and_no_other(done):
    outcome, folder = done
    personas = {f"personas/clusters/persona_{p.slug}.jsonl" for p in outcome.discovery.personas}
    assert files_for_people(folder) == FIXED_FILES | personas


def test_the_files_told_are_there(done):
    assert all(path.is_file() for path in done[0].files.values())


def test_three_modes_are_found_and_each_is_one_way_of_working(done):
    outcome, folder = done
    assert len(outcome.discovery.personas) == len(MODES)
    main = []
    for persona in outcome.discovery.personas:
        modes = Counter(map(mode_of, ids_of(folder / f"personas/clusters/persona_{persona.slug}.jsonl")))
        ((mode, count),) = modes.most_common(1)
        assert count / modes.total() > 0.9
        main.append(mode)
    assert set(main) == set(MODES)


def test_every_message_of_the_person_is_labelled_once_in_order(done):
    extracted = done[1] / "personas/extracted"
    expected = [
        node["id"]
        for c in conversations()
        for node in c["mapping"].values()
        if node["message"] and node["message"]["author"]["role"] == "user"
    ]
    assert ids_of(extracted / "all_messages.jsonl") == expected
    assert ids_of(extracted / "categorized_messages.jsonl") == expected


def test_assignments_cover_every_message(done):
    folder = done[1]
    analysis = msgspec.json.decode(
        (folder / "personas/clusters/cluster_analysis.json").read_bytes(), type=ClusterAnalysis
    )
    assert list(analysis.assignments) == ids_of(folder / "personas/extracted/all_messages.jsonl")


def test_a_personas_file_holds_the_messages_assigned_to_it(done):
    outcome, folder = done
    for persona in outcome.discovery.personas:
        mine = [i for i, slug in outcome.discovery.analysis.assignments.items() if slug == persona.slug]
        assert ids_of(folder / f"personas/clusters/persona_{persona.slug}.jsonl") == mine
        assert persona.size == len(mine)


def test_every_message_without_a_persona_is_counted_with_a_reason(done):
    analysis = done[0].discovery.analysis
    assert sum(analysis.unassigned.values()) == list(analysis.assignments.values()).count(None)


def test_the_files_read_back_as_the_types_they_were_written_from(done):
    outcome, folder = done
    personas = msgspec.json.decode((folder / "personas/clusters/personas.json").read_bytes(), type=tuple[Persona, ...])
    assert personas == outcome.discovery.personas
    for line in lines_of(folder / "personas/extracted/categorized_messages.jsonl"):
        assert msgspec.json.decode(line, type=LabelledMessage)


def test_without_edits_the_generated_prompts_are_the_systems_prompts(done):
    prompts = done[1] / "personas/prompts"
    generated = (prompts / "generated_prompts.json").read_bytes()
    assert generated == (prompts / "system_prompts.json").read_bytes()
    assert set(json.loads(generated)) == {p.slug for p in done[0].discovery.personas}


def test_the_export_is_kept_as_it_was_given(done, export):
    assert (done[1] / "personas/raw_imports/conversations.json").read_bytes() == export.read_bytes()


def test_no_file_names_the_folder_it_lies_in(done):
    folder = str(done[1]).encode()
    assert [name for name, data in contents(done[1]).items() if folder in data] == []


def test_a_second_run_in_another_folder_gives_the_same_bytes(done, export, tmp_path):
    discover(export, tmp_path / "elsewhere" / "data")
    assert differences(done[1], tmp_path / "elsewhere" / "data") == set()


def test_a_run_in_another_process_gives_the_same_bytes(done, export, tmp_path):
    start(export, tmp_path / "data").wait()
    assert differences(done[1], tmp_path / "data") == set()


def test_a_finished_run_does_nothing_again(done, export, tmp_path):
    folder = copy_of(done[1], tmp_path)
    times = {p: p.stat().st_mtime_ns for p in folder.rglob("*.json*")}
    assert discover(export, folder).resumed == STAGES
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*.json*")} == times


def test_refresh_does_every_stage_again_and_gives_the_same_bytes(done, export, tmp_path):
    folder = copy_of(done[1], tmp_path)
    assert discover(export, folder, refresh=True).resumed == ()
    assert differences(done[1], folder) == set()


@pytest.mark.parametrize("stage", range(len(STAGES)))
def test_a_stage_whose_stamp_is_gone_is_done_again_with_those_after_it(done, export, tmp_path, stage):
    folder = copy_of(done[1], tmp_path)
    (folder / f".innercouncil/{STAGES[stage]}.json").unlink()
    assert discover(export, folder).resumed == STAGES[:stage]
    assert differences(done[1], folder) == set()


@pytest.mark.parametrize("name", sorted(FIXED_FILES))
def test_a_file_a_person_deleted_is_made_again(done, export, tmp_path, name):
    folder = copy_of(done[1], tmp_path)
    (folder / name).unlink()
    discover(export, folder)
    assert differences(done[1], folder) == set()


@pytest.mark.parametrize("clusters", [1, 2, 4])
def test_a_number_of_clusters_asked_for_is_kept(done, export, tmp_path, clusters):
    folder = copy_of(done[1], tmp_path)
    outcome = discover(export, folder, clusters=clusters, bootstraps=2)
    assert len(outcome.discovery.personas) == outcome.discovery.analysis.k == clusters
    assert len(list((folder / "personas/clusters").glob("persona_*.jsonl"))) == clusters


def test_a_larger_number_of_clusters_only_redoes_the_stages_that_need_it(done, export, tmp_path):
    assert discover(export, copy_of(done[1], tmp_path), clusters=5, bootstraps=2).resumed == ("read", "label")


def test_another_prompt_budget_only_redoes_the_prompts(done, export, tmp_path):
    outcome = discover(export, copy_of(done[1], tmp_path), prompt_tokens=300)
    assert outcome.resumed == ("read", "label", "cluster")
    assert all(p.prompt.tokens <= 300 for p in outcome.discovery.personas)


def test_another_export_redoes_everything(done, tmp_path):
    folder = copy_of(done[1], tmp_path)
    more = write_export(tmp_path / "more" / "conversations.json", of_each=21)
    outcome = discover(more, folder, bootstraps=2)
    assert outcome.resumed == ()
    assert outcome.report.conversations == 63


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough messages for several processes (more than two batches of 800)."""
    return write_export(tmp_path_factory.mktemp("large") / "conversations.json", of_each=230)


@pytest.mark.parametrize("other", ["8GB", "32GB"])
def test_the_memory_of_the_machine_does_not_change_the_labels(large, tmp_path, other: Mode):
    folders = {}
    for mode in ("16GB", other):
        folders[mode] = tmp_path / mode
        discover(large, folders[mode], mode=mode, bootstraps=1, clusters=3)
    for name in ("personas/extracted/categorized_messages.jsonl", ".innercouncil/label_scores.npz"):
        assert (folders["16GB"] / name).read_bytes() == (folders[other] / name).read_bytes()


def start(export: Path, folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "innercouncil", "discover", str(export), "--workspace", str(folder)]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=os.name == "posix"
    )


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill -9 the process and the ones it started."""
    if os.name == "posix":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def wait_for(process: subprocess.Popen[bytes], path: Path) -> None:
    """Return as soon as `path` is there, or the process ended, or a minute is over."""
    until = time.monotonic() + 60
    while not path.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.002)


MOMENTS = (
    "personas/raw_imports/.conversations.json.part",
    "personas/extracted/.all_messages.jsonl.part",
    "personas/extracted/all_messages.jsonl",
    ".innercouncil/read.json",
    "personas/extracted/.categorized_messages.jsonl.part",
    "personas/extracted/categorized_messages.jsonl",
    ".innercouncil/label_scores.npz",
    ".innercouncil/label.json",
    ".innercouncil/modes.npz",
    ".innercouncil/cluster.json",
    "personas/clusters/personas.json",
    "personas/prompts/generated_prompts.json",
    ".innercouncil/personas.json",
    "report.html",
)


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_as_soon_as_a_file_appears_and_run_again_it_gives_the_same_bytes(done, export, tmp_path, moment):
    folder = tmp_path / "data"
    process = start(export, folder)
    wait_for(process, folder / moment)
    kill(process)
    discover(export, folder)
    assert differences(done[1], folder) == set()


@pytest.mark.parametrize("seconds", [0.5, 1.0, 1.5, 2.0, 3.0])
def test_killed_at_any_time_and_run_again_it_gives_the_same_bytes(done, export, tmp_path, seconds):
    folder = tmp_path / "data"
    process = start(export, folder)
    time.sleep(seconds)
    kill(process)
    discover(export, folder)
    assert differences(done[1], folder) == set()


def test_killed_again_and_again_it_gets_to_the_end(done, export, tmp_path):
    folder = tmp_path / "data"
    for moment in (".innercouncil/read.json", ".innercouncil/label.json", ".innercouncil/cluster.json"):
        process = start(export, folder)
        wait_for(process, folder / moment)
        kill(process)
    assert discover(export, folder).resumed[:2] == ("read", "label")
    assert differences(done[1], folder) == set()


def test_killed_while_labelling_in_several_processes_it_gives_the_same_labels(large, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    discover(large, whole, clusters=3, bootstraps=1)
    process = start(large, broken)
    wait_for(process, broken / "personas/extracted/.categorized_messages.jsonl.part")
    time.sleep(0.5)
    kill(process)
    discover(large, broken, clusters=3, bootstraps=1)
    assert differences(whole, broken) == set()


def test_progress_tells_every_stage_in_order(export, tmp_path):
    watcher = Quiet()
    discover_personas(export, Workspace(tmp_path / "data"), Settings(bootstraps=1, clusters=2), watcher)
    assert watcher.stages == [
        ("Reading the export", False),
        ("Labelling your messages", False),
        ("Looking for modes", False),
        ("Writing personas", False),
        ("Drawing the report", False),
    ]


def test_before_the_first_run_there_is_nothing_to_load(tmp_path):
    with pytest.raises(NothingToDiscoverError, match="run `innercouncil discover EXPORT` first"):
        load_discovery(Workspace(tmp_path / "data"))


def test_a_failed_run_leaves_what_was_found_before(done, export, tmp_path):
    folder = copy_of(done[1], tmp_path)
    bad = tmp_path / "bad.json"
    bad.write_text("not JSON", encoding="utf-8")
    with pytest.raises(ImportFormatError):
        discover(bad, folder)
    assert load_discovery(Workspace(folder)) == done[0].discovery


@pytest.mark.parametrize("text", ["👍", "...", "?", "", "```\nx = 1\n```"])
def test_messages_that_say_nothing_are_refused_in_one_sentence(tmp_path, text):
    chats = conversations(14)
    for chat in chats:
        for node in chat["mapping"].values():
            if node["message"] and node["message"]["author"]["role"] == "user":
                node["message"]["content"]["parts"] = [text]
                node["children"] = node["children"][:1]
    for chat in chats:
        first_two = list(chat["mapping"].items())[:3]
        chat["mapping"] = dict(first_two)
        first_two[-1][1]["children"] = []
        chat["current_node"] = first_two[-1][0]
    export = tmp_path / "conversations.json"
    export.write_text(json.dumps(chats), encoding="utf-8")
    with pytest.raises(InnerCouncilError) as error:
        discover(export, tmp_path / "data")
    assert "\n" not in str(error.value)
