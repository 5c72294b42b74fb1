"""A blind A/B test: two variants of one thing, the pairs of answers they gave, and what the votes say."""

from __future__ import annotations

from typing import Literal

import msgspec

from innercouncil.model.council import Worker

SideName = Literal["a", "b"]
Outcome = Literal["a", "b", "tie"]
Choice = Literal["first", "second", "tie"]
"""What a voter says of the two answers as they were shown."""
State = Literal["open", "a", "b", "equal", "given_up"]


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """One side of a test, as it was when the test began."""

    kind: Literal["persona", "prompt", "council"]
    name: str
    """What the person calls it: a slug with its version, a file's name, a line-up."""
    workers: tuple[Worker, ...]
    """One for a persona or a prompt; the line-up of a council, which answers with its synthesis."""


class AbOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a test; each default is here and nowhere else."""

    alpha: float = 0.05
    """Chance of naming a winner where there is none, however often one looks."""
    max_votes: int = 200
    """Decisive votes after which the test is given up."""
    equal: float = 0.1
    """Wins within a half plus or minus this much count as practically equal."""
    seed: int = 0
    temperature: float = 0.7
    """Of both sides, whatever their cards say."""
    answer_tokens: int = 500
    context_tokens: int = 4096


class AbTest(msgspec.Struct, frozen=True, kw_only=True):
    """A test as it is kept."""

    name: str
    made_at: str = ""
    stopped_at: str | None = None
    """When the person stopped it."""
    a: Variant
    b: Variant
    worker_model: str
    synthesizer_model: str
    options: AbOptions = AbOptions()
    questions: tuple[str, ...] = ()
    """In the order they are asked, each once."""


class SideAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a side said, and what it cost."""

    text: str
    milliseconds: int
    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    memory_estimate: int | None = None
    """Bytes by the arithmetic of `llm/memory.py`, None where the model's shape is unknown."""
    resident: int | None = None
    """Bytes the embedded server held after the answer, None for other backends."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One question with the two answers."""

    number: int
    """1, 2 …"""
    question: str
    first: SideName
    """The side that was shown (and written) first."""
    a: SideAnswer
    b: SideAnswer
    choice: Choice | None = None
    """None: still to be voted on."""
    same: bool = False
    """Both said the same, word for word: a tie without a vote."""
    made_at: str = ""
    voted_at: str | None = None

    @property
    def outcome(self) -> Outcome | None:
        """The side that was chosen."""
        if self.choice is None or self.choice == "tie":
            return self.choice
        other: SideName = "b" if self.first == "a" else "a"
        return self.first if self.choice == "first" else other

    @property
    def shown(self) -> tuple[SideAnswer, SideAnswer]:
        """The answers in the order they are shown."""
        return (self.a, self.b) if self.first == "a" else (self.b, self.a)


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the votes so far allow to say."""

    state: State
    a_wins: int
    b_wins: int
    ties: int
    e_value: float
    """Evidence against "both win equally often" now; safe to look at after every vote."""
    low: float
    """Confidence sequence for the share of decisive votes that B wins, lower end."""
    high: float
    more: int | None
    """Median votes still needed if 65% prefer the side in front, None where the test is over or that is out of reach."""
    path: tuple[float, ...] = ()
    """E-value after each decisive vote."""


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """Votes it takes to see a difference of a certain size."""

    win_rate: float
    median: int | None
    """Votes after which half of all tests have stopped with the right winner; None: more than was computed."""
    most: int | None
    """The same for 80% of all tests."""
    fixed: int
    """Votes of an ordinary two-sided test at the same alpha that is looked at once, at its end (power 80%)."""
    within: float
    """Share of tests that name the right winner within the test's own maximum of votes."""


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What a side's answers cost, medians over the trials."""

    milliseconds: int | None = None
    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    memory_estimate: int | None = None
    resident: int | None = None
