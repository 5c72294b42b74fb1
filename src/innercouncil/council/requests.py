"""What each call of a deliberation is told: turns that fit into the context, form of the answer, temperature, seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from innercouncil.council import texts
from innercouncil.council.appeals import split_appeals
from innercouncil.council.ballots import LETTERS, ballot_schema, choice_schema, ranked
from innercouncil.model.council import Answer, Council, Part, Tally, Worker
from innercouncil.model.ports import ChatRequest, ChatTurn
from innercouncil.model.tokens import estimate_tokens

_PART_SEED: Final[dict[Part, int]] = {"council": 0, "samples": 500_000, "alone": 900_000}


class Requests:
    """The requests of one council.

    `room` gives, for an answer of so many tokens, the tokens that a prompt may have beside it, as `estimate_tokens`
    counts them. It is asked anew for every request: a model that refuses a prompt as too long teaches it.
    """

    def __init__(self, council: Council, room: Callable[[int], int]) -> None:
        self._council, self._options, self._room = council, council.options, room

    def answer(self, part: Part, worker: Worker, round_: int, before: Sequence[Answer] = ()) -> ChatRequest:
        """A worker's answer; for a revision `before` holds its own answer of the last round and then the others'."""
        options = self._options
        room = self._room(options.answer_tokens)
        turns = texts.conversation(self._council, worker.system or texts.render("council_plain_system"), room)
        if before:
            turns = self._with_others(turns, before, room)
        return ChatRequest(
            turns=turns, temperature=worker.temperature, max_tokens=options.answer_tokens,
            seed=_seed(options.seed, part, worker.seat, round_), adapter=worker.adapter,
        )  # fmt: skip

    def _with_others(self, turns: tuple[ChatTurn, ...], before: Sequence[Answer], room: int) -> tuple[ChatTurn, ...]:
        own, *rest = before
        others = [split_appeals(a.text)[0] for a in rest]
        mark = texts.mark_of(str(self._options.seed), *others)
        frame = texts.render("council_revision", mark=mark, answers=[(LETTERS[i], "") for i in range(len(others))])
        left = room - texts.turns_tokens(turns) - estimate_tokens(frame) - 2 * texts.TURN_TOKENS
        cut = texts.fit([own.text, *others], left)
        answers = [(LETTERS[i], text) for i, text in enumerate(cut[1:])]
        ask = texts.render("council_revision", mark=mark, answers=answers)
        return (*turns, ChatTurn("assistant", cut[0]), ChatTurn("user", ask))

    def ballot(self, part: Part, worker: Worker, shown: Sequence[int], given: Mapping[int, Answer]) -> ChatRequest:
        """A worker's ranking of the answers of the seats in `shown`, in that order and without names."""
        options = self._options
        said = [split_appeals(given[s].text)[0] for s in shown]
        mark = texts.mark_of(str(options.seed), *said)
        name, about = (texts.one_line(worker.name), texts.one_line(worker.description)) if worker.system else ("", "")

        def turns(answers: Sequence[str]) -> tuple[ChatTurn, ...]:
            paper = texts.render(
                "council_ballot", question=texts.question_text(self._council), mark=mark, top=ranked(len(shown)),
                answers=[(LETTERS[i], t) for i, t in enumerate(answers)], name=name, description=about,
            )  # fmt: skip
            return (ChatTurn("system", texts.render("council_judge_system")), ChatTurn("user", paper))

        room = self._room(options.ballot_tokens) - texts.turns_tokens(turns([""] * len(shown)))
        return ChatRequest(
            turns=turns(texts.fit(said, room)), schema=ballot_schema(len(shown)), temperature=0.0,
            max_tokens=options.ballot_tokens, seed=_seed(options.seed, part, worker.seat, 90),
        )  # fmt: skip

    def choice(self, part: Part, worker: Worker, own: Answer, choices: tuple[str, ...]) -> ChatRequest:
        """Which of the choices a worker's own answer comes down to."""
        said = split_appeals(own.text)[0]
        room = self._room(self._options.ballot_tokens) - estimate_tokens(self._council.question) - 120
        ask = texts.render(
            "council_choice", question=self._council.question, choices=choices, mark=texts.mark_of(said),
            text=texts.fit([said], room)[0],
        )  # fmt: skip
        return ChatRequest(
            turns=(ChatTurn("user", ask),), schema=choice_schema(choices), max_tokens=40,
            seed=_seed(self._options.seed, part, worker.seat, 91),
        )  # fmt: skip

    def synthesis(self, part: Part, letters: Mapping[str, int], given: Mapping[int, str], tally: Tally) -> ChatRequest:
        """The final answer from those of the seats in `letters`; old turns of the conversation go before they are cut."""
        options = self._options
        said = [split_appeals(given[s])[0] for s in letters.values()]
        mark = texts.mark_of(str(options.seed), *said)
        roles = ["dissent" if s == tally.dissent else "" for s in letters.values()]
        system = ChatTurn("system", texts.render("council_synthesis_system"))

        def turns(answers: Sequence[str], history: Sequence[Any]) -> tuple[ChatTurn, ...]:
            body = texts.render(
                "council_synthesis", history=history, question=texts.question_text(self._council), mark=mark,
                answers=list(zip(letters, answers, roles, strict=True)), choices=list(tally.choices.items()),
            )  # fmt: skip
            return (system, ChatTurn("user", body))

        room = self._room(options.synthesis_tokens)
        history = list(self._council.history)
        while history and texts.turns_tokens(turns([""] * len(said), history)) > room // 2:
            history.pop(0)
        left = room - texts.turns_tokens(turns([""] * len(said), history))
        return ChatRequest(
            turns=turns(texts.fit(said, left), history), temperature=options.synthesis_temperature,
            max_tokens=options.synthesis_tokens, seed=_seed(options.seed, part, 99, 0),
        )  # fmt: skip

    def alone(self) -> ChatRequest:
        """The synthesizer's answer without a council."""
        options = self._options
        room = self._room(options.synthesis_tokens)
        return ChatRequest(
            turns=texts.conversation(self._council, texts.render("council_plain_system"), room),
            temperature=options.synthesis_temperature, max_tokens=options.synthesis_tokens,
            seed=_seed(options.seed, "alone", 0, 0),
        )  # fmt: skip


def _seed(seed: int, part: Part, seat: int, round_: int) -> int:
    return (seed * 1_000_003 + _PART_SEED[part] + 1000 * round_ + seat) % (2**31 - 1)
