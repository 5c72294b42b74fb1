"""The person's own words are told apart from what they pasted. Each case is marked by hand: what is voice, what is not."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from innercouncil.readers.pasted import split_voice


def voice(text: str) -> str:
    return "\n".join(text[s.start : s.end].strip() for s in split_voice(text) if s.kind == "voice").strip()


def kinds(text: str) -> set[str]:
    return {s.kind for s in split_voice(text)}


ESSAY = "\n\n".join(
    f"The {w} of the valley had long been a matter of dispute among historians, who could not agree on when the first mills were "
    "built nor on who had paid for them, and whose books therefore contradict each other in every chapter." for w in ("history", "economy", "water", "trade")
)  # fmt: skip

CASES = {
    "fenced code": ("why does it fail?\n```python\nprint(1)\n```", "why does it fail?"),
    "open fence": ("look at this\n```\nx = 1\ny = 2", "look at this"),
    "indented code without a fence": (
        "fix this\nimport os\ndef f(x):\n    return os.getcwd() + x;\nfor i in range(3):\n    print(f(i))\n", "fix this",
    ),
    "traceback": (
        'it stopped\nTraceback (most recent call last):\n  File "a.py", line 3, in f\nValueError: bad\nCaused by: x\nwhat now?', "it stopped\nwhat now?",
    ),
    "quoted mail": ("> can we meet on monday?\n> regards\n\nwrite a polite no", "write a polite no"),
    "document behind an instruction": ("Summarize the following text:\n\n" + ESSAY, "Summarize the following text:"),
    "document before an instruction": (ESSAY + "\n\nCondense this into three bullet points please", "Condense this into three bullet points please"),
    "nothing pasted": ("Could you please help me plan a week in Rome? I like churches, and I hate queues.", None),
    "long voice stays voice": (
        "I have been thinking about my job for weeks. I want to leave, but I am afraid of what my family will say, and you know "
        "how my father is. " * 6, None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_marked_messages(name):
    text, expected = CASES[name]
    assert voice(text) == (text.strip() if expected is None else expected)


@given(
    st.text(max_size=400)
    | st.lists(st.sampled_from(["```", "> q", "a = 1;", "hello you", "", "x:", "\t\t"]), max_size=30).map("\n".join)
)
def test_spans_cover_the_text_in_order_without_gaps(text):
    spans = split_voice(text)
    assert "".join(text[s.start : s.end] for s in spans) == text
    assert all(a.end == b.start for a, b in pairwise(spans))


def test_a_million_characters_take_linear_time_and_no_stack():
    assert kinds("a = 1;\n" * 150_000) == {"code"}
