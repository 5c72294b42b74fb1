"""The report: one HTML page that needs nothing but itself."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

import jinja2
from markupsafe import Markup

from innercouncil.model.conversation import ImportReport
from innercouncil.model.facets import ModeComparison
from innercouncil.model.persona import CandidateK, Claim, ClusterAnalysis, Discovery, LabelLift, Persona
from innercouncil.reporting.ways import compared

COLOURS: Final = (
    ("#1f43d0", "#5986fc"), ("#e06200", "#f76c17"), ("#3f8f7e", "#72fad6"),
    ("#9a237c", "#b6849d"), ("#5b4314", "#fed30a"), ("#ab7ae8", "#a9bafe"),
)  # fmt: skip
"""A colour per persona for light and dark pages. Searched in OKLCH for the greatest smallest distance (OKLab) to each
other and to the grey of unassigned dots, for normal sight and for protan, deutan and tritan sight (Machado et al. 2009);
at least 3:1 against the card. From the seventh persona on they repeat, with square dots."""
LOOSE: Final = ("#b4bac2", "#59626d")
"""The colour of messages without a persona."""

MAX_POINTS: Final = 5_000
MAX_MONTHS: Final = 72
"""With more months than this the trend is drawn by year."""
MAX_EVIDENCE: Final = 24
"""Ids shown for a claim; the rest is counted."""
LONG_TEXT: Final = 420

FORMATS: Final = {
    "chatgpt": "ChatGPT", "claude": "Claude", "gemini": "Gemini", "openwebui": "Open WebUI", "lmstudio": "LM Studio",
    "jsonl": "JSON lines",
}  # fmt: skip
STABILITY_WORDS: Final = {
    "highly stable": "It comes back almost unchanged whenever your conversations are drawn again at random. Rely on it.",
    "stable": "It comes back whenever your conversations are drawn again at random; messages at its edges change sides.",
    "tentative": "There is a pattern, but which messages belong to it changes from draw to draw. Take it as a hint.",
    "unstable": "It falls apart when your conversations are drawn again at random. Do not build on it.",
    "by hand": "You shaped this persona by hand; the number says how well the data alone would find it again.",
}

# Anything a browser or an editor may act on instead of showing it; tab and newline stay.
_CONTROL_RE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_MONTH_RE: Final = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")


def render_report(
    discovery: Discovery,
    report: ImportReport,
    *,
    generated: str,
    version: str,
    comparison: ModeComparison | None = None,
) -> str:
    """The page as text; same arguments, same bytes. Everything from the export and from a model is escaped."""
    personas = discovery.personas
    texts = {e.id: e.text for p in personas for e in p.exemplars}
    dated = sorted({m for p in personas for m in p.months if _MONTH_RE.fullmatch(m)})
    months = _axis(dated)
    topics = sorted({t for p in personas for t in discovery.topic_by_persona.get(p.slug, {})})
    slugs = [p.slug for p in personas]
    points = _points(discovery)
    return _template().render(
        personas=[_card(p, i, months, texts) for i, p in enumerate(personas)],
        analysis=discovery.analysis,
        candidates=[_candidate(c, discovery.analysis) for c in discovery.analysis.candidates],
        leak=[_leak(name, value) for name, value in discovery.analysis.leak.items()],
        ways=compared(comparison) if comparison is not None and comparison.hierarchy is not None else None,
        report=report,
        format=FORMATS.get(report.format, report.format),
        skipped=sum(report.skipped.values()),
        unassigned=sum(discovery.analysis.unassigned.values()),
        generated=generated,
        version=version,
        period=(dated[0], dated[-1]) if dated else None,
        topics=topics,
        topic_rows=[_shares(p.slug, topics, discovery.topic_by_persona) for p in personas],
        transition_rows=[_shares(p.slug, slugs, discovery.transitions) for p in personas],
        redaction=discovery.redaction,
        redacted_messages=len({m for m, _, _ in discovery.redaction.places}),
        colours=COLOURS,
        loose=LOOSE,
        points=len(points),
        all_points=len(discovery.map),
        loose_points=sum(1 for _, _, group in points if group < 0),
        map_data=_as_script_data(
            {"names": [_clean(p.name) for p in personas], "points": points, "colours": COLOURS, "loose": LOOSE}
        ),
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("innercouncil.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_clean,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = _percent
    environment.filters["times"] = times
    environment.filters["thousands"] = lambda x: f"{x:,}"
    environment.filters["words"] = lambda x: str(x).replace("math_science", "math and science").replace("_", " ")
    environment.filters["number"] = lambda x, digits=2: f"{x:.{digits}f}"
    return environment.get_template("report.html.jinja")


def _clean(value: Any) -> Any:
    """A text without control characters; anything else as it is."""
    return _CONTROL_RE.sub(" ", value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _as_script_data(value: Any) -> Markup:
    """JSON that cannot end the script element it stands in, nor be read as HTML (U+2028 and U+2029 are escaped as ASCII)."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704 - escaped above


def times(lift: float) -> str:
    """A lift with as many digits as it deserves: "1.8×", "18×", "over 100×"."""
    return "over 100×" if lift >= 100 else f"{lift:.0f}×" if lift >= 9.95 else f"{lift:.1f}×"


def _percent(share: float) -> str:
    return "under 1%" if 0 < share < 0.005 else f"{100 * share:.0f}%"


