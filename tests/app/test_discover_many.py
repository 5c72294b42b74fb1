"""Many exports on real workers: the same files as alone, whoever is killed, and nothing done twice."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest
from distributed import Client, LocalCluster

from conftest import EXAMPLE, contents, run
from innercouncil.app.discover_many import Engine, discover_many
from innercouncil.app.findings import changed, load_discovery
from innercouncil.app.many_task import Finding, Job, read_record
from innercouncil.app.settings import Settings
from innercouncil.model.errors import InnerCouncilError, UsageError, WorkspaceError
from innercouncil.model.persona import Change
from innercouncil.store.workspace import Workspace

SETTINGS = Settings(bootstraps=2)
TWO = Engine(workers=2)


def people(folder: Path, *names: str) -> Path:
    """A folder with the example under other names; every person has some conversations less."""
    folder.mkdir(parents=True, exist_ok=True)
    conversations = json.loads(EXAMPLE.read_text("utf-8"))
    for number, name in enumerate(names):
        (folder / name).write_text(json.dumps(conversations[number:]), "utf-8")
    return folder


def alone(export: Path, folder: Path) -> dict[str, bytes]:
    run(export, folder, bootstraps=2)
    return contents(folder)


def many(source: object, out: object, engine: Engine = TWO, settings: Settings = SETTINGS) -> dict[str, Finding]:
    findings, _ = discover_many(str(source), str(out), settings, engine, lambda _finding, _total: None)
    return {f.record.name: f for f in findings}


def hows(findings: dict[str, Finding]) -> dict[str, str]:
    return {name: f.how for name, f in findings.items()}


def scheduler_port() -> int:
    """Where the scheduler of this process takes workers and clients."""
    (port,) = {c.raddr.port for p in psutil.Process().children() for c in p.net_connections("inet") if c.raddr and c.raddr.port in own_ports()}  # fmt: skip
    return port


def own_ports() -> set[int]:
    return {c.laddr.port for c in psutil.Process().net_connections("inet") if c.status == psutil.CONN_LISTEN}


@pytest.fixture(scope="module")
def one_worker() -> Iterator[Engine]:
    """A scheduler that is there already, whose worker is a thread of this process and sees its `memory://`."""
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, protocol="tcp://"
    ) as c:
        yield Engine(scheduler=c.scheduler_address)


def test_everybody_gets_the_files_discover_makes_alone_and_nobody_else_hears_of_it(tmp_path, capfd):
    source = people(tmp_path / "in", "ann.json", "ben.json")
    with zipfile.ZipFile(source / "cyd.zip", "w") as archive:
        archive.write(EXAMPLE, "conversations.json")
    people(source / "dov", "conversations.json")
    (source / "eve.json").write_text("no export")
    (source / "readme.txt").write_text("no export either")
    listening: set[tuple[str, int]] = set()

    def watch(_finding: Finding, _total: int) -> None:
        for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
            found = process.net_connections("inet")
            listening.update((c.laddr.ip, c.laddr.port) for c in found if c.status == psutil.CONN_LISTEN)

    strangers: list[OSError] = []

    def try_the_door(_finding: Finding, _total: int) -> None:
        watch(_finding, _total)
        if not strangers:
            with pytest.raises(OSError) as error:
                Client(f"tcp://127.0.0.1:{scheduler_port()}", timeout=1)
            strangers.append(error.value)

    findings, left_out = discover_many(str(source), str(tmp_path / "out"), SETTINGS, TWO, try_the_door)
    assert {f.record.name: f.how for f in findings} == {"ann.json": "done", "ben.json": "done", "cyd.zip": "done", "dov": "done", "eve.json": "failed"}  # fmt: skip
    assert left_out == 1
    for name in ("ann.json", "ben.json", "cyd.zip", "dov"):
        assert contents(tmp_path / "out" / name) == alone(source / name, tmp_path / "alone" / name), name
    assert "not JSON" in findings[-1].record.problem
    assert {ip for ip, _ in listening} == {"127.0.0.1"}
    assert len(strangers) == 1
    said = "".join(capfd.readouterr())
    assert not [name for name in ("ann", "ben", "cyd", "dov", "eve") if name in said]
    made = findings[0].record
    assert made.messages > 100 and made.cpu_seconds > 0 and made.peak_bytes > 50e6
    assert made.export_bytes == (source / "ann.json").stat().st_size


def test_what_is_done_is_kept_until_its_content_or_the_settings_change(tmp_path, one_worker):
    source, out = people(tmp_path / "in", "ann.json", "ben.json", "cyd.json"), tmp_path / "out"
    assert set(hows(many(source, out, one_worker)).values()) == {"done"}
    before = contents(out)
    os.utime(source / "ann.json", (1, 1))  # looks changed and is not
    shutil.copy(EXAMPLE, source / "ben.json")
    shutil.rmtree(out / "cyd.json")
    people(source, "new.json")
    again = hows(many(source, out, one_worker))
    assert again == {"ann.json": "kept", "ben.json": "done", "cyd.json": "done", "new.json": "done"}
    after = contents(out)
    assert {n for n in before if n.startswith(("ann.json/", "cyd.json/")) and before[n] != after[n]} == set()
    assert set(hows(many(source, out, one_worker)).values()) == {"kept"}
    other = many(source, out, one_worker, msgspec.structs.replace(SETTINGS, clusters=2))
    assert {f.record.personas for f in other.values()} == {2}
    (out / ".many" / "ann.json.json").write_bytes(b"{")
    other = many(source, out, one_worker, msgspec.structs.replace(SETTINGS, clusters=2))
    assert hows(other) == {"ann.json": "done", "ben.json": "kept", "cyd.json": "kept", "new.json": "kept"}


class Killer(threading.Thread):
    """Kills the process that works on an export, `times` times, after its first stage."""

    def __init__(self, workspace: Path, times: int) -> None:
        super().__init__(daemon=True)
        self.stamps, self.times, self.killed = workspace / ".innercouncil", times, set[int]()
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.005) and len(self.killed) < self.times:
            with contextlib.suppress(OSError, ValueError, IndexError):
                pid = int((self.stamps / "lock.holder").read_text().split()[0])
                if pid not in self.killed and (self.stamps / "read.json").exists():
                    os.kill(pid, signal.SIGKILL)
                    self.killed.add(pid)


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_the_export_of_a_killed_worker_is_done_by_another_and_one_that_kills_every_worker_is_given_up(
    tmp_path, one_worker
):
    source, out = people(tmp_path / "in", "ann.json", "ben.json", "poison.json", "zoe.json"), tmp_path / "out"
    once, always = Killer(out / "ann.json", 1), Killer(out / "poison.json", 99)
    once.start(), always.start()
    findings = many(source, out)
    once.over.set(), always.over.set()
    assert (len(once.killed), len(always.killed)) == (1, 3)
    # A worker may be killed between an export that it finished and telling of it: the next one finds that done.
    ended = {name: how.replace("kept", "done") for name, how in hows(findings).items()}
    assert ended == {"ann.json": "done", "ben.json": "done", "poison.json": "failed", "zoe.json": "done"}
    assert "3 workers died over it" in findings["poison.json"].record.problem
    assert contents(out / "ann.json") == alone(source / "ann.json", tmp_path / "alone")
    record = read_record((out / ".many" / "poison.json.json").read_bytes())
    assert record == findings["poison.json"].record
    assert hows(many(source, out, one_worker)) == {
        "ann.json": "kept",
        "ben.json": "kept",
        "poison.json": "done",
        "zoe.json": "kept",
    }


RUN = """
import sys
from innercouncil.app.discover_many import Engine, discover_many
from innercouncil.app.settings import Settings
if __name__ == "__main__":
    discover_many(sys.argv[1], sys.argv[2], Settings(bootstraps=2), Engine(workers=1), lambda f, n: print(f.how, flush=True))
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_ended_leaves_no_process_and_goes_on(tmp_path, one_worker, how):
    source, out = people(tmp_path / "in", "ann.json", "ben.json", "cyd.json"), tmp_path / "out"
    (tmp_path / "run.py").write_text(RUN)
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "run.py"), str(source), str(out)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "done\n"  # the first is done, the second is under way
    workers = psutil.Process(process.pid).children(recursive=True)
    if how == signal.SIGINT:
        os.killpg(process.pid, how)  # as a terminal does
    else:
        process.kill()
    process.wait()
    process.stdout.close()
    assert psutil.wait_procs(workers, timeout=30)[1] == []
    first = {p.name for p in (out / ".many").glob("*.json")}
    assert first and "cyd.json.json" not in first
    findings = many(source, out, one_worker)
    assert hows(findings)["ann.json"] == "kept" and hows(findings)["cyd.json"] == "done"
    for name in ("ann.json", "ben.json", "cyd.json"):
        assert contents(out / name) == alone(source / name, tmp_path / "alone" / name)


