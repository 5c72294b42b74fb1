"""The same facts in the terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from innercouncil.model.conversation import ImportReport
from innercouncil.model.facets import ModeComparison
from innercouncil.model.persona import Discovery, Persona
from innercouncil.model.steering import STEERING
from innercouncil.reporting.page import times
from innercouncil.reporting.ways import ROWS, TITLES, row_of, told_of_facets, told_of_grounding

# Whole escape sequences (CSI, OSC and the other string commands, two-character ones), then whatever control is left.
_ESCAPE_RE: Final = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]{0,2000}(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]"
)
_CONTROL_RE: Final = re.compile(f"[\\t\\n{STEERING}]")
_MONTH_RE: Final = re.compile(r"\d{4}-(?:0[1-9]|1[0-2])")
_BLOCKS: Final = "▁▂▃▄▅▆▇█"
MAX_TREND: Final = 48
"""Months drawn in the terminal, the latest ones."""
QUOTE_CHARS: Final = 220


def print_summary(
    console: Console, discovery: Discovery, report: ImportReport, files: Mapping[str, Path],
    comparison: ModeComparison | None = None,
) -> None:  # fmt: skip
    """Print what was found. Control characters of the export never reach the terminal."""
    console.print(_plain(discovery.analysis.verdict, "bold"))
    console.print(_plain(_read(report), "dim"))
    for persona in discovery.personas:
        title = Text.assemble((safe(persona.name), "bold"), f"  {_percent(persona.share)}")
        body = _body(persona, blocks=console.encoding.lower().startswith("utf"))
        console.print(Panel(body, title=title, title_align="left", padding=(0, 1)))
    if len(discovery.personas) > 1:
        _print_tables(console, discovery)
    if comparison is not None:
        print_comparison(console, comparison)
    _print_left_out(console, discovery, report)
    console.print()
    width = max((len(name) for name in files), default=0)
    for name, path in files.items():
        console.print(_plain(f"{name:<{width}}  {path}"), soft_wrap=True)


def safe(text: str) -> str:
    """The text on one line, without escape sequences, control characters and marks that turn its direction."""
    return _CONTROL_RE.sub(" ", _ESCAPE_RE.sub("", text))


def shortened(text: str) -> str:
    """The beginning of a quote, at most `QUOTE_CHARS` characters, cut between words."""
    return text if len(text) <= QUOTE_CHARS else text[:QUOTE_CHARS].rsplit(None, 1)[0] + " …"


def _plain(text: str, style: str = "") -> Text:
    return Text(safe(text), style=style)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def _read(report: ImportReport) -> str:
    return (
        f"{report.conversations:,} conversations, {report.messages:,} messages, {report.user_messages:,} of them yours "
        f"({report.user_chars:,} characters; {report.format})"
    )


def _body(p: Persona, *, blocks: bool) -> Text:
    text = _plain(p.description)
    facts = (
        f"{p.slug} · {p.size:,} messages · {p.verdict} ({p.stability:.2f}) · "
        f"{_percent(p.ambiguous_share)} close to another · prompt {p.prompt.tokens:,} tokens"
    )
    text.append("\n").append(_plain(facts, "dim"))
    labels = ", ".join(
        f"{x.label.replace('_', ' ')} {_percent(x.share)} ({times(x.lift)})"
        for x in p.labels
        if x.share >= 0.1 and x.lift >= 1.1
    )
    if labels:
        text.append("\nmore than the rest: ").append(_plain(labels))
    if p.phrases:
        text.append("\nsays: ").append(_plain(", ".join(f"“{f.text}” ({times(f.lift)})" for f in p.phrases[:5])))
    if blocks and (trend := _trend(p.months)):
        text.append("\n").append(_plain(trend, "cyan"))
    if p.exemplars:
        text.append("\n").append(_plain(f"“{shortened(p.exemplars[0].text)}”", "italic"))
    return text


def _trend(months: Mapping[str, int]) -> str:
    """Block characters, a month each with the empty ones, between the first and the last month drawn."""
    dated = sorted(m for m in months if _MONTH_RE.fullmatch(m))
    if not dated:
        return ""
    first, last = (12 * int(m[:4]) + int(m[5:]) - 1 for m in (dated[0], dated[-1]))
    names = [f"{m // 12:04d}-{m % 12 + 1:02d}" for m in range(max(first, last - MAX_TREND + 1), last + 1)]
    highest = max(months.get(m, 0) for m in names)
    if len(names) < 2 or highest <= 0:
        return ""
    bars = "".join(_BLOCKS[round(7 * n / highest)] if (n := months.get(m, 0)) > 0 else " " for m in names)
    return f"{names[0]} {bars} {names[-1]}"


def _print_tables(console: Console, discovery: Discovery) -> None:
    personas = discovery.personas
    topics = sorted({t for p in personas for t in discovery.topic_by_persona.get(p.slug, {})})
    console.print(
        _shares("topics", personas, discovery.topic_by_persona, topics, [t.replace("_", "/") for t in topics])
    )
    console.print(
        _shares("next is", personas, discovery.transitions, [p.slug for p in personas], [p.name for p in personas])
    )
    told = ", ".join(
        f"{c.k} ({min(c.stability, default=0):.2f}{', taken' if c.k == discovery.analysis.k else ''})"
        for c in discovery.analysis.candidates
    )
    if told:
        console.print(_plain(f"modes tried (weakest stability): {told}", "dim"))
    leak = ", ".join(f"{name} {value:.2f}" for name, value in discovery.analysis.leak.items())
    if leak:
        console.print(_plain(f"what else they could be (0 nothing, 1 the same): {leak}", "dim"))


def _shares(
    title: str,
    personas: Sequence[Persona],
    table: Mapping[str, Mapping[str, int]],
    columns: Sequence[str],
    heads: Sequence[str],
) -> Table:
    """Each persona's row of `table` in percent."""
    out = Table(box=None, header_style="dim", padding=(0, 1, 0, 0))
    out.add_column(Text(title), overflow="fold")
    for head in heads:
        out.add_column(_plain(head), justify="right", overflow="fold")
    for p in personas:
        row = table.get(p.slug, {})
        total = sum(row.values()) or 1
        out.add_row(_plain(p.name), *(_percent(row.get(c, 0) / total) for c in columns))
    return out


