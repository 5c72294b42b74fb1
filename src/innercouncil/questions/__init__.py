"""A set of varied questions, written for this program: open and closed ones over six topics."""

from __future__ import annotations

from importlib import resources

import msgspec


class VariedQuestion(msgspec.Struct, frozen=True):
    """A question of the set."""

    id: str
    topic: str
    question: str


def varied() -> tuple[VariedQuestion, ...]:
    """The sixty questions, the topics in turn, so that the first few cover all of them."""
    lines = resources.files(__name__).joinpath("varied.jsonl").read_bytes().splitlines()
    return tuple(msgspec.json.decode(line, type=VariedQuestion) for line in lines)
