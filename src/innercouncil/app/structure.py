"""Apply what the person changed: merge, split and drop act on the clusters, rename and edit on the finished personas."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from innercouncil.app.findings import edited_prompt
from innercouncil.discovery.cluster import Modes
from innercouncil.model.persona import Change, Persona, SystemPrompt, WrittenPrompt
from innercouncil.model.slug import free_name, slug_of, suffixed

STRUCTURAL: Final = ("merge", "split", "drop")


class Group(NamedTuple):
    """A cluster on its way to a persona: the name it is written under if it has one, its stability, and where it comes from."""

    name: str | None
    stability: float
    origin: str
    called: str = ""
    """Its name after all renames."""
    wishes: tuple[Change, ...] = ()
    """What is changed about the finished persona, in order; `other` of a rename is the name before."""


def in_the_way(personas: Sequence[Persona], change: Change) -> tuple[str, Persona] | None:
    """The name a change would give, and the other persona that has its slug already; None where nothing is in the way."""
    there = {p.slug: p for p in personas}
    if change.slug not in there or (change.action == "merge" and change.other not in there):
        return None
    for name in _names_given(change, there[change.slug].name):
        other = there.get(slug_of(name))
        if other is not None and other.slug != change.slug and (change.action, change.other) != ("merge", other.slug):
            return name, other
    return None


def _names_given(change: Change, present: str) -> list[str]:
    if change.action == "split":
        return [suffixed(present, "A"), suffixed(present, "B")]
    return [change.value or present] if change.action in ("rename", "merge") else []


def apply_changes(
    modes: Modes,
    personas: Sequence[Persona],
    changes: Sequence[Change],
    evidence: Callable[[], npt.NDArray[np.float32]],
    seed: int,
) -> tuple[Modes, list[Group]]:
    """Clusters after all changes, applied in the order they were made, and what is left to do about their personas.

    Changes of personas that are not there are passed over. A name that another persona has by then, as after a discovery
    that found others, is numbered. Without merges, splits and drops the modes are as they were.
    """
    labels = modes.labels.copy()
    groups = {c: Group(p.name, p.stability, p.origin, p.name) for c, p in enumerate(personas)}
    wishes: dict[str, list[Change]] = {}
    for change in changes:
        at_slug = {slug_of(g.called): c for c, g in groups.items()}
        at, other = at_slug.get(change.slug), at_slug.get(change.other) if change.action == "merge" else None
        if at is None:
            continue
        group, taken = groups[at], {slug for slug, c in at_slug.items() if c not in (at, other)}
        if change.action == "drop":
            labels[labels == at] = -1
            del groups[at]
        elif other is not None and other != at:
            groups[at] = _merged(group, groups.pop(other), change, [(labels == c).sum() for c in (at, other)], taken)
            labels[labels == other] = at
        elif change.action == "split":
            rows = np.flatnonzero(labels == at)
            if len(rows) < 4:
                continue
            from sklearn.cluster import KMeans

            halves = KMeans(2, n_init=10, random_state=seed).fit_predict(evidence()[rows])
            new = max(groups) + 1
            labels[rows[halves == 1]] = new
            for half, name in zip((at, new), _names_given(change, group.called), strict=True):
                called = free_name(name, taken)
                taken.add(slug_of(called))
                groups[half] = Group(called, group.stability, "split", called)
        elif change.action == "rename":
            called = free_name(change.value, taken)
            groups[at] = group._replace(called=called)
            wish = msgspec.structs.replace(change, value=called, other=group.called)
            wishes[slug_of(called)] = [*wishes.pop(change.slug, []), wish]
        elif change.action in ("edit", "choose"):
            wishes.setdefault(change.slug, []).append(change)
    if any(c.action in STRUCTURAL for c in changes):
        modes, kept = _renumbered(modes, labels, groups, evidence())
    else:
        kept = list(groups.values())
    return modes, [g._replace(wishes=tuple(wishes.get(slug_of(g.called), ()))) for g in kept]


def _merged(first: Group, second: Group, change: Change, sizes: Sequence[int], taken: Collection[str]) -> Group:
    stability = float(np.average([first.stability, second.stability], weights=sizes))
    called = free_name(change.value or first.called, taken)
    return Group(called if change.value else first.name, stability, "merged", called)


def _renumbered(
    modes: Modes, labels: npt.NDArray[np.int32], groups: dict[int, Group], matrix: npt.NDArray[np.float32]
) -> tuple[Modes, list[Group]]:
    """The groups as modes, the largest first."""
    order = sorted(groups, key=lambda c: (-int((labels == c).sum()), c))
    renumbered = np.full_like(labels, -1)
    for new, old in enumerate(order):
        renumbered[labels == old] = new
    centres = np.array([matrix[renumbered == c].mean(axis=0) for c in range(len(order))], dtype=np.float32)
    kept = [groups[c] for c in order]
    # A name that a rename made free may be written by two: whoever was renamed is written under the new one then.
    while twice := {slug for slug, n in Counter(slug_of(g.name or "") for g in kept).items() if n > 1}:
        kept = [g._replace(name=g.called) if slug_of(g.name or "") in twice else g for g in kept]
    return modes._replace(labels=renumbered, centres=centres, stability=tuple(g.stability for g in kept)), kept


def overlay(personas: Sequence[Persona], groups: Sequence[Group], *, without: Collection[str] = ()) -> list[Persona]:
    """The personas with new names and prompts; actions named in `without` are left out."""
    return [
        _finished(p, g, [w for w in g.wishes if w.action not in without]) for p, g in zip(personas, groups, strict=True)
    ]


def _finished(offline: Persona, group: Group, wishes: Sequence[Change]) -> Persona:
    persona, generated = offline, offline.prompt
    for wish in wishes:
        if wish.action == "edit":
            prompt = edited_prompt(generated, wish.value)
            persona = msgspec.structs.replace(persona, prompt=prompt, origin="edited")
        elif wish.action == "choose":
            persona = _chosen(offline, persona, wish.value)
            generated = persona.prompt
        else:
            prompt = _renamed(persona.prompt, wish.other, wish.value)
            persona = msgspec.structs.replace(persona, name=wish.value, prompt=prompt)
            generated = _renamed(generated, wish.other, wish.value)
    prompt = _renamed(persona.prompt, persona.name, group.called)
    return msgspec.structs.replace(persona, slug=slug_of(group.called), name=group.called, prompt=prompt)


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
