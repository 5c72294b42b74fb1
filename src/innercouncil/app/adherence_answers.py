"""What personas, and the model without any, say to single questions and in long conversations; kept line by line."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from innercouncil.app.evaluate_twins import Persona
from innercouncil.council.texts import conversation
from innercouncil.discovery.redaction import Redactor
from innercouncil.model.council import Council, Exchange
from innercouncil.model.ports import ChatModel, ChatRequest, ChosenModel, Estimate, ask_each, complete
from innercouncil.model.tokens import estimate_tokens
from innercouncil.questions import follow_ups, varied
from innercouncil.store.workspace import Workspace, disk_errors, fingerprint, whole_lines

ANSWER_TOKENS: Final = 200
AT_ONCE: Final = 4
NOTHING: Final = "(no answer)"
"""Stands in a conversation's history for an empty answer, which some models refuse to read."""
CONTROL: Final = Persona("", "", "", 0.7)
"""The model without a persona."""

Progress = Callable[[int, int], None]


class Plan(NamedTuple):
    """How much is asked."""

    questions: int
    samples: int
    conversations: int
    turns: int
    """Follow-ups a conversation."""
    context_tokens: int


class Said(NamedTuple):
    """One answer, to a single question (turn -1) or at a turn of a conversation."""

    persona: str
    """Slug; empty for the control."""
    unit: int
    """Number of the question or of the conversation."""
    turn: int
    asked: str
    text: str

    @property
    def single(self) -> bool:
        """Whether it answers a single question."""
        return self.turn < 0


class _Kept(msgspec.Struct, frozen=True):
    key: str
    text: str


class _Step(NamedTuple):
    """A question that is asked, after those before it."""

    key: str
    said: Said


class _Script(NamedTuple):
    """One conversation, or a single question: what is asked, one after the other."""

    persona: Persona
    steps: tuple[_Step, ...]


class Answers:
    """The answers of a plan: those that are kept, and the rest to be asked for."""

    def __init__(self, workspace: Workspace, model: ChosenModel, personas: Sequence[Persona], plan: Plan) -> None:
        self._path: Path = workspace.adherence_answers
        self._kept = {k.key: k.text for k in (msgspec.json.decode(r, type=_Kept) for r in whole_lines(self._path))}
        self._room = plan.context_tokens - ANSWER_TOKENS
        hide: Callable[[str, str], str] = Redactor().redact if model.remote else lambda text, _id: text
        heard = [p._replace(system=hide(p.system, p.slug)) for p in personas]
        self._scripts = list(_scripts(model.identity, heard, plan))
        for script in self._scripts:
            self._request(script, 0)  # what can never fit is told before anything is asked

    @property
    def missing(self) -> int:
        """How many answers are not there yet."""
        return sum(len(s.steps) - self._begun(s) for s in self._scripts)

    def all(self) -> list[Said]:
        """Every answer that is there, the empty ones too."""
        return [
            step.said._replace(text=self._kept[step.key])
            for script in self._scripts
            for step in script.steps[: self._begun(script)]
        ]

    def planned(self) -> list[Said]:
        """Every answer there will be, without those that are known to be empty; of those not there yet the text is empty."""
        steps = [step for script in self._scripts for step in script.steps]
        there = [s.said._replace(text=self._kept.get(s.key, "")) for s in steps]
        return [a for a, s in zip(there, steps, strict=True) if a.text.strip() or s.key not in self._kept]

    def estimate(self) -> Estimate:
        """What asking for the rest will take."""
        reading = calls = 0
        for script in self._scripts:
            for at in range(self._begun(script), len(script.steps)):
                asked = estimate_tokens(script.persona.system) + estimate_tokens(script.steps[at].said.asked)
                reading += min(asked + at * (ANSWER_TOKENS + 20), self._room)
                calls += 1
        return Estimate(f"{calls} questions, with personas and without", calls, reading, calls * ANSWER_TOKENS)

    async def ask(self, model: ChatModel, progress: Progress) -> None:
        """Ask for the rest; each answer is kept as it comes, so that a run cut off goes on. Raises BackendError."""
        total = self.missing
        with disk_errors(self._path), self._path.open("ab") as file:

            async def one(script: _Script) -> int:
                begun = self._begun(script)
                for at in range(begun, len(script.steps)):
                    text = (await complete(model, self._request(script, at))).text
                    self._kept[script.steps[at].key] = text
                    file.write(msgspec.json.encode(_Kept(script.steps[at].key, text)) + b"\n")
                    file.flush()
                return len(script.steps) - begun

            waiting = [s for s in self._scripts if self._begun(s) < len(s.steps)]
            await ask_each(waiting, one, at_once=AT_ONCE, total=total, progress=progress)

    def _begun(self, script: _Script) -> int:
        return next((n for n, s in enumerate(script.steps) if s.key not in self._kept), len(script.steps))

    def _request(self, script: _Script, at: int) -> ChatRequest:
        """The call for a step: as much of what was said before as fits, the newest kept."""
        history = tuple(Exchange(s.said.asked, self._kept[s.key].strip() or NOTHING) for s in script.steps[:at])
        step = script.steps[at]
        council = Council(question=step.said.asked, workers=(), worker_model="", synthesizer_model="", history=history)
        return ChatRequest(
            turns=conversation(council, script.persona.system, self._room), temperature=script.persona.temperature,
            max_tokens=ANSWER_TOKENS, seed=int(step.key[:7], 16),
        )  # fmt: skip


def _scripts(identity: str, personas: Sequence[Persona], plan: Plan) -> Iterator[_Script]:
    """Personas and control answer the same single questions; conversations are held with personas only."""
    questions = varied()
    for persona in (*personas, CONTROL):
        for n, q in enumerate(questions[: plan.questions]):
            for sample in range(plan.samples):
                key = _key(identity, persona, plan, "", q.question, sample)
                yield _Script(persona, (_Step(key, Said(persona.slug, n, -1, q.question, "")),))
    for persona in personas:
        for c in range(plan.conversations if plan.turns else 0):
            opening = questions[(plan.questions + c) % len(questions)].question
            asked = [opening, *_by_lot(follow_ups(), c)[: plan.turns]]
            steps: list[_Step] = []
            for turn, question in enumerate(asked):
                key = _key(identity, persona, plan, steps[-1].key if steps else "conversation", question, c)
                steps.append(_Step(key, Said(persona.slug, c, turn, question, "")))
            yield _Script(persona, tuple(steps))


def _by_lot(questions: Sequence[str], conversation: int) -> list[str]:
    """The follow-ups of a conversation, which and in what order drawn by lot: late ones are of no other kind than early ones."""
    return sorted(questions, key=lambda q: hashlib.sha256(f"{conversation}\x00{q}".encode()).digest())


def _key(identity: str, persona: Persona, plan: Plan, before: str, question: str, sample: int) -> str:
    return fingerprint(
        model=identity, persona=persona.slug, system=persona.system, temperature=persona.temperature, before=before,
        question=question, sample=sample, tokens=ANSWER_TOKENS, context=plan.context_tokens if before else 0,
    )[:32]  # fmt: skip
