"""Questions and exchanges written for this program: a varied set, follow-ups, the demo's, neutral ones to train on."""

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


def follow_ups() -> tuple[str, ...]:
    """Questions that can be asked at any place of a conversation about anything, in no order."""
    return tuple(resources.files(__name__).joinpath("follow_ups.txt").read_text("utf-8").split("\n")[:-1])


def of_the_demo() -> str:
    """What the person of the bundled example asks the council."""
    return resources.files(__name__).joinpath("demo.txt").read_text("utf-8").strip()
