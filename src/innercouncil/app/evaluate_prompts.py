"""Are the personas' prompts any good? Measured on conversations that no prompt was made from."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from innercouncil.app.findings import load_discovery
from innercouncil.app.labelling import Scores, load_scores, read_labelled
from innercouncil.app.question_sets import stands_alone
from innercouncil.app.written_prompts import GUARDS
from innercouncil.discovery.cluster import Modes
from innercouncil.discovery.markers import find_markers
from innercouncil.discovery.model_prompts import estimate, write
from innercouncil.discovery.personas import Inputs, build_personas
from innercouncil.discovery.redaction import Redactor
from innercouncil.evaluation.attribution import (
    ANSWER_TOKENS,
    HeldOut,
    Marks,
    accuracy,
    difference,
    judge,
    lexical_scores,
    marks_of_picks,
    marks_of_scores,
    request_text,
)
from innercouncil.evaluation.voice import Delta, answer_distinctness, prompt_distinctness, style_of
from innercouncil.model.errors import DeclinedError, NothingToDiscoverError
from innercouncil.model.labels import LabelledMessage
from innercouncil.model.persona import Discovery, Persona, WrittenPrompt
from innercouncil.model.ports import ChatModel, ChatRequest, ChatTurn, ChosenModel, Estimate, complete
from innercouncil.model.quality import PromptQuality, PromptSet, Style
from innercouncil.model.tokens import estimate_tokens
from innercouncil.store.workspace import Workspace

HELD_OUT: Final = 0.3
"""Share of conversations that are kept from the prompts."""
MIN_HELD_OUT: Final = 20
MIN_WORDS: Final = 3
"""A message with fewer words of one's own is nobody's."""
JUDGED: Final = 20
"""Held-out messages a persona that a model is asked about."""
QUESTIONS: Final = 6
ANSWER_LENGTH: Final = 160
"""Most tokens of a generated answer."""
MAX_SCORED: Final = 400
"""Held-out messages a persona that the offline scorer reads."""
NOBODY: Final = "no persona"
OFFLINE: Final = "offline"
WRITTEN: Final = "model-written"
EDITED: Final = "as edited"

Progress = Callable[[int, int], None]


class Split(NamedTuple):
    """The person's messages in two parts that share no conversation."""

    train: npt.NDArray[np.bool_]
    """(n,) whether a message may be read by whoever writes prompts."""
    labels: npt.NDArray[np.int32]
    """(n,) number of the persona, -1 for none."""
    held: tuple[LabelledMessage, ...]
    """Held-out messages that belong to a persona and have words."""
    messages: tuple[HeldOut, ...]
    """The same, row for row, for the statistics."""


def evaluate_prompts(
    workspace: Workspace, *, seed: int = 0, model: ChosenModel | None = None, stage: Callable[[str], Progress],
) -> PromptQuality:  # fmt: skip
    """Write prompts from 70% of the conversations and see on the others what they are worth; kept in prompt_quality.json.

    Without a model the offline scorer attributes and nothing is generated. Raises NothingToDiscoverError where there are no
    personas or too few messages, DeclinedError, BackendError.
    """
    with workspace.lock():
        discovery = load_discovery(workspace)
        scores = load_scores(workspace.label_scores)
        split = split_messages(workspace, discovery, scores, seed)
        progress = stage("Writing prompts from 70%")
        personas = trained_personas(workspace, discovery, scores, split, progress)
        progress(1, 1)
        sets = {NOBODY: [""] * len(personas), OFFLINE: [p.prompt.text for p in personas]}
        if any(p.origin == "edited" for p in discovery.personas):
            sets[EDITED] = [p.prompt.text for p in discovery.personas]
        heard = Heard.of(workspace, split, len(personas))
        asked = asyncio.run(_ask(model, sets, personas, split, seed, stage)) if model is not None else None
        if model is not None and asked is None:
            raise DeclinedError("Nothing was asked. Run the same command without --llm for what can be told offline.")
        quality = _quality(discovery, sets, split, heard, asked, model, seed)
        workspace.write_json(workspace.prompt_quality, quality)
    return quality


