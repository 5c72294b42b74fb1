"""The two ways of finding modes beside each other, in words and rows for the page and the terminal."""

from __future__ import annotations

from typing import Any, Final

from innercouncil.model.facets import FacetReport, FoundModes, ModeComparison

TITLES: Final = {"labels": "Offline labels", "facets": "Facets by a model"}
ROWS: Final = ("modes", "stability of each", "mean stability", "separation (by chance)", "messages placed")
"""What is told of each way."""


def told_of_facets(report: FacetReport) -> str:
    """What became of a model's answers about facets, in one sentence."""
    told = [f"{report.model} described {report.accepted:,} of {report.conversations:,} conversations"]
    if report.asked_again:
        told.append(f"{report.asked_again:,} had to be asked again")
    if report.rejected:
        why = ", ".join(f"{n:,} × {reason}" for reason, n in report.reasons.items())
        told.append(
            f"{report.rejected:,} were not validly described twice, and the offline evidence places them ({why})"
        )
    named = f"it named {report.groups - report.unnamed:,} of {report.groups:,} groups"
    told.append(named + (", the others carry the words that set them apart" if report.unnamed else ""))
    return "; ".join(told) + "."


def told_of_grounding(c: ModeComparison) -> str:
    """Whether the facet groups have to do with the messages, in one sentence."""
    if c.grounding is None or c.grounding_chance is None:
        return ""
    if c.grounding > c.grounding_chance:
        start = "The facet groups show in the messages' own evidence"
    else:
        start = "The facet groups do not show in the messages' own evidence: their stability counts as 0"
    return (
        f"{start} ({_percent(c.grounding)} of its variance lies between them; "
        f"groups drawn by lot reach {_percent(c.grounding_chance)})."
    )


def compared(c: ModeComparison) -> dict[str, Any]:
    """What the page shows of a comparison."""
    ways = [
        {"title": TITLES[w.way], "used": w.way == c.used, "w": w, "rows": [row_of(w, label) for label in ROWS]}
        for w in c.ways
    ]
    facets = c.ways[1].modes if len(c.ways) > 1 else ()
    table = [
        {"name": name, "cells": [{"n": n, "share": n / max(sum(row), 1)} for n in row]}
        for name, row in zip([*(m.name for m in c.ways[0].modes), None], c.table, strict=False)
        if any(row)
    ]
    return {
        "c": c,
        "ways": ways,
        "labels": list(ROWS),
        "columns": [m.name for m in facets],
        "table": table,
        "told": told_of_facets(c.hierarchy.report) if c.hierarchy else "",
        "grounding": told_of_grounding(c),
    }


def row_of(w: FoundModes, label: str) -> str:
    """What a way has in one of ROWS."""
    return {
        "modes": f"{len(w.modes)}",
        "stability of each": ", ".join(f"{m.stability:.2f}" for m in w.modes),
        "mean stability": f"{w.mean_stability:.2f}",
        "separation (by chance)": f"{w.separation:.2f} ({w.separation_null:.2f})",
        "messages placed": _percent(w.placed),
    }[label]


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"
