"""docs/scale.md shows the figures that are kept, and none of them grows faster than it may."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import scale

ROOT = Path(__file__).parents[2]
KEPT = msgspec.json.decode(
    (ROOT / "benchmarks" / "scale.json").read_bytes(), type=dict[str, dict[str, list[scale.Point]]]
)
BASELINES = ("msgspec decodes all of it", "SELECT count(*)")


def test_the_page_shows_the_figures_that_are_kept() -> None:
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    assert scale.with_tables(page, KEPT) == page
    assert page.count("| job |") == len(scale.AXES) == len(KEPT)


def test_every_axis_reaches_what_it_should() -> None:
    largest = {name: max(p.size for p in next(iter(jobs.values()))) for name, jobs in KEPT.items()}
    assert largest["export"] > 1.1e9
    assert [largest[n] for n in ("messages", "personas", "sessions")] == [100_000, 50, 10_000]
    assert largest["votes"] >= 100_000
    assert all(len(points) >= 6 for jobs in KEPT.values() for points in jobs.values())


def test_no_time_and_no_memory_grows_faster_than_its_input() -> None:
    """Peak memory is the larger of what starting and what the data take: where the one passes the other it bends, and only the
    interval says what can be said of its exponent."""
    grown = [(name, job, what, g) for name, job, what, _, g in scale.rows(KEPT) if job not in BASELINES]
    assert len([g for *_, g in grown if g.power is not None]) > 10, "there is something to hold to it"
    assert [
        x for x in grown if x[3].power is not None and round(x[3].power if x[2] == "time" else x[3].low, 2) > 1.1
    ] == []
    assert [x for x in grown if not x[3].short and round(x[3].last_step, 2) > 1.1] == []


@pytest.mark.parametrize("power", [0.5, 1.0, 1.5, 2.0])
@pytest.mark.parametrize("start", [0.0, 0.2, 3.0])
def test_a_known_power_is_found_again_whatever_starting_takes(power: float, start: float) -> None:
    sizes = [312, 625, 1250, 2500, 5000, 10_000]
    found = scale.growth(sizes, [start + 5 * (n / 10_000) ** power for n in sizes])
    assert found.power == pytest.approx(power, abs=0.02)
    if not start:
        assert found.last_step == pytest.approx(power, abs=1e-3)


def test_what_hardly_rises_is_flat() -> None:
    assert scale.growth([1, 2, 4, 8], [1.0, 1.1, 1.2, 1.4])[:2] == (None, pytest.approx(math.log2(1.4 / 1.2), abs=1e-3))


def test_an_interval_holds_the_power_about_as_often_as_it_says() -> None:
    draw, held = np.random.default_rng(0), 0
    sizes = [312, 625, 1250, 2500, 5000, 10_000]
    for _ in range(200):
        noise = np.exp(0.03 * draw.standard_normal(6))
        found = scale.growth(sizes, [float((1 + 5 * n / 10_000) * e) for n, e in zip(sizes, noise, strict=True)])
        held += found.low <= 1 <= found.high
    assert held >= 0.88 * 200
