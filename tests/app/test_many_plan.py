"""The arithmetic of many exports, and the command that prints it from the records of a pilot run."""

from __future__ import annotations

import json

import msgspec
import pytest
from click.testing import CliRunner

from innercouncil.app.many_plan import Pilot, Wish, measured, pilot_of, plan
from innercouncil.app.many_task import Record
from innercouncil.cli.main import cli
from innercouncil.model.errors import UsageError


def record(name: str, mb: float, cpu: float, **more: object) -> Record:
    blank = Record(
        name=name, state="done", mark="", recipe="", export_bytes=int(mb * 1e6), kept_bytes=int(2 * mb * 1e6), cpu_seconds=cpu,
        peak_bytes=int(300e6 + mb * 1e6),
    )  # fmt: skip
    return msgspec.structs.replace(blank, **more)


def test_large_exports_count_as_much_as_they_weigh():
    pilot = measured([record("a", 10, 8), record("b", 90, 22)])
    assert pilot == Pilot(exports=2, failed=0, mb=50, cpu_per_mb=0.3, kept_per_mb=2, peak_mb=390)


def test_a_hundred_thousand_exports_by_hand():
    pilot = Pilot(exports=20, failed=0, mb=10, cpu_per_mb=0.36, kept_per_mb=2.5, peak_mb=400)
    found = plan(pilot, Wish(exports=100_000, workers=50, busy=0.8, core_hour=0.04, gb_month=0.02))
    assert found.read_gb == pytest.approx(1_000)  # 100,000 x 10 MB
    assert found.core_hours == pytest.approx(125)  # 1,000,000 MB x 0.36 s = 360,000 s = 100 h; / 0.8
    assert found.hours == pytest.approx(2.5)
    assert found.memory_gb == pytest.approx(24)  # 50 x 400 MB x 1.2
    assert found.kept_gb == pytest.approx(2_500)
    assert found.compute_price == pytest.approx(5)
    assert found.storage_price_month == pytest.approx(50)


def test_another_size_and_no_prices():
    pilot = Pilot(exports=1, failed=0, mb=10, cpu_per_mb=0.36, kept_per_mb=1, peak_mb=1)
    found = plan(pilot, Wish(exports=1000, mb=20, busy=1))
    assert (found.core_hours, found.hours) == (pytest.approx(2), pytest.approx(2))
    assert found.compute_price is None and found.storage_price_month is None


def test_the_command_reads_the_records_and_shows_its_sum(tmp_path):
    ledger = tmp_path / "out" / ".many"
    ledger.mkdir(parents=True)
    for made in (record("a", 10, 8), record("b", 90, 22), record("c", 5, 0, state="failed")):
        (ledger / f"{made.name}.json").write_bytes(msgspec.json.encode(made))
    (ledger / "broken.json").write_bytes(b"{")
    arguments = ["plan-many", str(tmp_path / "out"), "--exports", "1000", "--busy", "1", "--core-hour", "0.5"]
    result = CliRunner().invoke(cli, arguments)
    assert "Measured on 2 exports (1 failed): 50.0 MB each, 0.30 CPU seconds a MB" in result.output
    assert "Core hours  4.2 = 1,000 x 50.0 MB x 0.30 s / 3600 / 1" in result.output
    assert "Computing   2.08 = 4.2 core hours x 0.5" in result.output
    assert "Keeping" not in result.output
    told = json.loads(CliRunner().invoke(cli, [*arguments, "--json"]).output)
    assert told["plan"]["core_hours"] == pytest.approx(1000 * 50 * 0.3 / 3600)


def test_exports_an_earlier_try_had_begun_are_not_measured(tmp_path):
    ledger = tmp_path / "out" / ".many"
    ledger.mkdir(parents=True)
    for made in (record("a", 10, 8), record("b", 10, 0.1, resumed=True)):
        (ledger / f"{made.name}.json").write_bytes(msgspec.json.encode(made))
    pilot = pilot_of(str(tmp_path / "out"))
    assert (pilot.exports, pilot.failed, pilot.cpu_per_mb) == (1, 0, pytest.approx(0.8))


def test_without_a_pilot_run_there_is_no_plan(tmp_path):
    with pytest.raises(UsageError, match="do some into a new place first"):
        pilot_of(str(tmp_path))
