"""How time and memory grow with what a person has: curves to ten times the reference export, and what power they follow.

    uv run --group bench python benchmarks/scale.py [export messages personas sessions votes] [--json FILE]
    uv run --group bench python benchmarks/scale.py --draw FILE      pictures and tables into docs/scale.md, nothing measured

Every job is the command a person types, in a process of its own, on an input of each size; the web app is started on it
and asked for its pages. Time is the wall's (the median of three where a command takes under ten seconds), memory the
resident memory of all its processes, at its highest of 20 looks a second (Linux only).

An exponent is fitted to a + b·n^p over all sizes, a being what starting takes, relative errors counting alike; beside it stand its
95% interval and the slope of the last step, log(y2/y1) / log(n2/n1), in which a is still contained. A figure that rises by less than half from the
smallest to the largest size is called flat, and one below a tenth of a second at the largest is not fitted: nobody notices it, and
its noise would be all there is to fit. Baseline: `msgspec` decoding the same export, `SELECT
count(*)` over the same tables.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
import numpy as np
from scipy.optimize import nnls
from scipy.stats import f

import refresh_votes
import scale_inputs
from council import served
from discover import DECODE, resident
from innercouncil.store.workspace import Workspace

PAGES = Path(__file__).parent.parent / "docs"
TABLES = ("session", "answer", "ballot", "person_vote")
FLAT = 1.5
"""A figure that becomes no more than so many times its smallest is flat."""
NOTICED = 0.1
"""Seconds below which nobody waits (Miller 1968, AFIPS Fall Joint Computer Conference: 267)."""
ROUNDS = 3


class Point(msgspec.Struct, frozen=True):
    """One job on an input of one size; bytes are 0 where memory is not the job's own."""

    size: int
    seconds: float
    bytes: int = 0


class Axis(NamedTuple):
    """What grows. `make` writes the input of a size and returns how large it became; `jobs` runs on it."""

    title: str
    unit: str
    sizes: tuple[float, ...]
    make: Callable[[Path, float], int]
    jobs: Callable[[Path, int], Iterator[tuple[str, float, int]]]


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "innercouncil", *map(str, words)]


def measured(line: list[str]) -> tuple[float, int]:
    """Wall seconds and peak resident bytes of a command with its children."""
    with tempfile.TemporaryFile() as problems:
        begin = time.perf_counter()
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=problems, stdin=subprocess.DEVNULL)
        peak, over = 0, threading.Event()

        def watch() -> None:
            nonlocal peak
            while not over.is_set():
                peak = max(peak, resident(process.pid))
                over.wait(0.05)

        watcher = threading.Thread(target=watch)
        watcher.start()
        code = process.wait()
        seconds = time.perf_counter() - begin
        over.set()
        watcher.join()
        if code:
            problems.seek(0)
            sys.exit(f"{' '.join(line)} ended with {code}: {problems.read().decode()}")
    return seconds, peak


def repeated(line: list[str], before: Callable[[], Any] = lambda: None) -> tuple[float, int]:
    """The median of ROUNDS runs, or the only one where it takes ten seconds and more."""
    found: list[tuple[float, int]] = []
    while len(found) < ROUNDS and (not found or found[-1][0] < 10):
        before()
        found.append(measured(line))
    return statistics.median(s for s, _ in found), max(b for _, b in found)


def on_pages(workspace: Path, first: dict[str, str], pages: dict[str, str]) -> Iterator[tuple[str, float, int]]:
    """Seconds of the web app's first request for a page, medians of later ones, and what the app holds after all of them."""
    times: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        with served(workspace) as (address, _, app), httpx.Client(base_url=address, timeout=600) as client:

            def asked(path: str) -> float:
                begin = time.perf_counter()
                client.get(path).raise_for_status()
                return time.perf_counter() - begin

            asked("/api/status")
            for name, path in first.items():
                times.setdefault(name, []).append(asked(path))
            for name, path in pages.items():
                asked(path)
                times.setdefault(name, []).extend(asked(path) for _ in range(15))
            held = resident(app)
    yield from ((name, statistics.median(found), 0) for name, found in times.items())
    yield "web app after these", 0, held


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def make_export(folder: Path, scale: float) -> int:
    return scale_inputs.export(folder / "conversations.json", scale)


