"""A judge whose right answers are known: it knows the planted mode of every conversation and says it in other words each time."""

from __future__ import annotations

import importlib.util
import json
import random
import re
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

from chosen_model import Chosen
from innercouncil.model.ports import ChatModel, ChatRequest, Chunk

_spec = importlib.util.spec_from_file_location(
    "make_example", Path(__file__).parent.parent / "examples" / "make_example.py"
)
assert _spec is not None
assert _spec.loader is not None
make_example = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make_example)

KINDS = {
    "software": make_example.SOFTWARE, "story": make_example.STORY, "business": make_example.BUSINESS, "maths": make_example.MATHS,
}  # fmt: skip
TRUTH = {
    str(make_example.uuid.uuid5(make_example.NAMESPACE, f"{kind}-{n}")): kind
    for kind, chats in KINDS.items()
    for n in range(len(chats))
}
"""Conversation id of the bundled example -> its planted mode."""

PHRASES: dict[str, dict[str, list[str]]] = {
    "software": {
        "purpose": ["repair", "make"],
        "task": ["find the cause of a failing script", "add a feature to a small program", "debug a program that crashes", "write tests for a script"],
        "approach": ["pastes errors and tests one change at a time", "wants the smallest change and a test", "tries each fix and reports the error"],
        "stance": ["short commands without courtesy", "terse and technical orders", "brief technical commands in lower case"],
    },
    "story": {
        "purpose": ["imagine"],
        "task": ["develop a scene of a novel", "revise the dialogue of a story", "write a chapter of a novel about siblings"],
        "approach": ["asks for variants and revises scene by scene", "sets the mood of a scene and wants restraint", "revises the voice of characters in each scene"],
        "stance": ["warm and imaginative", "warm and encouraging about the writing", "imaginative with gentle corrections"],
    },
    "business": {
        "purpose": ["decide", "make"],
        "task": ["draft an offer for customers of a shop", "plan the mailing of a small shop", "weigh prices for customers"],
        "approach": ["lists constraints and asks for options with costs", "wants options for customers with costs and risks", "asks which option pays for the shop"],
        "stance": ["polite and formal with thanks", "courteous and polite requests", "polite business requests"],
    },
    "maths": {
        "purpose": ["understand"],
        "task": ["understand a proof in mathematics", "work through an exercise of mathematics", "learn why a formula holds"],
        "approach": ["asks why at every step of the proof", "checks each step of the formula with examples", "demands derivations step by step"],
        "stance": ["curious and sceptical questions", "patient and curious", "curious neutral questions"],
    },
}  # fmt: skip
NAMES = {
    "software": "Terse Script Mender", "story": "Gentle Scene Reviser", "business": "Courteous Offer Planner",
    "maths": "Curious Proof Reader",
}  # fmt: skip


def kind_of(prompt: str) -> str:
    """The planted mode of the conversation in an extraction prompt."""
    first = prompt.partition("[1] ")[2]
    for kind, chats in KINDS.items():
        for questions in chats:
            if first.startswith(" ".join(questions[0].split("```")[0].split())[:28]):
                return kind
    raise AssertionError(first[:60])


def facets_for(kind: str, rng: random.Random) -> dict[str, str]:
    return {field: rng.choice(choices) for field, choices in PHRASES[kind].items()}


def name_for(prompt: str) -> dict[str, str]:
    """A name for the mode that most members of a naming prompt show."""
    inside = prompt.partition("<<<group")[2].partition(">>>")[0]
    score = Counter({
        kind: sum(inside.count(p) for choices in fields.values() for p in choices) + inside.count(NAMES[kind])
        for kind, fields in PHRASES.items()
    })  # fmt: skip
    kind = score.most_common(1)[0][0]
    return {
        "name": NAMES[kind],
        "description": f"Conversations in which the person wants to {PHRASES[kind]['task'][0]}.",
    }


class Judge:
    """A ChatModel; `describe(prompt, rng)` answers about a conversation, what is no dict is sent as it is."""

    name = "judge"

    def __init__(self, describe: Callable[[str, random.Random], Any] | None = None, *, name: Any = name_for) -> None:
        self.describe = describe or (lambda prompt, rng: facets_for(kind_of(prompt), rng))
        self.call, self.asked = name, list[str]()

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        prompt = request.turns[0].content
        self.asked.append(prompt)
        rng = random.Random(len(prompt) * 7 + request.seed)
        answer = self.call(prompt) if "<<<group" in prompt else self.describe(prompt, rng)
        yield Chunk(answer if isinstance(answer, str) else json.dumps(answer))
        yield Chunk(finish="stop")


class ScriptedHelper(Chosen):
    """A person who names a judge as their model and says yes (or not)."""

    def __init__(self, model: ChatModel, *, yes: bool = True, budget: int = 0) -> None:
        super().__init__(model, label="judge", identity="judge 1", yes=yes)
        self.budget = budget


def random_phrases(prompt: str, rng: random.Random) -> dict[str, str]:
    """Clean phrases of a mode drawn by lot: groups that are stable among themselves and mean nothing."""
    del rng
    drawn = random.Random(re.sub(r"\W", "", prompt))
    return facets_for(drawn.choice(list(PHRASES)), drawn)


def random_words(prompt: str, rng: random.Random) -> dict[str, str]:
    """Words drawn by lot."""
    del rng
    drawn = random.Random(re.sub(r"\W", "", prompt))
    words = sorted(
        {w for fields in PHRASES.values() for choices in fields.values() for p in choices for w in p.split()}
    )
    return {
        "purpose": drawn.choice(["repair", "make", "decide", "imagine"]), "task": " ".join(drawn.sample(words, 6)),
        "approach": " ".join(drawn.sample(words, 7)), "stance": " ".join(drawn.sample(words, 3)),
    }  # fmt: skip
