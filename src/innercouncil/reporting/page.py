"""The report: one HTML page that needs nothing but itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import jinja2
from markupsafe import Markup

from innercouncil.model.conversation import ImportReport
from innercouncil.model.persona import Discovery, LabelLift, Persona

COLOURS: Final = (
    ("#0072b2", "#56a8e0"), ("#c25100", "#ff9f52"), ("#007a5a", "#35c79b"), ("#9c4f96", "#d696d0"), ("#8a6d00", "#e6c229"),
    ("#b3263e", "#ff7b8d"), ("#4b5563", "#a9b3c1"), ("#3f51b5", "#9fa8ff"), ("#5d7a00", "#b4d455"), ("#7a4b2a", "#d3a27f"),
    ("#00778a", "#4fd0e3"), ("#6a3fa0", "#b79af0"),
)  # fmt: skip
"""A colour per persona for light and dark pages, after Okabe and Ito's colour-blind safe set."""

SHOWN_LABELS: Final = 4


def render_report(discovery: Discovery, report: ImportReport, *, generated: str, version: str) -> str:
    """The page as text; same arguments, same bytes. Everything from the export is escaped."""
    personas = [_card(p, i) for i, p in enumerate(discovery.personas)]
    topics = sorted({t for row in discovery.topic_by_persona.values() for t in row})
    return _template().render(
        personas=personas,
        analysis=discovery.analysis,
        report=report,
        generated=generated,
        version=version,
        period=_period(discovery.personas),
        topics=topics,
        topic_rows=[_topic_row(p, discovery, topics) for p in discovery.personas],
        transitions=[_transition_row(p, discovery) for p in discovery.personas],
        redaction=discovery.redaction,
        redacted_messages=len({m for m, _, _ in discovery.redaction.places}),
        colours=COLOURS,
        map_data=_as_script_data(_map_data(discovery)),
        unassigned=sum(discovery.analysis.unassigned.values()),
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("innercouncil.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda x: f"{100 * x:.0f}%"
    environment.filters["thousands"] = lambda x: f"{x:,}"
    environment.filters["words"] = lambda x: str(x).replace("_", " and " if x == "math_science" else " ")
    return environment.get_template("report.html.jinja")


def _as_script_data(value: Any) -> Markup:
    """JSON that cannot end the script element it stands in, nor be read as HTML."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704 - escaped above


def _map_data(discovery: Discovery) -> dict[str, Any]:
    index = {p.slug: i for i, p in enumerate(discovery.personas)}
    return {
        "names": [p.name for p in discovery.personas],
        "points": [[p.x, p.y, -1 if p.slug is None else index.get(p.slug, -1)] for p in discovery.map],
        "colours": [list(c) for c in COLOURS],
    }


def _card(persona: Persona, index: int) -> dict[str, Any]:
    return {
        "p": persona,
        "colour": index % len(COLOURS),
        "months": _bars(list(persona.months.items())),
        "hours": _bars([(f"{h:02d}:00", n) for h, n in enumerate(persona.hours)]),
        "labels": {f: _top(persona.labels, f) for f in ("act", "topic", "tone")},
        "texts": {e.id: e.text for e in persona.exemplars},
    }


def _top(labels: Sequence[LabelLift], field: str) -> list[LabelLift]:
    return [x for x in labels if x.field == field and x.share >= 0.03][:SHOWN_LABELS]


def _bars(values: Sequence[tuple[str, int]]) -> list[dict[str, Any]]:
    """Bars of a chart 100 high: x and width in units of one bar."""
    highest = max((n for _, n in values), default=0) or 1
    return [
        {"x": i, "height": round(100 * n / highest, 2), "label": label, "n": n} for i, (label, n) in enumerate(values)
    ]


def _period(personas: Sequence[Persona]) -> str:
    months = sorted({m for p in personas for m in p.months})
    return f"{months[0]} to {months[-1]}" if months else ""


def _topic_row(persona: Persona, discovery: Discovery, topics: Sequence[str]) -> dict[str, Any]:
    row = discovery.topic_by_persona.get(persona.slug, {})
    total = sum(row.values()) or 1
    return {"name": persona.name, "cells": [{"n": row.get(t, 0), "share": row.get(t, 0) / total} for t in topics]}


def _transition_row(persona: Persona, discovery: Discovery) -> dict[str, Any]:
    row = discovery.transitions.get(persona.slug, {})
    total = sum(row.values()) or 1
    cells = [{"n": row.get(q.slug, 0), "share": row.get(q.slug, 0) / total} for q in discovery.personas]
    return {"name": persona.name, "cells": cells}