def make_messages(folder: Path, count: float) -> int:
    return scale_inputs.messages(folder / "conversations.json", round(count))


def discover_jobs(folder: Path, _: int) -> Iterator[tuple[str, float, int]]:
    export, workspace = folder / "conversations.json", folder / "data"
    yield "discover", *repeated(command("discover", export, "--workspace", workspace), lambda: fresh(workspace))
    yield "discover again, nothing new", *repeated(command("discover", export, "--workspace", workspace))
    slugs = [
        p["slug"]
        for p in json.loads(subprocess.check_output(command("personas", "list", "--json", "--workspace", workspace)))
    ]
    yield (
        "rename a persona",
        *measured(command("personas", "rename", slugs[0], "Another name", "--workspace", workspace)),
    )
    yield from on_pages(workspace, {}, {"persona map": "/api/map", "personas": "/api/personas"})


def export_jobs(folder: Path, size: int) -> Iterator[tuple[str, float, int]]:
    yield from discover_jobs(folder, size)
    yield "msgspec decodes all of it", *measured([sys.executable, "-c", DECODE, str(folder / "conversations.json")])


def make_personas(folder: Path, count: float) -> int:
    scale_inputs.sessions(folder / "data", 2000, personas=round(count))
    return round(count)


def persona_jobs(folder: Path, _: int) -> Iterator[tuple[str, float, int]]:
    workspace = folder / "data"
    yield "standings", *repeated(command("standings", "--json", "--workspace", workspace))
    yield (
        "twins, from kept sessions",
        *repeated(command("evaluate", "twins", "--from-sessions", "--json", "--workspace", workspace)),
    )
    yield from on_pages(workspace, {"dashboard, standings": "/api/dashboard/standings"}, {"personas": "/api/personas"})


def make_sessions(folder: Path, count: float) -> int:
    return scale_inputs.sessions(folder / "data", round(count))


def session_jobs(folder: Path, _: int) -> Iterator[tuple[str, float, int]]:
    workspace = folder / "data"
    yield "SELECT count(*)", plain(workspace), 0
    yield "standings, the first time", *measured(command("standings", "--json", "--workspace", workspace))
    yield "standings", *repeated(command("standings", "--json", "--workspace", workspace))
    yield "sessions list", *repeated(command("sessions", "list", "--workspace", workspace))
    yield "backup make", *repeated(command("backup", "make", "--workspace", workspace))
    yield (
        "twins, from kept sessions",
        *repeated(command("evaluate", "twins", "--from-sessions", "--json", "--workspace", workspace)),
    )
    yield "delete a session", *measured(command("sessions", "delete", "last", "--yes", "--workspace", workspace))
    pages = {"newest sessions": "/api/sessions?limit=30", "search, a word in all": "/api/sessions?query=ba"}
    yield from on_pages(workspace, {}, pages)


def make_votes(folder: Path, count: float) -> int:
    workspace = Workspace(folder / "data")
    workspace.prepare()
    return refresh_votes.fill(workspace, round(count))


def vote_jobs(folder: Path, _: int) -> Iterator[tuple[str, float, int]]:
    workspace = folder / "data"
    yield "SELECT count(*)", plain(workspace), 0
    yield "standings", *repeated(command("standings", "--json", "--workspace", workspace))
    yield "worth show", *repeated(command("worth", "show", "--json", "--workspace", workspace))
    pages = {"dashboard, standings": "/api/dashboard/standings", "dashboard, worth": "/api/dashboard/worth"}
    yield from on_pages(workspace, pages, {})


def plain(workspace: Path) -> float:
    with sqlite3.connect(workspace / "council.db") as db:
        begin = time.perf_counter()
        for table in TABLES:
            db.execute(f"SELECT count(*), max(rowid) FROM {table}").fetchone()
        return time.perf_counter() - begin


