"""What discovering many exports takes, from what a pilot run measured: arithmetic only, with the person's own prices."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from innercouncil.app.many_task import Record, read_record
from innercouncil.model.errors import UsageError
from innercouncil.store.places import Place


class Pilot(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured. MB are 10^6 bytes, seconds are of CPU."""

    exports: int
    failed: int
    mb: float
    """Of an export, on average, as it lies there."""
    cpu_per_mb: float
    kept_per_mb: float
    """MB of workspace for each MB of export."""
    peak_mb: float
    """Most memory a worker held."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What is planned, at what prices."""

    exports: int
    mb: float | None = None
    """Of an export, on average; None: as in the pilot run."""
    workers: int = 1
    busy: float = 0.9
    """Share of its time a worker works: it waits for files, for its start, and at the end for the last export."""
    core_hour: float | None = None
    """Price of a core for an hour, in any currency."""
    gb_month: float | None = None
    """Price of a GB kept for a month."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What it takes."""

    core_hours: float
    hours: float
    """By the clock."""
    memory_gb: float
    """Of all workers together, with a fifth to spare."""
    read_gb: float
    kept_gb: float
    compute_price: float | None
    storage_price_month: float | None


def pilot_of(out: str) -> Pilot:
    """The figures of the exports that were done in `out` in one go. Raises UsageError where none was."""
    records = [r for r in map(read_record, Place(out).read_records().values()) if r is not None]
    done = [r for r in records if r.state == "done" and r.export_bytes and not r.resumed]
    if not done:
        raise UsageError(
            f"{out} has no export that discover-many did in one go; do some into a new place first, and plan from them."
        )
    return measured(done, failed=sum(r.state == "failed" for r in records))


def measured(done: Sequence[Record], failed: int = 0) -> Pilot:
    """What records say together: of all CPU and all bytes, so that large exports count as much as they weigh."""
    mb = sum(r.export_bytes for r in done) / 1e6
    return Pilot(
        exports=len(done), failed=failed, mb=mb / len(done), cpu_per_mb=sum(r.cpu_seconds for r in done) / mb,
        kept_per_mb=sum(r.kept_bytes for r in done) / 1e6 / mb, peak_mb=max(r.peak_bytes for r in done) / 1e6,
    )  # fmt: skip


def plan(pilot: Pilot, wish: Wish) -> Plan:
    """The arithmetic, line by line as docs/many.md shows it."""
    mb = wish.exports * (pilot.mb if wish.mb is None else wish.mb)
    core_hours = mb * pilot.cpu_per_mb / 3600 / wish.busy
    kept_gb = mb * pilot.kept_per_mb / 1000
    return Plan(
        core_hours=core_hours,
        hours=core_hours / wish.workers,
        memory_gb=wish.workers * pilot.peak_mb * 1.2 / 1000,
        read_gb=mb / 1000,
        kept_gb=kept_gb,
        compute_price=None if wish.core_hour is None else core_hours * wish.core_hour,
        storage_price_month=None if wish.gb_month is None else kept_gb * wish.gb_month,
    )
