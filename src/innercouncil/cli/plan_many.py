"""`innercouncil plan-many`: what many exports will take, from a pilot run."""

from __future__ import annotations

import click
import msgspec

from innercouncil.app.many_plan import Wish, pilot_of, plan
from innercouncil.cli.options import JSON, with_options
from innercouncil.cli.terminal import print_json

_PRICE = click.FloatRange(min=0)


@click.command(
    "plan-many", epilog="Example: innercouncil plan-many people/ --exports 100000 --workers 64 --core-hour 0.03"
)
@click.argument("out")
@with_options(
    click.option("--exports", type=click.IntRange(min=1), required=True, help="How many there will be."),
    click.option("--mb", type=click.FloatRange(min=0, min_open=True), help="Size of one, on average (default: as in the pilot run)."),
    click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="How many work at the same time."),
    click.option("--busy", type=click.FloatRange(0, 1, min_open=True), default=0.9, show_default=True, help="Share of its time a worker works."),
    click.option("--core-hour", type=_PRICE, metavar="PRICE", help="Your price of a core for an hour."),
    click.option("--gb-month", type=_PRICE, metavar="PRICE", help="Your price of a GB kept for a month."),
    JSON,
)  # fmt: skip
def plan_many(
    out: str, exports: int, mb: float | None, workers: int, busy: float, core_hour: float | None, gb_month: float | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Say what EXPORTS exports will take, from what discover-many measured in OUT.

    Arithmetic on the records of a pilot run: do some dozens of exports that are like the rest, on a machine like those that will
    do it. Prices are yours; none is known here.
    """
    pilot = pilot_of(out)
    wish = Wish(exports=exports, mb=mb, workers=workers, busy=busy, core_hour=core_hour, gb_month=gb_month)
    found = plan(pilot, wish)
    if as_json:
        print_json(
            {"pilot": msgspec.to_builtins(pilot), "wish": msgspec.to_builtins(wish), "plan": msgspec.to_builtins(found)}
        )
        return
    size = pilot.mb if mb is None else mb
    click.echo(
        f"Measured on {pilot.exports:,} exports ({pilot.failed:,} failed): {pilot.mb:.1f} MB each, {pilot.cpu_per_mb:.2f} CPU seconds "
        f"a MB, {pilot.kept_per_mb:.2f} MB kept a MB, {pilot.peak_mb:.0f} MB of memory a worker."
    )
    click.echo(
        f"Core hours  {found.core_hours:,.1f} = {exports:,} x {size:.1f} MB x {pilot.cpu_per_mb:.2f} s / 3600 / {busy:g}"
    )
    click.echo(f"By clock    {found.hours:,.1f} hours on {workers:,} workers")
    click.echo(f"Memory      {found.memory_gb:,.1f} GB = {workers:,} x {pilot.peak_mb:.0f} MB x 1.2")
    click.echo(f"Read        {found.read_gb:,.0f} GB")
    click.echo(f"Kept        {found.kept_gb:,.0f} GB")
    if found.compute_price is not None:
        click.echo(f"Computing   {found.compute_price:,.2f} = {found.core_hours:,.1f} core hours x {core_hour:g}")
    if found.storage_price_month is not None:
        click.echo(f"Keeping     {found.storage_price_month:,.2f} a month = {found.kept_gb:,.0f} GB x {gb_month:g}")