def split_messages(workspace: Workspace, discovery: Discovery, scores: Scores, seed: int) -> Split:
    """Hold conversations out by a hash of their ids: the same ones whatever else the export holds."""
    number = {p.slug: n for n, p in enumerate(discovery.personas)}
    assigned = discovery.analysis.assignments
    labels = np.array([number.get(assigned.get(i) or "", -1) for i in scores.ids], dtype=np.int32)
    train = np.ones(len(scores.ids), dtype=bool)
    held: list[LabelledMessage] = []
    rows: list[int] = []
    for row, message in enumerate(read_labelled(workspace.categorized_messages)):
        train[row] = not _is_held_out(message.conversation_id, seed)
        if not train[row] and labels[row] >= 0 and len(message.voice.split()) >= MIN_WORDS:
            held.append(message)
            rows.append(row)
    kept = _spread(rows, labels, MAX_SCORED)
    held = [m for m, r in zip(held, rows, strict=True) if r in kept]
    rows = [r for r in rows if r in kept]
    found = {int(labels[r]) for r in rows}
    if len(rows) < MIN_HELD_OUT or len(found) < len(number) or not all((train & (labels == c)).any() for c in found):
        raise NothingToDiscoverError(
            f"Only {len(rows)} messages of {len(found)} of {len(number)} personas could be held out; "
            f"{MIN_HELD_OUT} and some of each are needed. Export more chats, or try another --seed."
        )
    messages = tuple(
        HeldOut(m.id, int(scores.conversations[r]), int(labels[r]), m.voice) for m, r in zip(held, rows, strict=True)
    )
    return Split(train, labels, tuple(held), messages)


def _is_held_out(conversation: str, seed: int) -> bool:
    digest = hashlib.sha256(f"{seed}\x00{conversation}".encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:4], "big") < HELD_OUT * 2**32


def _spread(rows: Sequence[int], labels: npt.NDArray[np.int32], most: int) -> set[int]:
    """At most `most` rows of each persona, evenly over time."""
    kept: set[int] = set()
    for c in sorted({int(labels[r]) for r in rows}):
        mine = [r for r in rows if labels[r] == c]
        kept |= {mine[int(i)] for i in np.linspace(0, len(mine) - 1, min(most, len(mine)))}
    return kept


def trained_personas(
    workspace: Workspace, discovery: Discovery, scores: Scores, split: Split, progress: Progress
) -> list[Persona]:
    """The personas as they would be written from the training part alone, names included."""
    with np.load(workspace.modes, allow_pickle=False) as z:
        margin = z["margin"]
    k = len(discovery.personas)
    modes = Modes(
        np.where(split.train, split.labels, np.int32(-1)), np.zeros((k, 1), dtype=np.float32), margin,
        tuple(p.stability for p in discovery.personas), (), k, "", 0, 0,
    )  # fmt: skip
    inputs = Inputs(scores.ids, scores.conversations.tolist(), scores.counts, scores.labels, scores.languages)
    return build_personas(
        inputs, modes, lambda: read_labelled(workspace.categorized_messages), Redactor(),
        budget=discovery.personas[0].prompt.budget, progress=progress,
    )  # fmt: skip


class Heard(NamedTuple):
    """The person's words by persona, held out, and the training conversations the spread of style is taken from."""

    voices: list[list[str]]
    delta: Delta | None
    why_not: str

    @classmethod
    def of(cls, workspace: Workspace, split: Split, k: int) -> Heard:
        """Of k personas."""
        voices: list[list[str]] = [[] for _ in range(k)]
        for message in split.messages:
            voices[message.persona].append(message.text)
        documents: dict[str, list[str]] = {}
        for row, labelled in enumerate(read_labelled(workspace.categorized_messages)):
            if split.train[row]:
                documents.setdefault(labelled.conversation_id, []).append(labelled.voice[:2000])
        try:
            return cls(voices, Delta([" \n".join(d) for d in documents.values()]), "")
        except ValueError as error:
            return cls(voices, None, f"Style cannot be compared: {error}.")


