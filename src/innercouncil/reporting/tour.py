"""A first look at what was found, on one screen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from innercouncil.model.conversation import ImportReport
from innercouncil.model.persona import Discovery, Persona
from innercouncil.reporting.summary import safe, shortened

PROMPT_LINES: Final = 6
"""Lines of a system prompt that are shown."""


def print_tour(console: Console, discovery: Discovery, report: ImportReport, files: Mapping[str, Path]) -> None:
    """Print the modes with a quote each, the beginning of a prompt, and where the files are."""
    months = sorted(month for p in discovery.personas for month in p.months)
    span = f" from {months[0]} to {months[-1]}" if months else ""
    console.print(
        Text(f"{report.conversations:,} conversations{span}, {report.user_messages:,} messages of the person.")
    )
    console.print(Text(safe(discovery.analysis.verdict), style="bold"))
    for persona in discovery.personas:
        console.print()
        _print_mode(console, persona)
    if discovery.personas:
        console.print()
        _print_prompt(console, discovery.personas[0])
    console.print()
    width = max((len(name) for name in files), default=0)
    for name, path in files.items():
        console.print(Text(safe(f"{name:<{width}}  {path}")), soft_wrap=True)


def _print_mode(console: Console, persona: Persona) -> None:
    console.print(Text.assemble((safe(persona.name), "bold"), f"  {persona.size:,} messages ({persona.share:.0%})"))
    console.print(_indented(safe(persona.description)))
    if persona.exemplars:
        console.print(_indented(f"“{safe(shortened(persona.exemplars[0].text))}”", "italic"))


def _print_prompt(console: Console, persona: Persona) -> None:
    lines = persona.prompt.text.splitlines()
    console.print(Text(f"The system prompt of {safe(persona.name)} ({persona.prompt.tokens} tokens) begins:"))
    for line in lines[:PROMPT_LINES]:
        console.print(_indented(safe(line), "dim"))


def _indented(text: str, style: str = "") -> Padding:
    return Padding(Text(text, style=style), (0, 0, 0, 2))
