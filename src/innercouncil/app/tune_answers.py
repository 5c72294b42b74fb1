"""Answers of models for training rows: asked for with a yes, kept line by line, so that a run cut off goes on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from innercouncil.model.errors import BackendRejectedError, DeclinedError
from innercouncil.model.languages import LANGUAGES
from innercouncil.model.ports import ChatModel, ChatRequest, ChatTurn, ChosenModel, Estimate, ask_each, complete
from innercouncil.model.tokens import estimate_tokens
from innercouncil.prompts import fenced, source, template
from innercouncil.readers.language import detect
from innercouncil.store.workspace import Workspace, disk_errors, fingerprint, whole_lines
from innercouncil.tuning.dataset import Draft, Redact, plainly
from innercouncil.tuning.quality import Finish

ANSWER_TOKENS: Final = 500
AT_ONCE: Final = 4
TEMPERATURE: Final = 0.3

Progress = Callable[[int, int], None]


class ModelAnswer(msgspec.Struct, frozen=True):
    """A line of training_answers.jsonl: what a model wrote, taken or not."""

    key: str
    """Digest of what it was asked, whoever was asked."""
    author: str
    """The model by its content."""
    label: str
    remote: bool
    text: str
    finish: Finish | None
    """None where the question did not fit into its context."""


class Answers(NamedTuple):
    """All that models wrote, by what they were asked; of several models the newest comes first."""

    by_key: Mapping[str, Sequence[ModelAnswer]]

    def to(self, voice: str, draft: Draft) -> Sequence[ModelAnswer]:
        """What was written to a question in a persona's voice."""
        return self.by_key.get(_key(voice, draft), ())


class Wanted(NamedTuple):
    """A question to be answered in a persona's voice."""

    voice: str
    """The persona's prompt in force."""
    draft: Draft


def kept_answers(workspace: Workspace, first: str = "") -> Answers:
    """Answers of this and earlier runs; those of the model `first` (its identity) before all others."""
    found: dict[str, list[ModelAnswer]] = {}
    for line in whole_lines(workspace.training_answers):
        with contextlib.suppress(msgspec.MsgspecError):
            answer = msgspec.json.decode(line, type=ModelAnswer)
            found.setdefault(answer.key, []).insert(0, answer)
    return Answers({k: sorted(v, key=lambda a: a.author != first) for k, v in found.items()})


def ask_model(
    workspace: Workspace, model: ChosenModel, wanted: Sequence[Wanted], redact: Redact, progress: Progress
) -> Answers:
    """Let the model answer what it has not answered yet, after the person saw what it takes and said yes.

    Raises DeclinedError, BackendError, UsageError without consent.
    """
    kept = kept_answers(workspace, model.identity)
    there = {(k, a.author) for k, answers in kept.by_key.items() for a in answers}
    missing = {_key(w.voice, w.draft): w for w in wanted}
    missing = {k: w for k, w in missing.items() if (k, model.identity) not in there}
    if missing:
        hide: Redact = redact if model.remote else lambda text, _id: text
        requests = {k: _request(hide(w.voice, "prompt"), w.draft, int(k[:7], 16)) for k, w in missing.items()}
        asyncio.run(_ask_all(workspace, model, requests, progress))
    progress(1, 1)
    return kept_answers(workspace, model.identity)


async def _ask_all(
    workspace: Workspace, model: ChosenModel, requests: Mapping[str, ChatRequest], progress: Progress
) -> None:
    if not await asyncio.to_thread(model.agrees, _estimate(list(requests.values()))):
        raise DeclinedError(
            "Nothing was asked. Without --llm rows are made of your own words, and the others await you."
        )
    opened = await model.open()
    path = workspace.training_answers
    try:
        with disk_errors(path), path.open("ab") as file:

            async def one(asked: tuple[str, ChatRequest]) -> int:
                text, finish = await _answered(opened, asked[1])
                answer = ModelAnswer(asked[0], model.identity, model.label, model.remote, text, finish)
                file.write(msgspec.json.encode(answer) + b"\n")
                file.flush()
                return 1

            await ask_each(list(requests.items()), one, at_once=AT_ONCE, total=len(requests), progress=progress)
    finally:
        await model.close()


async def _answered(model: ChatModel, request: ChatRequest) -> tuple[str, Finish | None]:
    try:
        reply = await complete(model, request)
    except BackendRejectedError as error:
        if not error.too_long:
            raise
        return "", None
    return plainly(reply.text), reply.finish


def _request(voice: str, draft: Draft, seed: int) -> ChatRequest:
    language = LANGUAGES.get(detect(draft.text) or "en", "the language of the question")
    text = template("rewrite_answer").render(
        voice=fenced(voice), question=fenced(draft.user), answer=fenced(draft.plain), language=language
    )
    return ChatRequest(
        turns=(ChatTurn("user", text),), temperature=TEMPERATURE, max_tokens=ANSWER_TOKENS, seed=seed
    )  # fmt: skip


def _estimate(requests: Sequence[ChatRequest]) -> Estimate:
    reading = sum(estimate_tokens(t.content) for r in requests for t in r.turns)
    count = len(requests)
    return Estimate(f"{count} question{'s' if count != 1 else ''} of yours", count, reading, count * ANSWER_TOKENS)


def _key(voice: str, draft: Draft) -> str:
    return fingerprint(prompt=source("rewrite_answer"), voice=voice, question=draft.user, plain=draft.plain)[:32]