class _Asked(NamedTuple):
    """What a model said: its picks and its answers, by set of prompts."""

    judged: list[int]
    """Places of the judged messages in `Split.messages`."""
    picks: dict[str, list[int | None]]
    questions: list[str]
    answers: dict[str, list[list[str]]]
    """`answers[set][persona][question]`."""
    notes: list[str]


async def _ask(
    model: ChosenModel, sets: dict[str, list[str]], personas: Sequence[Persona], split: Split, seed: int,
    stage: Callable[[str], Progress],
) -> _Asked | None:  # fmt: skip
    """Ask everything a model is needed for; its own prompts join `sets`. None where the person does not agree."""
    hide: Callable[[str, str], str] = Redactor().redact if model.remote else lambda text, _id: text
    judged = _judged(split)
    shown = [split.messages[i]._replace(text=hide(split.messages[i].text, split.messages[i].id)) for i in judged]
    questions = [hide(q.voice, q.id) for q in _questions(split)]
    alike = {**sets, WRITTEN: sets[OFFLINE]}  # about as long
    if not await asyncio.to_thread(model.agrees, estimate(personas, GUARDS) + _estimate(shown, alike, questions)):
        return None
    opened = await model.open()
    try:
        written = await _write(personas, opened, model.label, stage("Writing prompts"))
        sets[WRITTEN] = [w.prompt.text for w in written]
        prompted = {name: prompts for name, prompts in sets.items() if name != NOBODY}
        picks = {
            name: await judge(shown, prompts, opened, seed=seed, progress=stage(f"Whose words: {name}"))
            for name, prompts in prompted.items()
        }
        answers = {
            name: await _generate(opened, prompts, questions, seed, stage(f"Answering: {name}"))
            for name, prompts in sets.items()
        }
    finally:
        await model.close()
    notes = []
    if unusable := sum(not w.usable for w in written):
        notes.append(
            f"{unusable} of {len(written)} “{WRITTEN}” prompts are the offline ones: too little of what the model wrote is supported."
        )
    return _Asked(judged, picks, questions, answers, notes)


async def _write(personas: Sequence[Persona], model: ChatModel, label: str, progress: Progress) -> list[WrittenPrompt]:
    """Prompts by the model, from the training part's material alone."""
    taken = [p.name for p in personas]
    out: list[WrittenPrompt] = []
    for n, persona in enumerate(personas):
        others = taken[:n] + taken[n + 1 :]
        out.append(await write(persona, model, GUARDS, taken=others, label=label))
        taken[n] = out[-1].name
        progress(n + 1, len(personas))
    return out


def _judged(split: Split) -> list[int]:
    labels = np.array([m.persona for m in split.messages], dtype=np.int32)
    return sorted(_spread(range(len(labels)), labels, JUDGED))


def _questions(split: Split) -> list[LabelledMessage]:
    """Held-out messages that can be asked by themselves: openings, of different personas in turn."""
    by_persona: dict[int, list[LabelledMessage]] = {}
    for message, meant in zip(split.held, split.messages, strict=True):
        if stands_alone(message):
            by_persona.setdefault(meant.persona, []).append(message)
    chosen: list[LabelledMessage] = []
    while len(chosen) < QUESTIONS and any(by_persona.values()):
        for persona in sorted(by_persona):
            if by_persona[persona] and len(chosen) < QUESTIONS:
                chosen.append(by_persona[persona].pop(0))
    return chosen


def _estimate(shown: Sequence[HeldOut], sets: Mapping[str, Sequence[str]], questions: Sequence[str]) -> Estimate:
    prompted = {name: prompts for name, prompts in sets.items() if name != NOBODY}
    reading = sum(estimate_tokens(request_text(m.text, p)) for p in prompted.values() for m in shown)
    calls = len(prompted) * len(shown)
    judged = Estimate(f"{len(shown)} held-out messages", calls, reading, calls * ANSWER_TOKENS)
    asking = sum(
        estimate_tokens(p) + estimate_tokens(q) for prompts in sets.values() for p in prompts for q in questions
    )
    answers = sum(len(prompts) for prompts in sets.values()) * len(questions)
    return judged + Estimate(f"{len(questions)} questions", answers, asking, answers * ANSWER_LENGTH)


