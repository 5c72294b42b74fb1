"""Whether personas keep to what their prompts say: checklists, figures against a control, and drift."""

from __future__ import annotations

from typing import Literal

import msgspec

from innercouncil.model.similarity import Estimated

By = Literal["judge", "count"]
"""Who answers an item: a model, or the program, where words can be counted."""
ItemVerdict = Literal[
    "tells apart", "everyone passes", "nobody passes", "below control", "not sure", "too seldom", "not judged"
]
AdherenceVerdict = Literal["keeps", "no better", "not sure", "not judged"]
DriftVerdict = Literal["keeps", "fades", "not sure", "not judged"]
StyleVerdict = Literal["nearer", "farther", "not sure", "no voice"]
StyleName = Literal["sentence length", "question rate", "function words", "frequent words"]


class ChecklistItem(msgspec.Struct, frozen=True, kw_only=True):
    """A yes/no question about an answer; yes means that the answer keeps to the line."""

    question: str
    line: str = ""
    """The prompt's line it is drawn from, word for word; empty for one that the person added."""
    number: int = 0
    """Of that line in the prompt, from 1; 0 for one that the person added."""
    drawn: str = ""
    """The question as it was drawn: where `question` says something else, the person changed it."""


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a prompt that no item was drawn from."""

    number: int
    line: str
    why: str


class Checklist(msgspec.Struct, frozen=True, kw_only=True):
    """What a persona's prompt asks for; an entry of adherence_checklists.json, which the person may edit."""

    persona: str
    """Slug."""
    prompt: str
    """Digest of the prompt it was drawn from."""
    items: tuple[ChecklistItem, ...]
    left_out: tuple[LeftOut, ...] = ()
    drawn_lines: tuple[str, ...] = ()
    """Every line an item was drawn from: one whose item is gone was struck out by the person and is not drawn again."""


class ItemAdherence(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an item. Shares are of the answers it applies to; intervals are 95%, over questions."""

    question: str
    line: str
    number: int
    by: By
    questions: int
    """To which it applied both for the persona and for the control."""
    persona: Estimated | None
    """Share of yes; None where it never applied."""
    control: Estimated | None
    """The same of the model's answers without the persona."""
    difference: Estimated | None
    """Persona less control, over the questions it applied to in both."""
    not_applicable: int
    """Answers of the persona that it did not apply to."""
    verdict: ItemVerdict


class StyleMeasure(msgspec.Struct, frozen=True, kw_only=True):
    """One count of style: the persona's answers, the same model's without persona, and the person's held-out messages."""

    name: StyleName
    persona: float
    """Words a sentence; share of sentences that ask; match of function words with the voice, 0 to 1; Burrows's Delta of
    frequent words to the voice, 0 for the same."""
    control: float
    voice: float | None
    """Of the held-out messages; None for the two that are themselves a comparison with them."""
    gain: Estimated | None
    """How much nearer to the voice than the control, in the unit of the measure; negative is farther."""
    verdict: StyleVerdict


class TurnAdherence(msgspec.Struct, frozen=True, kw_only=True):
    """One turn of the conversations, over all of them."""

    turn: int
    """0 is the opening question, 1 the first follow-up."""
    answers: int
    kept: float | None
    """Share of yes among the items that applied; None where none did or nobody judged."""
    sentence_length: float
    question_rate: float
    function_words: float | None
    """Match with the voice; None without one."""


class StyleDrift(msgspec.Struct, frozen=True, kw_only=True):
    """How a count of style changes within conversations."""

    name: StyleName
    early: float
    late: float
    change: Estimated
    """Late less early, over conversations."""


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a persona still keeps to its prompt late in a conversation. The opening counts in neither half."""

    conversations: int
    turns: int
    """Follow-ups of each; the first half is early, the second late."""
    by_turn: tuple[TurnAdherence, ...]
    early: float | None
    late: float | None
    change: Estimated | None
    """Late less early, mean over conversations with Student's interval; None where nothing was judged."""
    verdict: DriftVerdict
    words: str
    style: tuple[StyleDrift, ...] = ()


class PersonaAdherence(msgspec.Struct, frozen=True, kw_only=True):
    """One persona."""

    persona: str
    """Slug."""
    name: str
    answers: int
    """To single questions."""
    unjudged: int
    """Answers of the persona, or of the control on its checklist, that the judge gave no valid answer for twice."""
    items: tuple[ItemAdherence, ...]
    kept: Estimated | None
    """Share of yes over all items that applied, mean over questions."""
    control: Estimated | None
    difference: Estimated | None
    verdict: AdherenceVerdict
    words: str
    style: tuple[StyleMeasure, ...] = ()
    drift: Drift | None = None


class Judge(msgspec.Struct, frozen=True, kw_only=True):
    """The model that judged, and whether its word is worth anything.

    Every call hides an item whose right answer is known: whether a word stands in the answer that does, or does not.
    """

    model: str
    usable: bool
    judged: int
    """Answers, counted once for each checklist they were held against."""
    unjudged: int
    says_yes: float
    """Share of yes among its yes and no to the checklists' items."""
    found: Estimated
    """Share of known items with the answer yes that it said yes to."""
    denied: Estimated
    """Share of known items with the answer no that it said no to."""
    words: str


class AdherenceReport(msgspec.Struct, frozen=True, kw_only=True):
    """Contents of adherence.json."""

    personas: tuple[PersonaAdherence, ...]
    questions: int
    samples: int
    """Answers a question."""
    turns: int
    conversations: int
    model: str
    """That spoke, with and without personas."""
    judge: Judge | None
    """None where nobody judged."""
    notes: tuple[str, ...] = ()
