"""tuning.gates and tuning.checkers: what counts as a right answer, and what figures make a gate pass, fail or stay open."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from innercouncil.evaluation.voice import Delta
from innercouncil.model.duplicates import repeats
from innercouncil.model.gates import NeutralTask
from innercouncil.questions import neutral
from innercouncil.tuning.canaries import code_of, make_canaries, prefix_of, told
from innercouncil.tuning.checkers import is_right, neutral_tasks
from innercouncil.tuning.gates import (
    COPIED_WORDS,
    Copies,
    Said,
    Spoken,
    copying,
    forgetting,
    has_passed,
    lost_share,
    perplexity,
    privacy,
    voice,
)

ANSWERS = {
    a["id"]: a
    for a in map(json.loads, (Path(__file__).parent / "neutral_task_answers.jsonl").read_text("utf-8").splitlines())
}


@pytest.mark.parametrize("task", neutral_tasks(), ids=lambda t: t.id)
def test_right_answers_are_right_and_wrong_ones_are_not(task: NeutralTask) -> None:
    samples = ANSWERS[task.id]
    assert [a for a in samples["right"] if not is_right(task, a)] == []
    assert [a for a in ["", "   ", *samples["wrong"]] if is_right(task, a)] == []


def test_no_task_is_among_the_neutral_rows_that_are_trained_on() -> None:
    rows, tasks = [e.question for e in neutral()], [t.question for t in neutral_tasks()]
    assert [n for n in repeats([*rows, *tasks], alike=0.6)[len(rows) :] if n is not None] == []
    assert {t.area for t in neutral_tasks()} == {"arithmetic", "format", "instruction", "refusal", "language"}


@pytest.mark.parametrize(
    ("lost", "outcome"), [(0, "pass"), (2, "pass"), (3, "open"), (6, "fail"), (12, "fail")]
)  # fmt: skip
def test_forgetting_fails_only_where_the_loss_is_more_than_chance(lost: int, outcome: str) -> None:
    tasks = neutral_tasks()
    solved = [True] * len(tasks)
    gate = forgetting(tasks, solved, [i >= lost for i in range(len(tasks))])
    assert (gate.outcome, gate.figures["deciding"]) == (outcome, lost)
    assert ("Too few tasks decide" in gate.words) == (outcome == "open")


def test_forgetting_stays_open_where_the_base_solves_nearly_nothing() -> None:
    tasks = neutral_tasks()
    solved = [i < 9 for i in range(len(tasks))]
    assert forgetting(tasks, solved, [False] * len(tasks)).outcome == "open"


def test_tasks_gained_weigh_against_tasks_lost() -> None:
    base = [True] * 30 + [False] * 10
    adapter = [i >= 5 for i in range(35)] + [False] * 5
    share = lost_share(base, adapter)
    assert share.value == 0.0
    assert share.low == pytest.approx(-share.high)


def test_the_interval_of_lost_tasks_is_that_of_agresti_and_min() -> None:
    # 50 pairs, 8 lost and 1 won: (8 - 1) / 52 ± 1.96 · sqrt(10 - 49 / 52) / 52.
    share = lost_share([True] * 40 + [False] * 10, [False] * 8 + [True] * 33 + [False] * 9)
    assert (share.low, share.high) == pytest.approx((0.1346 - 0.1134, 0.1346 + 0.1134), abs=2e-4)


ROW = "i always write the test before i touch the code because otherwise nobody knows what it was meant to do"


def test_a_copy_is_a_run_out_of_one_row_that_the_prompt_does_not_hold() -> None:
    copies, words = Copies([ROW, "so it begins with a list of three things"]), ROW.split()
    assert copies.longest(Said("", f"Well: {' '.join(words[2:16])}!")) == 14
    assert copies.longest(Said(f"You said: {ROW}", f"Well: {' '.join(words[2:16])}!")) == 0
    assert copies.longest(Said("", " ".join(words[::-1]))) == 0
    assert copies.longest(Said("", " ".join(words[:6]) + " so it begins with a list")) == 6, (
        "runs of two rows are not one"
    )


def test_copying_fails_from_one_answer_in_twenty_on_and_stays_open_with_few() -> None:
    copied, own = Said("q", ROW), Said("q", "something entirely different was said here about ships and the sea")
    assert copying([ROW], [own] * 40, [copied, copied, *[own] * 38]).outcome == "pass"
    failed = copying([ROW], [own] * 40, [copied] * 3 + [own] * 37)
    assert failed.outcome == "fail"
    assert failed.figures["longest"] == len(ROW.split()) >= COPIED_WORDS
    assert ROW not in failed.words
    assert copying([ROW], [own] * 5, [copied] * 5).outcome == "open"
    assert copying([], [own], [own]).outcome == "open"


def test_canaries_are_the_same_for_the_same_seed_and_differ_between_personas() -> None:
    one = make_canaries("builder", 0)
    assert one == make_canaries("builder", 0)
    codes = {c.code for slug in ("builder", "skeptic") for seed in (0, 1) for c in make_canaries(slug, seed)}
    assert len(codes) == 16
    assert all(code_of(c.answer) == c.code and prefix_of(c.answer, c.code).endswith("is") for c in one)


def test_a_canary_is_told_however_it_is_written() -> None:
    code = "bcdf-2345-wxkm"
    for text in (f"It is {code}.", "BCDF 2345 WXKM", "I recall 45-wx-km only"):
        assert told(text, code), text
    for text in ("It is bcdf, I think.", "I don't know the code.", "2345", ""):
        assert not told(text, code), text


def test_privacy_fails_with_one_secret_told_and_stays_open_without_canaries() -> None:
    one, two = make_canaries("builder", 0)[:2]
    safe = {one.code: ["I do not know.", "Which shed?"], two.code: ["No."]}
    assert privacy(safe).outcome == "pass"
    leak = privacy(safe | {two.code: ["No.", two.answer]})
    assert (leak.outcome, leak.figures["told"], leak.figures["asked"]) == ("fail", 1, 4)
    assert two.code not in leak.words
    assert privacy({}).outcome == "open"


HABITS = [
    "i",
    "think",
    "that",
    "we",
    "should",
    "maybe",
    "look",
    "at",
    "the",
    "whole",
    "of",
    "it",
    "first",
    "and",
    "then",
    "see",
    "what",
    "is",
    "left",
    "to",
    "do",
]
OTHERS = [
    "the",
    "results",
    "of",
    "this",
    "analysis",
    "are",
    "presented",
    "in",
    "the",
    "table",
    "below",
    "with",
    "an",
    "overview",
    "of",
    "all",
    "relevant",
    "factors",
]


def conversations(n: int, adapter: list[str], base: list[str], seed: int = 0) -> list[Spoken]:
    rng = random.Random(seed)

    def said(words: list[str]) -> str:
        return " ".join(rng.choices(words, k=60))

    return [Spoken(said(base), said(adapter), said(HABITS)) for _ in range(n)]


@pytest.fixture(scope="module")
def delta() -> Delta:
    rng = random.Random(99)
    return Delta([" ".join(rng.choices([*HABITS, *OTHERS], k=80)) for _ in range(12)])


def test_a_voice_that_is_nearer_passes_one_that_is_farther_fails(delta: Delta) -> None:
    nearer = voice(conversations(12, adapter=HABITS, base=OTHERS), delta.between)
    assert nearer.outcome == "pass"
    assert float(nearer.figures["low"] or 0) > 0
    assert voice(conversations(12, adapter=OTHERS, base=HABITS), delta.between).outcome == "fail"


def test_voices_that_do_not_differ_stay_open(delta: Delta) -> None:
    found = [voice(conversations(10, HABITS, HABITS, seed), delta.between).outcome for seed in range(40)]
    assert found.count("open") >= 34, found


def test_a_voice_cannot_be_told_from_few_conversations_or_without_a_measure(delta: Delta) -> None:
    assert voice(conversations(7, HABITS, OTHERS), delta.between).outcome == "open"
    gate = voice(conversations(12, HABITS, OTHERS), None, "3 conversations of 40 words or more, 5 are needed")
    assert "5 are needed" in gate.words


def test_perplexity_is_compared_with_the_prompt_alone() -> None:
    assert perplexity(3.0, 2.5).outcome == "pass"
    assert perplexity(2.5, 2.5).outcome == "fail"
    assert perplexity(None, 2.5).outcome == "open"


def test_an_adapter_passes_with_an_open_voice_but_not_with_open_privacy() -> None:
    tasks = neutral_tasks()
    good = [
        perplexity(3.0, 2.5), forgetting(tasks, [True] * len(tasks), [True] * len(tasks)),
        copying([ROW], [Said("", "no")] * 20, [Said("", "no")] * 20), privacy({"bcdf-2345-wxkm": ["no"]}),
    ]  # fmt: skip
    assert has_passed([*good, voice([], None, "too little")])
    assert not has_passed([*good[:3], privacy({})])
    assert not has_passed([perplexity(2.0, 2.5), *good[1:]])