async def _generate(
    model: ChatModel, prompts: Sequence[str], questions: Sequence[str], seed: int, progress: Progress
) -> list[list[str]]:
    """`[persona][question]`: an answer each; without a prompt the seeds alone make them differ."""
    places = asyncio.Semaphore(4)
    done = 0

    async def one(n: int, prompt: str, question: str) -> str:
        nonlocal done
        turns = ([ChatTurn("system", prompt)] if prompt else []) + [ChatTurn("user", question)]
        request = ChatRequest(turns=tuple(turns), temperature=0.7, max_tokens=ANSWER_LENGTH, seed=seed * 100 + n)
        async with places:
            text = (await complete(model, request)).text
        done += 1
        progress(done, len(prompts) * len(questions))
        return text

    answers = await asyncio.gather(*(one(n, p, q) for n, p in enumerate(prompts) for q in questions))
    return [list(answers[n * len(questions) : (n + 1) * len(questions)]) for n in range(len(prompts))]


def _quality(
    discovery: Discovery, sets: Mapping[str, Sequence[str]], split: Split, heard: Heard, asked: _Asked | None,
    model: ChosenModel | None, seed: int,
) -> PromptQuality:  # fmt: skip
    texts = [m.text for m in split.messages]
    marks = {name: marks_of_scores(split.messages, lexical_scores(prompts, texts)) for name, prompts in sets.items()}
    judged: dict[str, Marks] = {}
    if asked is not None:
        shown = [split.messages[i] for i in asked.judged]
        judged = {name: marks_of_picks(shown, picks) for name, picks in asked.picks.items()}
    every_prompt = [p for prompts in sets.values() for p in prompts if p]
    every_answer = [a for answers in asked.answers.values() for mine in answers for a in mine] if asked else []
    rows = [
        PromptSet(
            name=name,
            tokens=round(float(np.mean([estimate_tokens(p) for p in prompts]))),
            attribution=accuracy(marks[name], seed=seed),
            judged=accuracy(judged[name], seed=seed) if name in judged else None,
            style=_style(asked.answers[name], heard) if asked else None,
            prompt_distinctness=prompt_distinctness(prompts, every_prompt),
            answer_distinctness=answer_distinctness(asked.answers[name], every_answer) if asked and asked.questions else None,
        )
        for name, prompts in sets.items()
    ]  # fmt: skip
    later = [name for name in sets if name not in (NOBODY, OFFLINE)]
    notes = ([heard.why_not] if heard.why_not else []) + (asked.notes if asked else [])
    if EDITED in sets:
        notes.append(f"“{EDITED}” holds prompts edited by you, who may have read the held-out messages.")
    if asked is not None and not asked.questions:
        notes.append("No held-out message can be asked by itself, so nothing was generated.")
    return PromptQuality(
        personas=tuple(p.slug for p in discovery.personas), messages=len(texts),
        conversations=len({m.conversation for m in split.messages}), seed=seed, judge=model.label if model else None,
        questions=len(asked.questions) if asked else 0, sets=tuple(rows),
        differences=(
            difference(f"{OFFLINE} over {NOBODY}", marks[OFFLINE], marks[NOBODY], seed=seed),
            *(difference(f"{n} over {OFFLINE}", marks[n], marks[OFFLINE], seed=seed) for n in later),
            *(
                difference(f"{n} over {OFFLINE}, by the model", judged[n], judged[OFFLINE], seed=seed)
                for n in later if n in judged
            ),
        ),
        notes=tuple(notes),
    )  # fmt: skip


def _style(answers: Sequence[Sequence[str]], heard: Heard) -> Style | None:
    if heard.delta is None or not answers or not answers[0]:
        return None
    return style_of(answers, heard.voices, heard.delta, _markers)


def _markers(text: str) -> Counter[str]:
    return Counter(name for name, _, _ in find_markers(text))
