"""The person's changes on clusters: in the order they were made, whatever discovery finds, no two personas share a slug."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from innercouncil.app.structure import STRUCTURAL, apply_changes, overlay
from innercouncil.discovery.cluster import Modes
from innercouncil.discovery.naming import NameParts, name_personas
from innercouncil.model.persona import Change, Persona, SystemPrompt
from innercouncil.model.slug import slug_of

NAMES = ["Maker", "Poet", "Solver", "Seeker"]


def persona(name: str) -> Persona:
    prompt = SystemPrompt(text=f"You are {name}, a part of me.\n", tokens=9, budget=99, lines=())
    return Persona(
        slug=slug_of(name), name=name, description="", claims=(), size=8, share=0.25, stability=0.5, verdict="stable",
        ambiguous_share=0.0, labels=(), phrases=(), exemplars=(), topics={}, acts={}, tones={}, months={}, hours=(0,) * 24,
        median_words=9.0, question_share=0.0, pasted_share=0.0, prompt=prompt,
    )  # fmt: skip


def after(*changes: Change, names: list[str] = NAMES) -> list[Persona]:
    """The personas as the stage makes them: eight messages each at first, named as discovery names what has a name given."""
    k = len(names)
    labels = np.repeat(np.arange(k, dtype=np.int32), 8)
    modes = Modes(labels, np.zeros((k, 2), np.float32), np.ones(8 * k, np.float32), (0.5,) * k, (), k, "", 0, 0)
    matrix = np.random.default_rng(0).normal(size=(8 * k, 2)).astype(np.float32)
    modes, groups = apply_changes(modes, [persona(n) for n in names], changes, lambda: matrix, 0)
    empty = NameParts([], {}, {}, [])
    built = [persona(n) for n in name_personas([empty] * len(groups), given=[g.name for g in groups])]
    if any(c.action in STRUCTURAL for c in changes):
        assert len(modes.centres) == len(groups) == len(set(modes.labels.tolist()) - {-1})
    return overlay(built, groups)


def rename(slug: str, value: str) -> Change:
    return Change(action="rename", slug=slug, value=value)


def merge(slug: str, other: str, value: str = "") -> Change:
    return Change(action="merge", slug=slug, other=other, value=value)


def split(slug: str) -> Change:
    return Change(action="split", slug=slug)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ([rename("poet", "Bard"), split("bard")], ["Maker", "Solver", "Seeker", "Bard A", "Bard B"]),
        ([rename("poet", "Bard"), merge("bard", "solver", "Poet")], ["Poet", "Maker", "Seeker"]),
        ([rename("poet", "Bard"), merge("bard", "solver"), merge("bard", "seeker")], ["Bard", "Maker"]),
        ([rename("maker", "Doer"), merge("poet", "solver", "Maker")], ["Maker", "Doer", "Seeker"]),
        ([rename("maker", "Doer"), rename("poet", "Maker"), split("solver")], ["Doer", "Maker", "Seeker", "Solver A", "Solver B"]),
        ([merge("maker", "poet", "Solver")], ["Solver 2", "Solver", "Seeker"]),
        ([Change(action="rename", slug="maker", value="Poet", other="poet")], ["Poet 2", "Poet", "Solver", "Seeker"]),
        ([rename("maker", "Poet")], ["Poet 2", "Poet", "Solver", "Seeker"]),
        ([rename("maker", "Poet A"), split("poet")], ["Poet A", "Solver", "Seeker", "Poet A 2", "Poet B"]),
        ([split("maker"), merge("maker-a", "maker-b", "Maker")], ["Maker", "Poet", "Solver", "Seeker"]),
        ([Change(action="drop", slug="maker"), rename("poet", "Maker"), split("maker")], ["Solver", "Seeker", "Maker A", "Maker B"]),
    ],
)  # fmt: skip
def test_changes_are_applied_in_the_order_they_were_made(changes: list[Change], names: list[str]) -> None:
    found = after(*changes)
    assert sorted(p.name for p in found) == sorted(names)
    assert {p.slug: p.prompt.text for p in found} == {slug_of(n): f"You are {n}, a part of me.\n" for n in names}


def test_a_prompt_written_before_a_rename_follows_it_and_not_the_name() -> None:
    mine = Change(action="edit", slug="maker", value="You are Maker, and terse.\n")
    found = {p.slug: p.prompt.text for p in after(mine, rename("maker", "Doer"), merge("poet", "solver", "Maker"))}
    assert found["doer"] == "You are Doer, and terse.\n"
    assert found["maker"] == "You are Maker, a part of me.\n"


names = st.sampled_from([*NAMES, "Maker A", "Poet 2", "日本", "x" * 70, "x" * 59])
slugs = st.sampled_from([slug_of(n) + end for n in [*NAMES, "日本", "x" * 60] for end in ("", "-a", "-b", "-2")])
any_change = st.builds(
    Change, action=st.sampled_from(["rename", "merge", "split", "drop", "edit"]), slug=slugs, value=names | st.just(""), other=slugs
)  # fmt: skip


@given(st.lists(any_change.filter(lambda c: c.action != "rename" or c.value), max_size=12))
def test_whatever_was_changed_no_two_personas_share_a_slug(changes: list[Change]) -> None:
    found = after(*changes)
    assert len({p.slug for p in found}) == len(found)
    assert all(p.slug == slug_of(p.name) for p in found)
