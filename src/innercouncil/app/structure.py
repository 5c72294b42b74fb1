"""Apply what the person changed: merge, split and drop act on the clusters, rename and edit on the finished personas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from innercouncil.app.findings import edited_prompt
from innercouncil.discovery.cluster import Modes
from innercouncil.model.persona import Change, Persona, SystemPrompt, WrittenPrompt
from innercouncil.model.slug import slug_of


class Group(NamedTuple):
    """A cluster on its way to a persona: its name if it has one, its stability, and where it comes from."""

    name: str | None
    stability: float
    origin: str


def apply_structure(
    modes: Modes,
    personas: Sequence[Persona],
    changes: Sequence[Change],
    evidence: Callable[[], npt.NDArray[np.float32]],
    seed: int,
) -> tuple[Modes, list[Group]]:
    """Clusters after all merges, splits and drops; changes of personas that are not there are passed over."""
    labels = modes.labels.copy()
    groups: dict[int, Group] = {c: Group(p.name, p.stability, p.origin) for c, p in enumerate(personas)}
    slugs = {p.slug: c for c, p in enumerate(personas)}
    for change in changes:
        at = slugs.get(change.slug)
        if at is None:
            continue
        if change.action == "rename":
            slugs[slug_of(change.value)] = slugs.pop(change.slug)
        elif change.action == "drop":
            labels[labels == at] = -1
            del groups[at], slugs[change.slug]
        elif change.action == "merge" and (other := slugs.get(change.other)) is not None and other != at:
            sizes = [(labels == at).sum(), (labels == other).sum()]
            stability = float(np.average([groups[at].stability, groups[other].stability], weights=sizes))
            labels[labels == other] = at
            groups[at] = Group(change.value or groups[at].name, stability, "merged")
            del groups[other], slugs[change.slug], slugs[change.other]
            slugs[slug_of(groups[at].name or "")] = at
        elif change.action == "split":
            rows = np.flatnonzero(labels == at)
            if len(rows) < 4:
                continue
            from sklearn.cluster import KMeans

            halves = KMeans(2, n_init=10, random_state=seed).fit_predict(evidence()[rows])
            new = max(groups) + 1
            labels[rows[halves == 1]] = new
            name = groups[at].name
            groups[at] = Group(f"{name} A", groups[at].stability, "split")
            groups[new] = Group(f"{name} B", groups[at].stability, "split")
            del slugs[change.slug]
            slugs |= {slug_of(f"{name} A"): at, slug_of(f"{name} B"): new}
    order = sorted(groups, key=lambda c: (-int((labels == c).sum()), c))
    renumbered = np.full_like(labels, -1)
    for new, old in enumerate(order):
        renumbered[labels == old] = new
    matrix = evidence()
    centres = np.array([matrix[renumbered == c].mean(axis=0) for c in range(len(order))], dtype=np.float32)
    kept = [groups[c] for c in order]
    return modes._replace(labels=renumbered, centres=centres, stability=tuple(g.stability for g in kept)), kept


def overlay(personas: Sequence[Persona], changes: Sequence[Change]) -> list[Persona]:
    """The personas with new names and edited prompts."""
    out = {p.slug: p for p in personas}
    generated = {p.slug: p.prompt for p in personas}
    offline = {p.slug: p for p in personas}
    for change in changes:
        persona = out.get(change.slug)
        if persona is None:
            continue
        if change.action == "edit":
            prompt = edited_prompt(generated[change.slug], change.value)
            out[change.slug] = msgspec.structs.replace(persona, prompt=prompt, origin="edited")
        elif change.action == "choose":
            out[change.slug] = chosen = _chosen(offline[change.slug], persona, change.value)
            generated[change.slug] = chosen.prompt
        elif change.action == "rename":
            slug = slug_of(change.value)
            offline[slug] = offline.pop(change.slug)
            prompt = _renamed(persona.prompt, persona.name, change.value)
            renamed = msgspec.structs.replace(persona, slug=slug, name=change.value, prompt=prompt)
            out = {(slug if s == change.slug else s): (renamed if s == change.slug else p) for s, p in out.items()}
            generated[slug] = _renamed(generated.pop(change.slug), persona.name, change.value)
    return list(out.values())


def _chosen(offline: Persona, present: Persona, value: str) -> Persona:
    """The persona with the prompt a model wrote, or with the offline one; it keeps the name it has."""
    if not value:
        prompt = _renamed(offline.prompt, offline.name, present.name)
        return msgspec.structs.replace(present, prompt=prompt, description=offline.description, origin=offline.origin)
    written = msgspec.json.decode(value, type=WrittenPrompt)
    prompt = _renamed(written.prompt, written.name, present.name)
    return msgspec.structs.replace(present, prompt=prompt, description=written.description, origin="model")


def _renamed(prompt: SystemPrompt, old: str, new: str) -> SystemPrompt:
    return msgspec.structs.replace(prompt, text=prompt.text.replace(f"You are {old},", f"You are {new},", 1))
