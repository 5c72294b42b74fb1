"""Write a persona's system prompt out of measured habits and the person's own words, within a token budget."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from innercouncil.model.persona import Exemplar, PromptLine, SystemPrompt
from innercouncil.model.tokens import estimate_tokens
from innercouncil.prompts import template

DEFAULT_BUDGET: Final = 700
"""Tokens of a system prompt: a sixth of a 4k context."""


class Draft(NamedTuple):
    """What could go into a prompt: lines in order of importance, and example exchanges."""

    name: str
    lines: Sequence[PromptLine]
    examples: Sequence[Exemplar]


def render(name: str, lines: Sequence[PromptLine], examples: Sequence[Exemplar]) -> str:
    """The prompt's text for these lines and examples; sections appear in order of their first line."""
    sections: dict[str, list[str]] = {}
    for line in lines:
        sections.setdefault(line.section, []).append(line.text)
    text = template("persona_system").render(name=name, sections=list(sections.items()), examples=examples)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def write_prompt(draft: Draft, *, budget: int = DEFAULT_BUDGET) -> SystemPrompt:
    """The prompt with as many lines and examples as fit into `budget` tokens.

    Two examples are placed before the less important half of the lines, because a small model learns more from them.
    """
    half = max(6, len(draft.lines) // 2)
    kept: list[PromptLine] = []
    examples: list[Exemplar] = []
    left_out: list[str] = []

    def fits() -> bool:
        return estimate_tokens(render(draft.name, kept, examples)) <= budget

    def take(lines: Sequence[PromptLine]) -> None:
        for line in lines:
            kept.append(line)
            if not fits():
                kept.pop()
                left_out.append(f"{line.section}: {line.text}")

    def show(chosen: Sequence[Exemplar]) -> None:
        for example in chosen:
            examples.append(example)
            if not fits():
                examples.pop()
                left_out.append(f"example {example.id}")

    take(draft.lines[:half])
    show(draft.examples[:2])
    take(draft.lines[half:])
    show(draft.examples[2:3])
    order = {id(line): i for i, line in enumerate(draft.lines)}
    kept.sort(key=lambda line: order[id(line)])
    text = render(draft.name, kept, examples)
    lines = [*kept, *(PromptLine(section="Examples", text=e.text, evidence=(e.id,)) for e in examples)]
    return SystemPrompt(
        text=text, tokens=estimate_tokens(text), budget=budget, lines=tuple(lines), left_out=tuple(left_out)
    )