def halves(most: float, *, start: bool = False) -> tuple[float, ...]:
    """Six sizes, each twice the one before; `start` puts one before them that says what starting takes."""
    return (*[most / 256] * start, *(most / 2**n for n in reversed(range(6))))


AXES = {
    "export": Axis("Size of the export", "bytes", halves(10), make_export, export_jobs),
    "messages": Axis("Messages of the person", "messages", halves(100_000), make_messages, discover_jobs),
    "personas": Axis("Personas", "personas", (5, 10, 20, 30, 40, 50), make_personas, persona_jobs),
    "sessions": Axis("Council sessions", "sessions", halves(10_000, start=True), make_sessions, session_jobs),
    "votes": Axis("Votes", "votes", halves(100_000, start=True), make_votes, vote_jobs),
}


def curve(name: str, most: float) -> dict[str, list[Point]]:
    """Every job of an axis at every size up to a share `most` of the largest."""
    axis, found = AXES[name], dict[str, list[Point]]()
    with tempfile.TemporaryDirectory() as temporary:  # the first time Python compiles what it imports
        for _ in axis.jobs(Path(temporary), axis.make(Path(temporary), axis.sizes[0])):
            pass
    for size in axis.sizes:
        if size > most * axis.sizes[-1]:
            break
        with tempfile.TemporaryDirectory() as temporary:
            there = axis.make(Path(temporary), size)
            for job, seconds, held in axis.jobs(Path(temporary), there):
                found.setdefault(job, []).append(Point(there, round(seconds, 4), held))
                print(f"{name} {there:,}: {job} {seconds:.2f} s, {held / 1e6:.0f} MB", file=sys.stderr)
    return found


class Growth(NamedTuple):
    """`power` is None where the figure is flat or `short`: below what anybody notices; `low` and `high` hold it with 95%."""

    power: float | None
    last_step: float
    low: float = 0.0
    high: float = 0.0
    short: bool = False


def growth(sizes: list[int], values: list[float]) -> Growth:
    """The p of a + b·n^p with a, b >= 0 and the least relative errors, and what p's errors are not clearly larger (by F)."""
    n, y = np.array(sizes, float) / sizes[-1], np.array(values)
    last = float(np.log(y[-1] / y[-2]) / np.log(n[-1] / n[-2]))
    if y[-1] < FLAT * y.min():
        return Growth(None, round(last, 3))
    powers = np.arange(0.05, 3.0, 0.005)
    errors = np.array([nnls(np.column_stack([1 / y, n**p / y]), np.ones(len(y)))[1] ** 2 for p in powers])
    free = len(y) - 3
    within = powers[errors <= errors.min() * (1 + f.ppf(0.95, 1, free) / free) + 1e-12]
    return Growth(*(round(float(x), 3) for x in (powers[errors.argmin()], last, within[0], within[-1])))


def rows(found: dict[str, dict[str, list[Point]]]) -> Iterator[tuple[str, str, str, list[Point], Growth]]:
    """Axis, job, "time" or "memory", the points and how they grow."""
    for name, jobs in found.items():
        for job, points in jobs.items():
            sizes = [p.size for p in points]
            if len(points) > 1 and points[0].seconds:
                short = max(p.seconds for p in points) < NOTICED
                grown = growth(sizes, [p.seconds for p in points])
                yield name, job, "time", points, grown._replace(power=None, short=True) if short else grown
            if len(points) > 1 and points[0].bytes:
                yield name, job, "memory", points, growth(sizes, [p.bytes for p in points])


