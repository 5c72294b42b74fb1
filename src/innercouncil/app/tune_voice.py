"""The guards of training answers: language, orders to models, and how far a text lies from a persona's held-out messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from innercouncil.app.labelling import read_labelled
from innercouncil.app.written_prompts import gives_orders
from innercouncil.evaluation.voice import Delta
from innercouncil.readers.language import detect
from innercouncil.store.workspace import Workspace
from innercouncil.tuning.quality import Guards

HEARD_WORDS: Final = 60
"""Fewest held-out words of a persona that a voice can be compared with."""
DOCUMENTS: Final = 2000
"""Conversations at most that tell how much the person's words vary."""
DOCUMENT_CHARS: Final = 2000


def guards_of(workspace: Workspace, held_out: Mapping[str, Sequence[str]], *, needed: bool) -> dict[str, Guards]:
    """Guards of each persona, by the texts that are held out of it; without distances where those are not `needed`."""
    delta = _delta(workspace) if needed else None
    return {slug: Guards(detect, gives_orders, _distance(delta, texts)) for slug, texts in held_out.items()}


def _distance(delta: Delta | None, texts: Sequence[str]) -> Callable[[str], float] | None:
    heard = " \n".join(texts)
    if delta is None or len(heard.split()) < HEARD_WORDS:
        return None
    return lambda text: delta.between(text, heard)


def _delta(workspace: Workspace) -> Delta | None:
    documents: dict[str, str] = {}
    for message in read_labelled(workspace.categorized_messages):
        if message.conversation_id in documents or len(documents) < DOCUMENTS:
            before = documents.get(message.conversation_id, "")
            documents[message.conversation_id] = f"{before} \n{message.voice}"[:DOCUMENT_CHARS]
    try:
        return Delta(list(documents.values()))
    except ValueError:
        return None
