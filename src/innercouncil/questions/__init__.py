"""Questions and exchanges written for this program: varied questions over six topics, and neutral exchanges to train on."""

from __future__ import annotations

from importlib import resources

import msgspec


class VariedQuestion(msgspec.Struct, frozen=True):
    """A question of the set."""

    id: str
    topic: str
    question: str


class NeutralExchange(msgspec.Struct, frozen=True):
    """A question and a good answer in nobody's voice."""

    id: str
    topic: str
    question: str
    answer: str


def neutral() -> tuple[NeutralExchange, ...]:
    """The exchanges that keep a model from forgetting what it could: sums, formats, refusals, languages, explanations."""
    lines = resources.files(__name__).joinpath("neutral.jsonl").read_bytes().splitlines()
    return tuple(msgspec.json.decode(line, type=NeutralExchange) for line in lines)


def varied() -> tuple[VariedQuestion, ...]:
    """The sixty questions, the topics in turn, so that the first few cover all of them."""
    lines = resources.files(__name__).joinpath("varied.jsonl").read_bytes().splitlines()
    return tuple(msgspec.json.decode(line, type=VariedQuestion) for line in lines)