def _points(discovery: Discovery) -> list[tuple[int, int, int]]:
    """(x, y, persona or -1) in thousandths of the map's square, at most MAX_POINTS, evenly taken."""
    index = {p.slug: i for i, p in enumerate(discovery.personas)}
    found = [p for p in discovery.map if math.isfinite(p.x) and math.isfinite(p.y)]
    step = max(1.0, len(found) / MAX_POINTS)
    taken = [found[int(i * step)] for i in range(min(len(found), MAX_POINTS))]
    if not taken:
        return []
    left, right = min(p.x for p in taken), max(p.x for p in taken)
    low, high = min(p.y for p in taken), max(p.y for p in taken)
    wide, tall = (right - left) or 1.0, (high - low) or 1.0
    return [
        (
            round(1000 * (p.x - left) / wide) if right > left else 500,
            round(1000 * (high - p.y) / tall) if high > low else 500,
            -1 if p.slug is None else index.get(p.slug, -1),
        )
        for p in taken
    ]


def _card(persona: Persona, index: int, months: Sequence[str], texts: Mapping[str, str]) -> dict[str, Any]:
    by_label = (
        ("act", "What it does", persona.acts),
        ("topic", "What about", persona.topics),
        ("tone", "How it sounds", persona.tones),
    )
    trend = dict.fromkeys(months, 0)
    for month, n in persona.months.items():
        key = month if month in trend else month[:4]
        trend[key] = trend.get(key, 0) + n
    return {
        "p": persona,
        "index": index,
        "hue": index % len(COLOURS),
        "square": index >= len(COLOURS),
        "meaning": STABILITY_WORDS[persona.verdict],
        "months": _bars(trend.items()) if any(trend.values()) else [],
        "hours": _bars((f"{h:02d}:00", n) for h, n in enumerate(persona.hours)) if any(persona.hours) else [],
        "labels": [{"title": t, "rows": _labels(persona.labels, f, counts, persona.size)} for f, t, counts in by_label],
        "claims": [{"claim": c, "against": _against(c), **_evidence(c.evidence, texts)} for c in persona.claims],
        "phrases": [{"phrase": f, **_evidence(f.evidence, texts)} for f in persona.phrases],
        "lines": [{"line": x, **_evidence(x.evidence, texts)} for x in persona.prompt.lines],
        "exemplars": [{"e": e, "date": _date(e.time), "start": _start(e.text)} for e in persona.exemplars],
    }


def _labels(labels: Sequence[LabelLift], field: str, counts: Mapping[str, int], size: int) -> list[dict[str, Any]]:
    """The labels of a field that matter, from the lifts where they are known, else from the counts."""
    rows: list[tuple[str, float, float | None]] = [(x.label, x.share, x.lift) for x in labels if x.field == field]
    if not rows:
        rows = [(name, n / max(size, 1), None) for name, n in counts.items()]
    return [{"label": name, "share": share, "lift": lift} for name, share, lift in rows if share >= 0.03][:4]


def _evidence(ids: Sequence[str], texts: Mapping[str, str]) -> dict[str, Any]:
    """Evidence with a text first, then bare ids, then how many more there are."""
    known = [texts[i] for i in ids if i in texts]
    bare = [i for i in ids if i not in texts]
    shown = bare[: max(0, MAX_EVIDENCE - len(known))]
    return {"n": len(ids), "known": known, "ids": shown, "more": len(bare) - len(shown)}


def _against(claim: Claim) -> str:
    if claim.share is None:
        return ""
    return _percent(claim.share) + (f", elsewhere {_percent(claim.elsewhere)}" if claim.elsewhere is not None else "")


def _start(text: str) -> str | None:
    """The beginning of a long text, None for one that is shown whole."""
    return None if len(text) <= LONG_TEXT else text[: LONG_TEXT - 60].rsplit(None, 1)[0] + " …"


def _date(time: float | None) -> str:
    try:
        return "" if time is None else f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d}"
    except (OverflowError, OSError, ValueError):
        return ""


def _axis(dated: Sequence[str]) -> list[str]:
    """Every month from the first to the last of sorted months, the empty ones too; years where that would be too many."""
    if not dated:
        return []
    first, last = (12 * int(m[:4]) + int(m[5:]) - 1 for m in (dated[0], dated[-1]))
    if last - first >= MAX_MONTHS:
        return [f"{y:04d}" for y in range(first // 12, last // 12 + 1)]
    return [f"{m // 12:04d}-{m % 12 + 1:02d}" for m in range(first, last + 1)]


def _bars(values: Iterable[tuple[str, int]]) -> list[dict[str, Any]]:
    """Bars of a chart 100 high: x counts bars."""
    rows = list(values)
    highest = max((n for _, n in rows), default=0) or 1
    return [
        {"x": i, "height": round(100 * n / highest, 2), "label": label, "n": n} for i, (label, n) in enumerate(rows)
    ]


def _shares(slug: str, columns: Sequence[str], table: Mapping[str, Mapping[str, int]]) -> list[dict[str, Any]]:
    row = table.get(slug, {})
    total = sum(row.values())
    return [{"n": row.get(c, 0), "share": row.get(c, 0) / total if total else 0.0} for c in columns]


def _candidate(c: CandidateK, analysis: ClusterAnalysis) -> dict[str, Any]:
    return {
        "c": c,
        "taken": c.k == analysis.k,
        "weakest": min(c.stability, default=None),
        "mean": sum(c.stability) / len(c.stability) if c.stability else None,
        "gain": c.separation - c.separation_null,
    }


def _leak(name: str, value: float) -> dict[str, Any]:
    told = "hardly" if value < 0.1 else "a little" if value < 0.3 else "in good part" if value < 0.6 else "mostly"
    return {"name": name, "value": value, "told": told, "width": round(100 * min(max(value, 0.0), 1.0), 1)}
