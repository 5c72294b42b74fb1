"""tuning.preference_rows: what of a vote is learnt, which questions are held out, and files that are no preferences."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from innercouncil.model.errors import UsageError
from innercouncil.tuning.preference_rows import Vote, Voted, is_held_out, labels_of, pair_of, preference_facts


def vote(*answers: tuple[int, bool, str] | tuple[int, bool, str, bool]) -> Vote:
    return Vote("What first?", tuple(Voted(*a, *(() if len(a) == 4 else (True,))) for a in answers), "session")  # type: ignore[arg-type]


def test_what_becomes_likelier_is_always_the_persona_s_own_answer() -> None:
    best, rejected = pair_of(vote((1, False, "other"), (0, True, "mine"), (2, False, "last")))  # type: ignore[misc]
    assert (best.text, rejected.text) == ("mine", "other"), "the nearest one it was put before"
    assert pair_of(vote((0, False, "other"), (1, True, "mine"))) == "the persona's answer lost"
    assert pair_of(vote((0, False, "other"), (0, True, "mine"))) == "all answers were tied"
    assert pair_of(vote((0, False, "a"), (1, False, "b"))) == "the persona had no answer in it"


def test_an_own_answer_is_rejected_before_another_s() -> None:
    best, rejected = pair_of(vote((0, True, "mine"), (1, False, "other"), (2, True, "also mine")))  # type: ignore[misc]
    assert (best.text, rejected.text) == ("mine", "also mine")


def test_answers_that_broke_off_are_not_learnt_from() -> None:
    assert "cut off" in str(pair_of(vote((0, True, "mine", False), (1, False, "other"))))
    assert "cut off" in str(pair_of(vote((0, True, "mine"), (1, False, "other", False))))
    assert "cut off" in str(labels_of(vote((0, True, "mine", False), (1, False, "other"))))


def test_single_answers_are_liked_when_first_and_not_when_last() -> None:
    three = vote((0, False, "first"), (1, False, "second"), (2, True, "mine"))
    assert [(a.text, label) for a, label in labels_of(three)] == [("mine", False)]
    assert [label for _, label in labels_of(vote((0, True, "mine"), (0, False, "x"), (1, True, "mine too")))] == [True, False]  # fmt: skip
    assert "neither first nor last" in str(labels_of(vote((0, False, "a"), (1, True, "mine"), (2, False, "b"))))
    assert labels_of(vote((0, True, "mine"), (0, False, "x"))) == "all answers were tied"


def test_a_question_is_held_out_whole_and_stays_so() -> None:
    questions = [
        f"Question about matter {'abcdefghijklmnop'[n % 16]}{'abcdefghijklmnop'[n // 16]}?" for n in range(200)
    ]
    held = [is_held_out(q, 0.15, 0) for q in questions]
    assert 15 <= sum(held) <= 45
    assert held == [is_held_out(f"  {q.upper()} ", 0.15, 0) for q in questions]
    assert held != [is_held_out(q, 0.15, 1) for q in questions]


ROW = {"prompt": [{"role": "user", "content": "What first?"}], "chosen": [{"role": "assistant", "content": "A list of things."}],
       "rejected": [{"role": "assistant", "content": "Nothing."}]}  # fmt: skip


def test_a_file_tells_its_kind_and_an_unreadable_line_its_number(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps(ROW) + "\n" + json.dumps({**ROW, "more": 1}) + "\n", "utf-8")
    kind, facts = preference_facts(path)
    assert (kind, facts.rows) == ("dpo", 2)
    kto = {"prompt": ROW["prompt"], "completion": ROW["chosen"], "label": True}
    path.write_text(json.dumps(kto) + "\n", "utf-8")
    assert preference_facts(path)[0] == "kto"
    path.write_text(json.dumps(kto) + "\nsecret text\n", "utf-8")
    with pytest.raises(UsageError, match="line 2, is not an object with prompt, completion and label") as failed:
        preference_facts(path)
    assert "secret" not in str(failed.value)
    path.write_text("\n", "utf-8")
    with pytest.raises(UsageError, match="holds no rows"):
        preference_facts(path)
    with pytest.raises(UsageError, match="innercouncil tune preferences"):
        preference_facts(tmp_path / "none.jsonl")
