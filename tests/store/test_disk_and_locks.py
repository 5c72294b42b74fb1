"""Full disks, power cuts between file and rename, two processes on a workspace, and clocks that are set back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from innercouncil.model.errors import WorkspaceError
from innercouncil.store.database import Database
from innercouncil.store.workspace import Workspace, writing

HOLD = """
import sys, time
from pathlib import Path
from innercouncil.store.workspace import Workspace
sys.argv = ["innercouncil", "discover", sys.argv[1]]
with Workspace(Path(sys.argv[2])).lock():
    print("held", flush=True)
    time.sleep(60)
"""
LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
most = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
from innercouncil.cli.main import main
main()
"""


def holding(folder: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen([sys.executable, "-c", HOLD, folder], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    return child


def test_the_second_process_is_told_who_holds_the_workspace_and_readers_go_on(discovered, tmp_path):
    folder = tmp_path / "data"
    Database(Workspace(folder).database).close()
    with holding(folder) as child:
        command = [sys.executable, "-m", "innercouncil"]
        second = subprocess.run(
            [*command, "discover", "x.json", "--workspace", folder], capture_output=True, text=True, check=False
        )
        with (
            pytest.raises(WorkspaceError, match=rf"process {child.pid}, `innercouncil discover`.*wait for it"),
            Workspace(folder).lock(),
        ):
            pass
        reader = subprocess.run([*command, "backup", "list", "--workspace", folder], capture_output=True, check=False)
        child.kill()
    assert second.returncode in (1, 2)
    assert reader.returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_process_holds_nothing(tmp_path):
    with holding(tmp_path) as child:
        child.send_signal(signal.SIGKILL)
    ws = Workspace(tmp_path)
    left, young = ws.clusters / ".personas.json.part", ws.clusters / ".other.json.part"
    for part in (left, young):
        part.write_text("half")
    os.utime(left, (0, 0))
    with ws.lock():
        assert list(tmp_path.rglob("*.part")) == [young], "what a kill left is taken out, what may be at work is not"
    assert not (ws.stamps / "lock.holder").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not sync folders")
def test_file_and_folder_are_on_disk_before_a_write_is_done(tmp_path):
    """What a power cut leaves is what was synced: first the bytes, then the name, then the folder that holds it."""
    script = textwrap.dedent(
        """
        import os, stat, sys
        from pathlib import Path
        from innercouncil.store.workspace import writing
        real = os.fsync
        def fsync(handle):
            print("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file", flush=True)
            real(handle)
        os.fsync = fsync
        sys.addaudithook(lambda event, args: event == "os.rename" and print("rename", flush=True))
        with writing(Path(sys.argv[1]) / "x.json") as f:
            f.write(b"{}")
        """
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["file", "rename", "folder"]


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "x.json"
    with writing(path) as slow:
        slow.write(b"slow and long")
        with writing(path) as quick:
            quick.write(b"quick")
        assert path.read_bytes() == b"quick"
    assert path.read_bytes() == b"slow and long", "whoever is done last"
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_the_next_process_that_writes_into_a_folder_takes_out_what_a_kill_left_there(tmp_path):
    begin = "import sys, time; from pathlib import Path; from innercouncil.store.workspace import writing\n"
    hold = begin + "with writing(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    write = begin + "with writing(Path(sys.argv[1])) as out: out.write(b'whole')"
    others = tmp_path / ".film.part"
    others.write_bytes(b"another program's")
    os.utime(others, (0, 0))
    with (
        subprocess.Popen([sys.executable, "-c", hold, tmp_path / "a"], stdout=subprocess.PIPE) as dead,
        subprocess.Popen([sys.executable, "-c", hold, tmp_path / "b"], stdout=subprocess.PIPE) as alive,
    ):
        for child in (dead, alive):
            assert child.stdout is not None
            assert child.stdout.readline() == b"held\n"
        dead.kill()
        dead.wait()
        assert len(list(tmp_path.glob(".*.part"))) == 3
        subprocess.run([sys.executable, "-c", write, tmp_path / "c"], check=True)
        left = sorted(str(alive.pid) in p.name for p in tmp_path.glob(".*.part"))
        alive.kill()
    assert left == [False, True], "what is at work, and what is another program's, stays"
    assert others.exists()


def limited(most: int, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", LIMITED, str(most), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
@pytest.mark.parametrize("most", [1_000, 20_000, 60_000])
def test_where_files_cannot_grow_discover_says_so_and_goes_on_afterwards(example, tmp_path, most):
    folder = tmp_path / "data"
    cut = limited(most, "discover", example, "--workspace", folder)
    assert cut.returncode == 1, cut.stderr
    assert "Traceback" not in cut.stderr
    errors = [line for line in cut.stderr.splitlines() if line.startswith("Error")]
    assert len(errors) == 1
    assert "Cannot write" in errors[0]
    assert not list(folder.rglob("*.part")), "nothing half-written stays"
    again = [sys.executable, "-m", "innercouncil", "discover", str(example), "--workspace", str(folder)]
    assert subprocess.run(again, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_where_the_database_cannot_grow_what_was_saved_stays(tmp_path):
    path = tmp_path / "council.db"
    database = Database(path)
    database.set("mine", "kept")
    database.close()
    script = textwrap.dedent(
        """
        import resource, signal, sys
        from pathlib import Path
        from innercouncil.model.errors import WorkspaceError
        from innercouncil.store.database import Database
        database = Database(Path(sys.argv[1]))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        size = Path(sys.argv[1]).stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        try:
            database.set("big", "x" * 2_000_000)
        except WorkspaceError as error:
            print(error)
        print(database.setting("mine"), database.setting("big"))
        """
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    told, left = done.stdout.splitlines()
    assert told.startswith("Cannot ")
    assert str(path) in told
    assert left == "kept None"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_is_called_full(tmp_path):
    script = textwrap.dedent(
        """
        import os, sys
        from pathlib import Path
        from innercouncil.model.errors import WorkspaceError
        from innercouncil.store.workspace import writing
        def hook(event, args):
            if event == "open" and str(args[0]).endswith(".part") and not os.path.lexists(args[0]):
                os.symlink("/dev/full", args[0])
        sys.addaudithook(hook)
        try:
            with writing(Path(sys.argv[1]) / "x.json") as f:
                f.write(b"x" * 100_000)
        except WorkspaceError as error:
            print(error)
        """
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True)
    assert "the disk is full; free some space" in done.stdout
    assert os.listdir(tmp_path) == []  # noqa: PTH208


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such rights; a folder there has its parent's")
def test_other_accounts_cannot_look_into_a_new_workspace(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        Workspace(tmp_path / "by-discovery").prepare()
        Database(tmp_path / "by-council" / "council.db").close()
        (tmp_path / "open").mkdir(mode=0o755)
        Workspace(tmp_path / "open").prepare()
    finally:
        os.umask(before)
    rights = {folder.name: oct(folder.stat().st_mode & 0o777) for folder in tmp_path.iterdir()}
    assert rights == {"by-discovery": "0o700", "by-council": "0o700", "open": "0o755"}
