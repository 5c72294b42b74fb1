"""Names from what sets a persona apart; no two personas share one."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from innercouncil.discovery.naming import NameParts, name_personas
from innercouncil.discovery.traits import Trait, rules
from innercouncil.model.labels import ACTS, TOPICS
from innercouncil.model.slug import slug_of, suffixed

ADJECTIVES = ("marker:cause", "question:why", "habit:bullets", "tone:warm")


def trait(feature: str) -> Trait:
    rule = next(r for r in rules() if r.feature == feature)
    return Trait(rule, 0.5, 0.1, 5.0, ())


def parts(*features: str, acts: dict[str, int] | None = None, topics: dict[str, int] | None = None) -> NameParts:
    return NameParts([trait(f) for f in features], acts or {}, topics or {}, [])


def test_the_name_says_the_topic_and_what_is_done():
    assert name_personas([parts(acts={"debug": 9, "build": 3}, topics={"software": 9})]) == ["Software Debugger"]


def test_an_act_more_frequent_here_than_elsewhere_goes_before_the_most_frequent_one():
    mine = parts("act:build", acts={"debug": 9, "build": 3}, topics={"software": 9})
    assert name_personas([mine]) == ["Software Builder"]


def test_a_topic_of_less_than_half_the_messages_is_not_in_the_name():
    mine = parts("marker:cause", acts={"learn": 9}, topics={"software": 4, "creative": 3, "society": 3})
    assert name_personas([mine]) == ["Reasoning Inquirer"]


def test_a_second_persona_of_the_same_kind_is_told_apart_by_a_habit():
    same = {"acts": {"debug": 9}, "topics": {"software": 9}}
    names = name_personas([parts(**same), parts("marker:cause", **same)])
    assert names == ["Software Debugger", "Reasoning Software Debugger"]


def test_the_larger_persona_chooses_first():
    same = {"acts": {"debug": 9}, "topics": {"software": 9}}
    names = name_personas([parts("marker:cause", **same), parts(**same)])
    assert names[0] == "Software Debugger"


def test_a_name_given_by_the_person_stands():
    mine = parts(acts={"debug": 9}, topics={"software": 9})
    assert name_personas([mine, mine], given=[None, "Software Debugger"])[1] == "Software Debugger"


def test_a_name_given_by_the_person_is_not_taken_by_another():
    mine = parts(acts={"debug": 9}, topics={"software": 9})
    first, second = name_personas([mine, mine], given=[None, "Software Debugger"])
    assert slug_of(first) != slug_of(second)


def test_of_given_names_with_one_slug_the_first_stands_and_the_later_are_numbered():
    long = "The one who always thinks about how to get from here to there again"
    names = name_personas([parts()] * 5, given=["Maker", "maker!", None, long, f"{long} and again"])
    assert names[:2] == ["Maker", "maker! 2"]
    assert names[3:] == [long, "The one who always thinks about how to get from here to 2"]


@pytest.mark.parametrize("name", ["Maker", "x" * 80, "日本" * 40, "The one who goes " * 4])
def test_two_halves_have_two_slugs_and_names_of_at_most_80_characters(name):
    halves = [suffixed(name, "A"), suffixed(name, "B")]
    assert len({slug_of(h) for h in halves}) == 2
    assert all(len(h) <= 80 for h in halves)


def test_a_persona_of_nothing_has_a_name():
    (name,) = name_personas([parts()])
    assert name


some_parts = st.builds(
    NameParts,
    st.lists(st.sampled_from(ADJECTIVES).map(trait), max_size=3),
    st.dictionaries(st.sampled_from(ACTS), st.integers(1, 50), max_size=4),
    st.dictionaries(st.sampled_from(TOPICS), st.integers(1, 50), max_size=3),
    st.lists(st.text(max_size=12), max_size=4),
)


@given(st.lists(some_parts, max_size=12))
def test_no_two_personas_ever_have_the_same_slug(parts):
    slugs = [slug_of(n) for n in name_personas(parts)]
    assert len(slugs) == len(parts)
    assert len(set(slugs)) == len(slugs)


@given(some_parts, st.integers(2, 12))
def test_twelve_personas_all_alike_have_different_slugs(part, count):
    assert len({slug_of(n) for n in name_personas([part] * count)}) == count


@given(
    st.lists(st.tuples(some_parts, st.none() | st.text(min_size=1, max_size=80)), max_size=8).filter(
        lambda rows: len({slug_of(g) for _, g in rows if g}) == sum(bool(g) for _, g in rows)
    )
)
def test_names_given_and_names_found_never_have_the_same_slug(rows):
    names = name_personas([p for p, _ in rows], given=[g for _, g in rows])
    assert len({slug_of(n) for n in names}) == len(rows)
    assert all(given in (None, name) for (_, given), name in zip(rows, names, strict=True))


@given(st.lists(st.tuples(some_parts, st.none() | st.text(max_size=80)), max_size=8))
def test_whatever_names_are_given_no_two_have_the_same_slug(rows):
    names = name_personas([p for p, _ in rows], given=[g for _, g in rows])
    assert len({slug_of(n) for n in names}) == len(rows)


@given(st.lists(some_parts, max_size=6))
def test_the_same_personas_get_the_same_names(parts):
    assert name_personas(parts) == name_personas(parts)


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Software Debugger", "software-debugger"),
        ("What-if Explorer", "what-if-explorer"),
        ("Café Übermut", "cafe-ubermut"),
        ("../../etc/passwd", "etc-passwd"),
        ("日本", "persona"),
        ("", "persona"),
    ],
)
def test_a_slug_is_made_of_plain_letters(name, slug):
    assert slug_of(name) == slug


@given(st.text(max_size=200))
def test_any_name_makes_a_file_safe_slug(name):
    assert re.fullmatch(r"[a-z0-9]+(?:-[a-z0-9]+)*", slug_of(name))
    assert len(slug_of(name)) <= 60


@given(st.text(max_size=100))
def test_the_slug_of_a_slug_is_itself(name):
    assert slug_of(slug_of(name)) == slug_of(name)
