"""The same facts in the terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from innercouncil.model.conversation import ImportReport
from innercouncil.model.persona import Discovery, Persona

_CONTROL_RE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def print_summary(console: Console, discovery: Discovery, report: ImportReport, files: Mapping[str, Path]) -> None:
    """Print what was found. Control characters of the export never reach the terminal."""
    analysis = discovery.analysis
    console.print(Text(safe(analysis.verdict), style="bold"))
    console.print(
        Text(
            f"{report.conversations:,} conversations, {report.messages:,} messages, {report.user_messages:,} of them yours "
            f"({report.user_chars:,} characters; {safe(report.format)})",
            style="dim",
        )
    )
    for persona in discovery.personas:
        console.print(
            Panel(_body(persona), title=Text(safe(persona.name), style="bold"), title_align="left", padding=(0, 1))
        )
    if len(discovery.personas) > 1:
        console.print(_topics(discovery))
    for reason, count in [*analysis.unassigned.items(), *report.skipped.items()]:
        console.print(Text(f"left out: {count:,} × {safe(reason)}", style="dim"))
    for warning in report.warnings:
        console.print(Text(f"note: {safe(warning)}", style="yellow"))
    if discovery.redaction.counts:
        told = ", ".join(f"{n} × {k}" for k, n in discovery.redaction.counts.items())
        console.print(Text(f"redacted in quotes and prompts: {told}", style="dim"))
    console.print()
    for name, path in files.items():
        console.print(Text(f"{name:<9} {path}"), soft_wrap=True)


def _body(p: Persona) -> Text:
    text = Text(safe(p.description))
    text.append(
        f"\n{p.slug} · {p.size:,} messages · {p.verdict} ({p.stability:.2f}) · "
        f"{100 * p.ambiguous_share:.0f}% close to another · prompt {p.prompt.tokens} tokens",
        style="dim",
    )
    if p.exemplars:
        text.append(f"\n“{safe(p.exemplars[0].text)}”", style="italic")
    return text


def _topics(discovery: Discovery) -> Table:
    topics = sorted({t for row in discovery.topic_by_persona.values() for t in row})
    table = Table(box=None, header_style="dim")
    table.add_column("persona")
    for topic in topics:
        table.add_column(topic.replace("_", "/"), justify="right")
    for p in discovery.personas:
        row = discovery.topic_by_persona.get(p.slug, {})
        total = sum(row.values()) or 1
        table.add_row(Text(safe(p.name)), *(f"{100 * row.get(t, 0) / total:.0f}%" for t in topics))
    return table


def safe(text: str) -> str:
    """The text without control characters and without marks that turn its direction."""
    return _CONTROL_RE.sub(" ", text)
