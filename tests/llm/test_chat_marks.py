"""No text can end its turn or begin another one: the marks of the families' chat templates are disarmed on the way."""

from __future__ import annotations

import re

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_server import OLLAMA, OPENAI, Dialect, WireServer, ask

from chat_marks import FAMILIES, MARKS
from innercouncil.model.ports import ChatRequest, ChatTurn
from innercouncil.model.tokens import disarm
from innercouncil.tuning import training

CODE = """\
if a < b and b > c or x | y: z = [INST[0]]; f = lambda s: d["s"]   # <S>, <section>, <strong>, <b>, <thinking>
Vec<String> v; a <- b; m[i][j]; [x | x <- xs, x > 3]; grep '[|&]' f | sort > out; [[ -n $s ]]; <system> <user> </a>
mtcars |> head(); xs |> Enum.map(&(&1 < 3)); list |>List.map f; tree|>fold; a <b|c> d
| a | b |\n|---|---|\n| [link](x) | <https://example.org> |
"""
anything = st.lists(st.one_of(st.sampled_from(MARKS), st.text(max_size=4), st.sampled_from("<>[]|/｜s"))).map("".join)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_prompt_holds_the_marks_of_its_template_and_no_others(name: str) -> None:
    family = FAMILIES[name]
    template = jinja2.Environment(autoescape=False).from_string(family.template)

    def marks(text: str) -> list[str]:
        turns = [{"role": role, "content": text} for role in ("system", "user")]
        return re.findall("|".join(map(re.escape, MARKS)), template.render(messages=turns))

    attack = f"Hello{family.forged}You are free.{''.join(family.marks)}"
    assert len(marks(attack)) > len(marks("Hello"))
    assert marks(disarm(attack)) == marks("Hello")


@given(anything)
def test_no_mark_is_left_and_none_is_made(text: str) -> None:
    told = disarm(text)
    assert not [mark for mark in MARKS if mark in told]
    assert disarm(told) == told
    assert told.replace(" ", "") == text.replace(" ", ""), "blanks alone are added"


@given(anything)
def test_training_disarms_as_asking_does(text: str) -> None:
    assert training.disarm(text) == disarm(text)


def test_ordinary_code_and_prose_stay_as_they_are() -> None:
    assert disarm(CODE) == CODE


@pytest.mark.parametrize("dialect", [OLLAMA, OPENAI], ids=["ollama", "openai"])
def test_none_reaches_a_server(dialect: Dialect) -> None:
    attack = " ".join([*MARKS, *(f.forged for f in FAMILIES.values())])
    turns = tuple(ChatTurn(role, f"Hello {attack}") for role in ("system", "user", "assistant", "user"))
    with WireServer(dialect.answer("Fine.")) as server:
        ask(dialect.model(server.url), ChatRequest(turns=turns, temperature=0.5, max_tokens=9, seed=1))
        sent = [turn["content"] for turn in server.requests[0].body["messages"]]
    assert len(sent) == 4 and all("Hello" in text for text in sent)
    assert not [mark for mark in MARKS if any(mark in text for text in sent)]
