"""The guards of training answers: language, orders to models, and whether a text is nearer to the person's voice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from threadpoolctl import threadpool_limits

from innercouncil.app.labelling import read_labelled
from innercouncil.app.tune_messages import PersonaDrafts
from innercouncil.app.written_prompts import gives_orders
from innercouncil.evaluation.voice_score import TOLD, Heard, VoiceScore
from innercouncil.model.labels import LabelledMessage
from innercouncil.readers.language import detect
from innercouncil.store.workspace import Workspace
from innercouncil.tuning.dataset import plain_answer
from innercouncil.tuning.quality import Guards


class VoiceCheck(NamedTuple):
    """The guards of a persona, and how far its voice can be told."""

    guards: Guards
    told: float | None
    """Share of held-out pairs, own message and plain answer, that the voice score tells apart; None where it cannot say."""


NO_VOICE = VoiceCheck(Guards(detect, gives_orders, None), None)


def voice_checks(workspace: Workspace, found: Sequence[PersonaDrafts], *, needed: bool) -> dict[str, VoiceCheck]:
    """The check of each persona; nothing is read where no voice is `needed`.

    The score is made of the training part's messages; the held-out ones say whether it may refuse an answer.
    """
    if not needed:
        return dict.fromkeys((p.slug for p in found), NO_VOICE)
    wanted = {d.source for p in found for half in p.drafts.halves for d in half if d.kind == "own"}
    messages = {m.id: m for m in read_labelled(workspace.categorized_messages) if m.id in wanted}
    with threadpool_limits(limits=1):  # the order in which threads add up would change the last digits
        return {p.slug: _check(p, messages) for p in found}


def _check(p: PersonaDrafts, messages: Mapping[str, LabelledMessage]) -> VoiceCheck:
    train, held = (
        [_heard(messages[d.source]) for d in half if d.kind == "own" and d.source in messages]
        for half in p.drafts.halves
    )
    try:
        score = VoiceScore(train)
    except ValueError:
        return NO_VOICE
    told = score.told(held)
    return VoiceCheck(Guards(detect, gives_orders, score.gain if told is not None and told >= TOLD else None), told)


def _heard(message: LabelledMessage) -> Heard:
    return Heard(message.conversation_id, message.voice, plain_answer(message))
