"""Kills a real command at the n-th of its writes: an audit hook in the child ends it by SIGKILL, and no code of ours is changed.

A write is the opening of a file for writing, a rename, a removal, or a statement that SQLite begins which is not a plain read.
The kill comes right before it, so the one before is the last that happened.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import psutil

SHIM: Final = r"""
import os, runpy, signal, sqlite3, sys
point, log, root, code = int(sys.argv[1]), sys.argv[2], os.path.realpath(sys.argv[3]), sys.argv[4]
me, seen = os.getpid(), 0
def mine(path):
    beside = os.path.join(os.path.dirname(root), "loras")
    return isinstance(path, (str, bytes, os.PathLike)) and os.path.realpath(os.fsdecode(path)).startswith((root, beside))
def write(what):
    global seen
    if os.getpid() != me:
        return
    seen += 1
    if seen == point:
        os.kill(me, signal.SIGKILL)
def statement(sql):
    if not sql.lstrip().upper().startswith(("SELECT", "PRAGMA", "--", "WITH")):
        write(sql)
def hook(event, args):
    if event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR) and mine(args[0]):
        write(args[0])
    elif event in ("os.rename", "os.remove", "os.link", "shutil.copyfile") and mine(args[0]):
        write(args[0])
    elif event == "sqlite3.connect" and "mode=rwc" in str(args[0]):
        write(args[0])
connect = sqlite3.connect
def traced(*args, **named):
    made = connect(*args, **named)
    made.set_trace_callback(statement)
    return made
sqlite3.connect = traced
sys.addaudithook(hook)
sys.argv = sys.argv[4:]
try:
    if code.endswith(".py"):
        runpy.run_path(code, run_name="__main__")
    else:
        runpy.run_module(code, run_name="__main__", alter_sys=True)
finally:
    if not point:
        with open(log, "w") as out:
            out.write(str(seen))
"""
ENV: Final = {**os.environ, "OLLAMA_HOST": "127.0.0.1:9", "COLUMNS": "120", "PYTHONHASHSEED": "0"}


class Ended:
    """How a command ended."""

    def __init__(self, code: int, stdout: str, stderr: str) -> None:
        self.code, self.stdout, self.stderr = code, stdout, stderr

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL


def shot(command: list[Any], workspace: Path, point: int) -> Ended:
    """Run a module or script killed at its `point`-th write; whatever it started has to end by itself."""
    shim = workspace.parent / "shim.py"
    shim.write_text(SHIM, "utf-8")
    log = workspace.parent / "writes"
    words = [sys.executable, str(shim), str(point), str(log), str(workspace), *map(str, command)]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENV, start_new_session=True
    ) as child:
        out, err = child.communicate(timeout=300)
    _nobody_left(child.pid)
    return Ended(child.returncode, out, err)


def writes_of(command: list[Any], workspace: Path) -> int:
    """How many writes a command makes when nothing kills it."""
    ended = shot(command, workspace, 0)
    assert ended.code == 0, ended.stderr
    return int(json.loads((workspace.parent / "writes").read_text("utf-8")))


def some(count: int, at_most: int) -> list[int]:
    """Of 1..count at most so many, evenly spread, the first and the last among them."""
    if count <= at_most:
        return list(range(1, count + 1))
    return sorted({1 + round(i * (count - 1) / (at_most - 1)) for i in range(at_most)})


def _nobody_left(group: int) -> None:
    """Helpers of a killed process see their pipe break and end; a pool of workers must not stay behind."""
    for _ in range(200):
        left = [p for p in psutil.process_iter() if _in_group(p.pid, group)]
        if not left:
            return
        time.sleep(0.05)
    names = [p.cmdline() for p in left]
    os.killpg(group, signal.SIGKILL)
    raise AssertionError(f"still there: {names}")


def _in_group(pid: int, group: int) -> bool:
    try:
        return os.getpgid(pid) == group and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except (OSError, psutil.Error):
        return False