def table(found: dict[str, dict[str, list[Point]]], name: str) -> str:
    """The figures of an axis as Markdown."""
    unit = AXES[name].unit
    lines = [f"| job | at | smallest | largest ({unit}) | exponent | last step |", "|---|---|---|---|---|---|"]
    for _, job, what, points, g in rows({name: found[name]}):
        ends = [f"{p.seconds:.3g} s" if what == "time" else f"{p.bytes / 1e6:.0f} MB" for p in (points[0], points[-1])]
        sizes = [f"{p.size / 1e6:,.0f} MB" if unit == "bytes" else f"{p.size:,}" for p in (points[0], points[-1])]
        fitted = f"{g.power:.2f} ({g.low:.2f} to {g.high:.2f})" if g.power else "under 0.1 s" if g.short else "flat"
        lines.append(
            f"| {job} | {what} | {ends[0]} ({sizes[0]}) | {ends[1]} ({sizes[1]}) | {fitted} | {g.last_step:.2f} |"
        )
    return "\n".join(lines)


def with_tables(page: str, found: dict[str, dict[str, list[Point]]]) -> str:
    """The page with the tables of these figures under the pictures of their axes, in place of those that are there."""
    for name in found:
        lines = table(found, name)
        page = re.sub(rf"(\(img/scale-{name}\.svg\)\n\n)((\|.*\n)+\n)?", lambda m, t=lines: f"{m[1]}{t}\n\n", page)
    return page


def picture(found: dict[str, list[Point]], name: str, path: Path) -> None:
    """Time and memory over size, both axes logarithmic, as SVG with the same bytes each time."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "innercouncil"
    from matplotlib import pyplot
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter, StrMethodFormatter

    axis = AXES[name]
    figure, plots = pyplot.subplots(1, 2, figsize=(11, 5), layout="constrained")
    for job, points in found.items():
        sizes = [p.size for p in points]
        [line] = plots[0].plot([], [], marker="o", markersize=4, label=job)
        for plot, values in zip(plots, ([p.seconds for p in points], [p.bytes / 1e6 for p in points]), strict=True):
            if values[0]:
                plot.plot(sizes, values, marker="o", markersize=4, color=line.get_color())
    shown = EngFormatter(unit="B", places=0) if axis.unit == "bytes" else StrMethodFormatter("{x:,.0f}")
    for plot, label in zip(plots, ("seconds", "peak resident memory, MB"), strict=True):
        plot.set(xscale="log", yscale="log", xlabel=f"{axis.title} ({axis.unit})", ylabel=label)
        plot.set_xticks([p.size for p in next(iter(found.values()))])
        plot.xaxis.set_major_formatter(shown)
        plot.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        plot.yaxis.set_major_locator(LogLocator(subs=(1,) if plot is plots[0] else (1, 2, 5)))
        for part in (plot.xaxis, plot.yaxis):
            part.set_minor_formatter(NullFormatter())
        plot.grid(True, which="major", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=4, fontsize=9, frameon=False)
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("axes", nargs="*", metavar="AXIS", help=f"of {', '.join(AXES)}; all of them if none is named")
    parser.add_argument(
        "--json", type=Path, help="keep the figures of these axes in FILE, beside those of others that are there"
    )
    parser.add_argument("--most", type=float, default=1.0, help="share of the largest size to go up to")
    parser.add_argument("--draw", type=Path, metavar="FILE")
    given = parser.parse_args()
    if unknown := [a for a in given.axes if a not in AXES]:
        parser.error(f"there is no axis {unknown[0]}; there are {', '.join(AXES)}")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # as where it is installed
    source = given.draw or given.json
    found: dict[str, dict[str, list[Point]]] = {}
    if source and source.exists():
        found = msgspec.json.decode(source.read_bytes(), type=dict[str, dict[str, list[Point]]])
    if given.draw:
        for name, jobs in found.items():
            picture(jobs, name, PAGES / "img" / f"scale-{name}.svg")
        page = PAGES / "scale.md"
        page.write_text(with_tables(page.read_text(encoding="utf-8"), found), encoding="utf-8", newline="\n")
    else:
        for name in given.axes or AXES:
            found[name] = curve(name, given.most)
            if given.json:
                given.json.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
    for name, axis in AXES.items():
        if name in found:
            print(f"\n## {axis.title}\n\n{table(found, name)}")


if __name__ == "__main__":
    main()
