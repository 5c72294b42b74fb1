"""Modes planted in evidence-like data are found, their number too; one cloud is called one cloud."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from innercouncil.discovery.cluster import find_modes
from innercouncil.discovery.labeller import Labeller
from innercouncil.discovery.naming import NameParts, name_personas
from innercouncil.discovery.prompt_writer import Draft, write_prompt
from innercouncil.discovery.redaction import Redactor
from innercouncil.discovery.verdict import verdict_of
from innercouncil.model.persona import PromptLine
from innercouncil.model.slug import slug_of
from innercouncil.model.tokens import estimate_tokens


def planted(k: int, seed: int = 0, spread: float = 0.12) -> tuple[np.ndarray, list[int], np.ndarray]:
    """300 square-rooted distributions around k different ones, three to a conversation."""
    rng = np.random.default_rng(seed)
    centres = np.sqrt(rng.dirichlet(np.full(20, 0.15), size=k))
    truth = np.repeat(rng.integers(0, k, 100), 3)
    points = centres[truth] + rng.normal(0, spread, (300, 20))
    return points.astype(np.float32), [i // 3 for i in range(300)], truth


@pytest.mark.parametrize("k", [3, 4, 5, 6])
def test_the_number_of_planted_modes_is_found(k):
    points, groups, truth = planted(k, seed=k)
    modes = find_modes(points, np.ones(300, np.float32), groups, bootstraps=8)
    assert modes.chosen == k
    assert all(len(set(truth[modes.labels == c])) == 1 for c in range(k))


def test_one_cloud_gets_the_verdict_that_there_are_no_separate_modes():
    rng = np.random.default_rng(0)
    points = rng.normal(0, 1, (400, 12)).astype(np.float32)
    modes = find_modes(points, np.ones(400, np.float32), [i // 3 for i in range(400)], bootstraps=6)
    assert "No separate modes" in verdict_of(modes, None)


def test_the_same_seed_gives_the_same_modes_and_a_forced_number_is_kept():
    points, groups, _ = planted(4)
    once, again = (
        find_modes(points, np.ones(300, np.float32), groups, clusters=5, seed=3, bootstraps=4) for _ in range(2)
    )
    assert (once.labels == again.labels).all()
    assert once.chosen == 5
    assert all(0 <= s <= 1 for s in once.stability)


def test_clusters_are_numbered_by_size():
    points, groups, _ = planted(4)
    sizes = np.bincount(find_modes(points, np.ones(300, np.float32), groups, bootstraps=4).labels)
    assert list(sizes) == sorted(sizes, reverse=True)


def test_the_labeller_survives_saving_and_gives_the_same_bytes():
    labeller = Labeller.load()
    data = labeller.save()
    assert Labeller.restore(data).save() == data
    assert len(data) < 8_000_000


acts = st.dictionaries(st.sampled_from(["learn", "build", "write", "solve"]), st.integers(0, 50), max_size=4)
topics = st.dictionaries(st.sampled_from(["software", "creative"]), st.integers(0, 50), max_size=2)


@given(
    st.lists(
        st.builds(NameParts, st.just(()), acts, topics, st.lists(st.text(min_size=1, max_size=8), max_size=3)),
        max_size=8,
    )
)
def test_no_two_personas_share_a_name(parts):
    slugs = [slug_of(n) for n in name_personas(parts)]
    assert len(set(slugs)) == len(slugs)


@given(st.lists(st.text(min_size=1, max_size=200), max_size=30), st.integers(120, 900))
def test_a_prompt_never_exceeds_its_budget(texts, budget):
    lines = [PromptLine(section="Do", text=t, evidence=("m",)) for t in texts]
    prompt = write_prompt(Draft("Name", lines, ()), budget=budget)
    assert prompt.tokens == estimate_tokens(prompt.text) <= budget


@pytest.mark.parametrize(
    ("kind", "text", "secret"),
    [
        ("e-mail", "write to jo.doe@example.com today", "jo.doe@example.com"),
        ("phone", "call (415) 555-2671 now", "555-2671"),
        ("secret", "use AKIAIOSFODNN7EXAMPLE as key", "AKIAIOSFODNN7EXAMPLE"),
        ("secret", "my password is hunter2x!", "hunter2x!"),
        ("number", "card 4111 1111 1111 1111", "4111 1111 1111 1111"),
        ("number", "iban DE89 3704 0044 0532 0130 00", "DE89"),
        ("number", "ssn 536-22-1234", "536-22-1234"),
        ("URL", "see https://x.y/z?token=abc", "token=abc"),
        ("IP address", "server 10.0.0.12:8080", "10.0.0.12"),
        ("address", "I live at 12 Baker Street", "Baker"),
        ("name", "my name is Zbigniew Kowalski", "Kowalski"),
        ("name", "and then Jennifer Lopez came", "Jennifer"),
    ],
)
def test_personal_things_are_taken_out_and_counted_without_their_text(kind, text, secret):
    redactor = Redactor()
    out = redactor.redact(text, "m1")
    assert secret not in out
    assert f"[{kind}]" in out
    report = redactor.report()
    assert report.counts[kind] >= 1
    assert secret not in str(report)


@pytest.mark.parametrize(
    "text",
    [
        "How many words does this sentence of 2023-10-12 have, and will Python count them? See https://docs.python.org/3/.",
        "The password policy: twelve characters.",
        "Is the token reading cached?",
        "What is the secret sauce?",
    ],
)
def test_ordinary_prose_is_left_alone(text):
    assert Redactor().redact(text, "m") == text