def test_a_worker_has_no_more_memory_than_it_is_given(tmp_path):
    try:
        findings = many(people(tmp_path / "in", "ann.json"), tmp_path / "out", Engine(1, memory="120MB"))
    except InnerCouncilError as error:  # it may end before its first task
        assert "500 MB" in str(error)
    else:
        assert "--worker-memory" in findings["ann.json"].record.problem


def test_from_an_object_store_into_one(tmp_path, one_worker):
    import fsspec

    store = fsspec.filesystem("memory")
    source = people(tmp_path / "in", "ann.json")
    people(source / "dov", "conversations.json")
    store.put(str(source / "ann.json"), "/cluster/in/ann.json")
    store.put(str(source / "dov" / "conversations.json"), "/cluster/in/dov/conversations.json")
    store.pipe("/cluster/in/dov/../../leads-out.json", b"[]")
    places = "memory://cluster/in", "memory://cluster/out"
    assert hows(many(*places, one_worker)) == {"ann.json": "done", "dov": "done"}
    assert hows(many(*places, one_worker)) == {"ann.json": "kept", "dov": "kept"}
    for name in ("ann.json", "dov"):
        store.get(f"/cluster/out/{name}/", str(tmp_path / "got" / name), recursive=True)
        assert contents(tmp_path / "got" / name) == alone(source / name, tmp_path / "alone" / name)
    ws = Workspace(tmp_path / "got" / "ann.json")
    changed(ws, Change(action="rename", slug=load_discovery(ws).personas[0].slug, value="The Maker"))
    store.put(str(ws.database), "/cluster/out/ann.json/council.db")
    assert hows(many(*places, one_worker, msgspec.structs.replace(SETTINGS, prompt_tokens=300)))["ann.json"] == "done"
    assert b"The Maker" in store.cat("/cluster/out/ann.json/personas/clusters/personas.json"), "a person's change stays"
    other = many(*places, one_worker, msgspec.structs.replace(SETTINGS, clusters=2))
    assert hows(other) == {"ann.json": "done", "dov": "done"}
    clusters = {p.rpartition("/")[2] for p in store.ls("/cluster/out/dov/personas/clusters", detail=False)}
    assert len([n for n in clusters if n.startswith("persona_")]) == 2, "files of personas that are gone went too"


