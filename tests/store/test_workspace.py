"""The workspace: files whole or absent, stages that know what they were made from, one process at a time."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from innercouncil.model.errors import WorkspaceError
from innercouncil.store.workspace import Workspace, disk_errors, file_digest, fingerprint, writing

needs_posix = pytest.mark.skipif(os.name != "posix", reason="process limits and rights are those of POSIX")


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path / "data")
    workspace.prepare()
    return workspace


def names(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()}


def run_python(code: str, *args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_what_is_written_is_there_afterwards(tmp_path):
    with writing(tmp_path / "deep" / "a.txt") as f:
        f.write(b"new")
    assert (tmp_path / "deep" / "a.txt").read_bytes() == b"new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_an_exception_while_writing_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    with pytest.raises((error, WorkspaceError)), writing(path) as f:
        f.write(b"half of the ne")
        raise error
    assert path.read_bytes() == b"old"


def test_an_exception_while_writing_leaves_no_other_file(tmp_path):
    with pytest.raises(ValueError), writing(tmp_path / "a.txt") as f:
        f.write(b"half")
        raise ValueError
    assert names(tmp_path) == set()


def test_nobody_sees_a_half_written_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    with writing(path) as f:
        f.write(b"new")
        f.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


@needs_posix
def test_a_kill_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    killed = run_python(
        """
        import os, signal, sys
        from pathlib import Path
        from innercouncil.store.workspace import writing
        with writing(Path(sys.argv[1])) as f:
            f.write(b"x" * 100_000)
            f.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        """,
        path,
    )
    assert killed.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"


def test_what_a_killed_process_left_is_written_over(tmp_path):
    (tmp_path / ".a.txt.part").write_bytes(b"left over and longer than the new one")
    with writing(tmp_path / "a.txt") as f:
        f.write(b"new")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a.txt": b"new"}


def finish(ws: Workspace, text: str = "made") -> Path:
    """A finished stage `label` of fingerprint `f1` with one output."""
    with writing(ws.categorized_messages) as f:
        f.write(text.encode())
    ws.finish("label", "f1", [ws.categorized_messages])
    return ws.categorized_messages


def test_a_stage_never_finished_is_not_done(ws):
    assert not ws.is_done("label", "f1")


def test_a_finished_stage_is_done(ws):
    finish(ws)
    assert ws.is_done("label", "f1")


def test_a_stage_finished_from_something_else_is_not_done(ws):
    finish(ws)
    assert not ws.is_done("label", "f2")


def test_a_stage_whose_output_is_gone_is_not_done(ws):
    finish(ws).unlink()
    assert not ws.is_done("label", "f1")


def test_a_stage_whose_output_was_cut_short_is_not_done(ws):
    finish(ws).write_bytes(b"ma")
    assert not ws.is_done("label", "f1")


def test_a_forgotten_stage_is_not_done(ws):
    finish(ws)
    ws.forget(["label", "never finished"])
    assert not ws.is_done("label", "f1")


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"stage": "label"}', b"\xff\xfe"])
def test_a_stage_whose_stamp_is_damaged_is_not_done(ws, damage):
    finish(ws)
    (ws.stamps / "label.json").write_bytes(damage)
    assert not ws.is_done("label", "f1")


def test_a_finished_stage_is_still_done_where_the_folder_was_moved(ws, tmp_path):
    finish(ws)
    ws.root.rename(tmp_path / "moved")
    assert Workspace(tmp_path / "moved").is_done("label", "f1")


def test_a_stamp_holds_size_and_digest_of_every_output(ws):
    path = finish(ws)
    stamp = ws.stamp("label")
    assert stamp is not None
    assert stamp.outputs == {"personas/extracted/categorized_messages.jsonl": (4, file_digest(path))}


def test_a_fingerprint_does_not_depend_on_the_order_of_its_parts():
    assert fingerprint(a=1, b=[2, {"x": 1, "y": 2}]) == fingerprint(b=[2, {"y": 2, "x": 1}], a=1)


@given(st.dictionaries(st.sampled_from("abc"), st.integers() | st.text(), max_size=3).flatmap(
    lambda d: st.tuples(st.just(d), st.dictionaries(st.sampled_from("abc"), st.integers() | st.text(), max_size=3))
))  # fmt: skip
def test_different_parts_have_different_fingerprints(pair):
    one, other = pair
    assert (fingerprint(**one) == fingerprint(**other)) == (one == other)


def test_an_export_is_kept_under_its_name(ws, tmp_path):
    export = tmp_path / "conversations.json"
    export.write_bytes(b"[1]")
    kept, digest = ws.keep_import(export)
    assert kept == ws.raw_imports.resolve() / "conversations.json" or kept == ws.raw_imports / "conversations.json"
    assert (kept.read_bytes(), digest) == (b"[1]", file_digest(export))


def test_an_export_given_twice_is_kept_once(ws, tmp_path):
    export = tmp_path / "conversations.json"
    export.write_bytes(b"[1]")
    assert ws.keep_import(export) == ws.keep_import(export)
    assert names(ws.raw_imports) == {"conversations.json"}


def test_another_export_of_the_same_name_is_kept_beside_the_first(ws, tmp_path):
    export = tmp_path / "conversations.json"
    export.write_bytes(b"[1]")
    ws.keep_import(export)
    export.write_bytes(b"[2]")
    kept, _ = ws.keep_import(export)
    assert {p.read_bytes() for p in ws.raw_imports.iterdir()} == {b"[1]", b"[2]"}
    assert kept.read_bytes() == b"[2]"


def test_an_export_that_lies_in_the_workspace_is_not_copied(ws):
    export = ws.raw_imports / "conversations.json"
    export.write_bytes(b"[1]")
    ws.keep_import(export)
    assert names(ws.raw_imports) == {"conversations.json"}


def test_a_folder_is_kept_with_its_chats_and_without_its_pictures(ws, tmp_path):
    folder = tmp_path / "export"
    (folder / "inner").mkdir(parents=True)
    (folder / "conversations.json").write_bytes(b"[1]")
    (folder / "inner" / "more.json").write_bytes(b"[2]")
    (folder / "picture.png").write_bytes(b"png")
    kept, _ = ws.keep_import(folder)
    assert {p.relative_to(kept).as_posix() for p in kept.rglob("*") if p.is_file()} == {
        "conversations.json",
        "inner/more.json",
    }


HOLD = """
    import sys
    from pathlib import Path
    from innercouncil.store.workspace import Workspace
    with Workspace(Path(sys.argv[1])).lock():
        print("held", flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def holder(ws: Workspace) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the workspace."""
    command = [sys.executable, "-c", textwrap.dedent(HOLD), str(ws.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_workspace_held_by_another_process_is_refused(ws, holder):
    with pytest.raises(WorkspaceError, match="is in use by another innercouncil process") as refused, ws.lock():
        pass
    assert refused.value.exit_code == 1
    assert str(ws.root) in str(refused.value)


def test_a_workspace_is_free_once_the_other_process_was_killed(ws, holder):
    holder.kill()
    holder.wait()
    with ws.lock():
        pass


def test_a_workspace_is_free_after_a_failure_inside(ws):
    with pytest.raises(ValueError), ws.lock():
        raise ValueError
    with ws.lock():
        pass


def one_sentence(text: str) -> bool:
    return text.endswith(".") and "\n" not in text


@needs_posix
def test_a_folder_that_may_not_be_written_is_said_in_one_sentence(tmp_path):
    """In a process without root's rights, for root may write anywhere."""
    tmp_path.chmod(stat.S_IRWXU | stat.S_IXOTH | stat.S_IROTH)
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(stat.S_IRUSR | stat.S_IXUSR | stat.S_IROTH | stat.S_IXOTH)
    code = """
        import os, sys
        from pathlib import Path
        from innercouncil.model.errors import WorkspaceError
        from innercouncil.store.workspace import Workspace
        if os.geteuid() == 0:
            os.setuid(65534)
        try:
            Workspace(Path(sys.argv[1]) / "data").prepare()
        except WorkspaceError as error:
            print(error)
    """
    for parent in tmp_path.parents:
        if parent.stat().st_uid == os.geteuid() and parent.name.startswith("pytest-"):
            parent.chmod(parent.stat().st_mode | stat.S_IXOTH)
    said = run_python(code, closed).stdout.strip()
    assert "may not be written" in said
    assert "--workspace" in said
    assert one_sentence(said)


@needs_posix
def test_a_disk_that_takes_no_more_is_said_in_one_sentence_and_the_old_file_stays(tmp_path):
    """A limit on the size of files stands for the full disk."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    said = run_python(
        """
        import resource, signal, sys
        from pathlib import Path
        from innercouncil.model.errors import WorkspaceError
        from innercouncil.store.workspace import writing
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            with writing(Path(sys.argv[1])) as f:
                f.write(b"x" * 100_000)
        except WorkspaceError as error:
            print(error)
        """,
        path,
    ).stdout.strip()
    assert said.startswith(f"Cannot write {path}: ")
    assert one_sentence(said)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a.txt": b"old"}


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "tiny"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.name != "posix" or os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_said_in_one_sentence_and_the_old_file_stays(tiny_disk):
    path = tiny_disk / "a.txt"
    path.write_bytes(b"old")
    with pytest.raises(WorkspaceError, match="the disk is full; free some space") as error, writing(path) as f:
        f.write(b"x" * 200_000)
    assert one_sentence(str(error.value))
    assert {p.name: p.read_bytes() for p in tiny_disk.iterdir()} == {"a.txt": b"old"}


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "the disk is full; free some space"),
        (errno.EACCES, "it may not be written; choose a folder of yours with --workspace"),
        (errno.EROFS, "it may not be written; choose a folder of yours with --workspace"),
        (errno.EIO, "check the folder"),
    ],
)
def test_trouble_of_the_file_system_is_said_in_one_sentence_that_names_the_path(number, says):
    with pytest.raises(WorkspaceError) as error, disk_errors(Path("here")):
        raise OSError(number, os.strerror(number))
    assert str(error.value).startswith("Cannot write here: ")
    assert says in str(error.value)
    assert one_sentence(str(error.value))


def test_a_workspace_where_a_file_stands_is_said_in_one_sentence(tmp_path):
    (tmp_path / "data").write_bytes(b"a file")
    with pytest.raises(WorkspaceError) as error:
        Workspace(tmp_path / "data").prepare()
    assert one_sentence(str(error.value))
