"""Names from what distinguishes a cluster: what it does, what about, and how; no two personas share one."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Final, NamedTuple

from innercouncil.discovery.traits import Trait
from innercouncil.model.slug import free_name, slug_of

TOPIC_SHARE: Final = 0.5
"""Share of its messages from which a topic may stand in the name."""


class NameParts(NamedTuple):
    """What a name is made of, best first."""

    traits: Sequence[Trait]
    acts: dict[str, int]
    topics: dict[str, int]
    words: Sequence[str]
    """Distinctive words of the persona, the last resort against two equal names."""


@cache
def _tables() -> dict[str, dict[str, str]]:
    return tomllib.loads(resources.files("innercouncil.prompts").joinpath("persona_names.toml").read_text("utf-8"))


def name_personas(parts: Sequence[NameParts], *, given: Sequence[str | None] | None = None) -> list[str]:
    """One name for each persona, all different by slug; names given stand, then earlier (larger) personas choose first.

    Of given names with one slug the first stands, the later ones are numbered.
    """
    fixed: list[str | None] = list(given) if given else [None] * len(parts)
    taken: set[str] = set()
    for at, given_name in enumerate(fixed):
        if given_name:
            fixed[at] = unique = free_name(given_name, taken)
            taken.add(slug_of(unique))
    names = []
    for part, fixed_name in zip(parts, fixed, strict=True):
        name = fixed_name or next(n for n in _proposals(part) if slug_of(n) not in taken)
        taken.add(slug_of(name))
        names.append(name)
    return names


def _proposals(part: NameParts) -> Sequence[str]:
    tables = _tables()
    by_lift = [t.rule.feature[4:] for t in part.traits if t.rule.feature.startswith("act:")]
    by_size = sorted(part.acts, key=lambda a: (-part.acts[a], a))
    noun = tables["noun"].get((by_lift or by_size or ["learn"])[0], "Thinker")
    total = sum(part.topics.values()) or 1
    topics = sorted(part.topics, key=lambda t: (-part.topics[t], t))
    topic = tables["topic"].get(topics[0], "") if topics and part.topics[topics[0]] / total >= TOPIC_SHARE else ""
    adjectives = [tables["adjective"][t.rule.feature] for t in part.traits if t.rule.feature in tables["adjective"]]
    words = [w.capitalize() for w in part.words]
    first = [f"{topic} {noun}"] if topic else [f"{a} {noun}" for a in adjectives[:1]]
    with_adjective = [f"{a} {topic} {noun}".replace("  ", " ") for a in adjectives]
    with_word = [f"{w} {noun}" for w in words]
    numbered = [f"{topic or 'General'} {noun} {n}" for n in range(2, 100)]
    return [*first, *with_adjective, *with_word, f"General {noun}", *numbered]