def print_comparison(console: Console, c: ModeComparison) -> None:
    """Print the ways of finding modes side by side."""
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("")
    for w in c.ways:
        table.add_column(TITLES[w.way] + (" (used)" if w.way == c.used else ""), justify="right", overflow="fold")
    for label in ROWS:
        table.add_row(label, *(row_of(w, label) for w in c.ways))
    if any(w.gold_ari is not None for w in c.ways):
        table.add_row(f"ARI against {c.gold_messages:,} known", *(f"{w.gold_ari or 0:.3f}" for w in c.ways))
        table.add_row("V-measure against them", *(f"{w.gold_v or 0:.3f}" for w in c.ways))
    console.print(table)
    for w in c.ways:
        console.print(_plain(f"{TITLES[w.way]}: {w.verdict}", "dim"))
    if c.hierarchy is None:
        return
    console.print(_plain(f"agreement of the two over {c.messages:,} messages: ARI {c.ari:.2f}, AMI {c.ami:.2f}"))
    console.print(_crossed(c))
    console.print(_plain(told_of_grounding(c), "dim"))
    console.print(_plain(told_of_facets(c.hierarchy.report), "dim"))
    for group in c.hierarchy.groups:
        children = ", ".join(f"{g.name} ({g.size:,})" for g in group.children)
        console.print(_plain(f"{group.name} ({group.size:,} conversations): {children}", "dim"))


def _crossed(c: ModeComparison) -> Table:
    """Messages by offline mode and facet group."""
    table = Table(box=None, header_style="dim", padding=(0, 1, 0, 0))
    table.add_column(Text("messages"), overflow="fold")
    for name in (*(m.name for m in c.ways[1].modes), "no group"):
        table.add_column(_plain(name), justify="right", overflow="fold")
    for name, row in zip((*(m.name for m in c.ways[0].modes), "no mode"), c.table, strict=True):
        if any(row):
            table.add_row(_plain(name), *(f"{n:,}" if n else "–" for n in row))
    return table


def _print_left_out(console: Console, discovery: Discovery, report: ImportReport) -> None:
    for reason, count in discovery.analysis.unassigned.items():
        console.print(_plain(f"without a persona: {count:,} × {reason}", "dim"))
    for reason, count in report.skipped.items():
        console.print(_plain(f"left out: {count:,} × {reason}", "dim"))
    for warning in report.warnings:
        console.print(_plain(f"note: {warning}", "yellow"))
    if discovery.redaction.counts:
        told = ", ".join(f"{n:,} × {kind}" for kind, n in discovery.redaction.counts.items())
        console.print(_plain(f"redacted in quotes and prompts: {told}", "dim"))
