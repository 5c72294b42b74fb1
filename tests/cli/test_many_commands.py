"""discover-many and plan-many as typed: exit codes, JSON, what is said on the way."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from innercouncil.cli.discover_many import told


def innercouncil(*args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "innercouncil", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A folder of two exports that cannot be read, and another file."""
    (tmp_path / "in").mkdir()
    for name in ("ann.json", "ben.json", "notes.txt"):
        (tmp_path / "in" / name).write_text("no export")
    return tmp_path / "in"


def test_one_that_fails_ends_it_with_1_after_all_the_others_had_their_turn(tmp_path, broken):
    result = innercouncil("discover-many", broken, "--out", tmp_path / "out", "--workers", 1, "--json")
    told = json.loads(result.stdout)
    assert result.returncode == 1
    assert [(e["name"], e["how"]) for e in told["exports"]] == [("ann.json", "failed"), ("ben.json", "failed")]
    assert told["left_out"] == 1
    lines = result.stderr.splitlines()
    assert lines == ["Exports", "1 of 2, 1 failed", "2 of 2, 2 failed"]
    assert "ann" not in result.stderr and "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("done", "kept", "failed", "seconds", "says"),
    [
        (1, 0, 0, 6.0, "1 of 4, 10.0 a minute, 18 s left"),
        (1, 2, 0, 6.0, "3 of 4, 10.0 a minute, 6 s left"),
        (2, 0, 1, 6.0, "3 of 4, 20.0 a minute, 3 s left, 1 failed"),
        (1, 0, 0, 1200.0, "1 of 4, 0.1 a minute, 60 min left"),
        (0, 0, 1, 0.004, "1 of 4, 1 failed"),
        (4, 0, 0, 6.0, "4 of 4, 40.0 a minute"),
        (0, 4, 0, 0.0, "4 of 4"),
    ],
)
def test_how_long_it_takes_is_told_by_those_that_were_done(done, kept, failed, seconds, says):
    assert told(Counter(done=done, kept=kept, failed=failed), 4, seconds) == says


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["nowhere", "--out", "out"], "cannot be listed"),
        (["in"], "--out"),
        (["in", "--out", "out", "--workers", "0"], "--workers"),
        (["in", "--out", "out", "--workers", "2", "--scheduler", "tcp://h:1"], "have their own"),
        (["in", "--out", "nonsense://x"], "no address"),
    ],
)
def test_usage_errors_end_with_2_and_one_sentence(tmp_path, broken, monkeypatch, args, says):
    monkeypatch.chdir(tmp_path)
    result = innercouncil("discover-many", *args)
    assert (result.returncode, "Traceback" in result.stderr) == (2, False)
    assert says in result.stderr


@pytest.mark.parametrize("command", ["discover-many", "plan-many"])
def test_help_shows_an_example(command):
    assert "Example" in innercouncil(command, "--help").stdout


def test_the_other_commands_do_not_load_dask():
    code = (
        "import sys, innercouncil.cli.discover, innercouncil.cli.discover_many; sys.exit('distributed' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
