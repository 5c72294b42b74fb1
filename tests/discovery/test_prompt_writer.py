"""System prompts within a budget, the important lines first, each line with its evidence."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from innercouncil.discovery.prompt_writer import DEFAULT_BUDGET, Draft, render, write_prompt
from innercouncil.model.persona import Exemplar, PromptLine
from innercouncil.model.tokens import estimate_tokens

SMALLEST_BUDGET = 120


def line(text: str, section: str = "Do", *evidence: str) -> PromptLine:
    return PromptLine(section=section, text=text, evidence=evidence or ("m1",))


def lines(count: int) -> list[PromptLine]:
    return [
        line(f"Line {n} says something of ordinary length about the work at hand.", "Do", f"m{n}") for n in range(count)
    ]


def examples(count: int) -> list[Exemplar]:
    return [Exemplar(id=f"e{n}", text=f"Example {n} of how they speak.", reply="A reply.") for n in range(count)]


def test_the_prompt_begins_with_the_personas_name():
    assert write_prompt(Draft("Software Debugger", [], [])).text.startswith("You are Software Debugger, ")


def test_lines_stand_under_their_section():
    text = write_prompt(Draft("X", [line("Find the cause.", "Do"), line("Be brief.", "Sound")], [])).text
    assert "Do:\n- Find the cause." in text
    assert "Sound:\n- Be brief." in text


def test_lines_of_a_section_stand_together_in_order_of_the_first():
    text = render("X", [line("one", "A"), line("two", "B"), line("three", "A")], [])
    assert "A:\n- one\n- three\n\nB:\n- two\n" in text


def test_an_example_shows_what_they_said_and_the_answer_they_built_on():
    text = write_prompt(Draft("X", [], [Exemplar(id="e", text="Fix it.", reply="Here is")])).text
    assert 'They said: "Fix it."' in text
    assert 'began: "Here is"' in text


def test_everything_fits_into_a_large_budget():
    prompt = write_prompt(Draft("X", lines(10), examples(3)), budget=4000)
    assert prompt.left_out == ()
    assert len(prompt.lines) == 13


def test_every_line_keeps_its_evidence():
    prompt = write_prompt(Draft("X", lines(4), examples(1)), budget=4000)
    assert [e for kept in prompt.lines for e in kept.evidence] == ["m0", "m1", "m2", "m3", "e0"]


def test_what_does_not_fit_is_told():
    prompt = write_prompt(Draft("X", lines(40), examples(3)), budget=300)
    assert len(prompt.lines) + len(prompt.left_out) == 43
    assert prompt.left_out


def test_the_most_important_lines_are_kept():
    prompt = write_prompt(Draft("X", lines(40), []), budget=300)
    kept = [p.text for p in prompt.lines]
    assert kept == [x.text for x in lines(40)][: len(kept)]


def test_two_examples_come_before_the_less_important_half():
    prompt = write_prompt(Draft("X", lines(40), examples(3)), budget=700)
    assert sum(p.section == "Examples" for p in prompt.lines) == 2


def test_a_line_too_long_does_not_keep_out_a_shorter_one():
    prompt = write_prompt(Draft("X", [line("word " * 500), line("Be brief.")], []), budget=200)
    assert [p.text for p in prompt.lines] == ["Be brief."]


def test_the_default_budget_is_a_sixth_of_a_small_context():
    assert write_prompt(Draft("X", [], [])).budget == DEFAULT_BUDGET <= 4096 / 5


any_line = st.builds(
    PromptLine,
    section=st.sampled_from(["Do", "Think", "Sound"]),
    text=st.text(max_size=300),
    evidence=st.just(("m",)),
)
any_example = st.builds(Exemplar, id=st.just("e"), text=st.text(max_size=400), reply=st.text(max_size=200))


@settings(deadline=None)
@given(
    st.text(max_size=80), st.lists(any_line, max_size=25), st.lists(any_example, max_size=4),
    st.integers(SMALLEST_BUDGET, 1500),
)  # fmt: skip
def test_the_budget_is_never_exceeded(name, draft_lines, shown, budget):
    prompt = write_prompt(Draft(name, draft_lines, shown), budget=budget)
    assert prompt.tokens == estimate_tokens(prompt.text) <= budget


@settings(deadline=None)
@given(st.lists(any_line, max_size=15), st.integers(SMALLEST_BUDGET, 600))
def test_nothing_is_in_the_prompt_that_was_not_in_the_draft(draft_lines, budget):
    prompt = write_prompt(Draft("X", draft_lines, []), budget=budget)
    assert all(kept in draft_lines for kept in prompt.lines)


@settings(deadline=None)
@given(st.lists(any_line, max_size=15))
def test_the_same_draft_gives_the_same_prompt(draft_lines):
    draft = Draft("X", draft_lines, examples(2))
    assert write_prompt(draft) == write_prompt(draft)


@pytest.mark.parametrize("text", ["{{ 7 * 7 }}", "{% raw %}", "{# x #}", "<b>&amp;</b>"])
def test_a_persons_words_are_never_taken_for_a_template(text):
    assert text in write_prompt(Draft("X", [line(text)], [Exemplar(id="e", text=text)])).text


@given(st.text(max_size=100), st.text(max_size=100))
def test_more_text_never_takes_fewer_tokens(one, other):
    assert estimate_tokens(one + "\n" + other) >= estimate_tokens(one)


@pytest.mark.parametrize(
    ("text", "at_least"),
    [("2024", 4), ("Hello, world!", 4), ("日本語", 3), ("def f(x):\n    return x", 9), ("", 0)],
)
def test_the_estimate_is_an_upper_one(text, at_least):
    assert estimate_tokens(text) >= at_least