def test_places_that_cannot_be_used(tmp_path, one_worker):
    source = people(tmp_path / "in", "ann.json")
    for where, says in [
        (tmp_path / "nowhere", "cannot be listed"), (people(tmp_path / "empty"), "no exports"),
        ("nonsense://x/y", "no address"), ("abfs://x/y", "adlfs"),
    ]:  # fmt: skip
        with pytest.raises(UsageError, match=says):
            many(where, tmp_path / "out", one_worker)
    for within in (source, source / "out", tmp_path):
        with pytest.raises(UsageError, match="within each other"):
            many(source, within, one_worker)
    assert [p.name for p in source.iterdir()] == ["ann.json"]
    with pytest.raises(UsageError, match="within each other"):
        many("memory://cluster/in", "memory://cluster/in/out", one_worker)
    with pytest.raises(UsageError, match="no size of memory"):
        many(source, tmp_path / "out", Engine(1, memory="much"))
    with pytest.raises(UsageError, match="no address of a scheduler"):
        many(source, tmp_path / "out", Engine(scheduler="nonsense://x"))
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match="Cannot write"):
        many(source, tmp_path / "file", one_worker)


def test_two_runs_into_one_folder_do_not_meet(tmp_path, one_worker):
    source, out = people(tmp_path / "in", "ann.json"), tmp_path / "out"
    met: list[str] = []

    def watch(_finding: Finding, _total: int) -> None:
        with pytest.raises(WorkspaceError, match="Another discover-many") as error:
            many(source, out, one_worker)
        met.append(str(error.value))

    discover_many(str(source), str(out), SETTINGS, one_worker, watch)
    assert len(met) == 1


def test_a_task_shows_its_number_alone():
    assert repr(Job(7, "/home/ann", "/out", "ann.json", "", SETTINGS)) == "Job(7)"


def test_without_dask_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r'uv tool install "\.\[many\]"'):
        many(people(tmp_path / "in", "ann.json"), tmp_path / "out")
