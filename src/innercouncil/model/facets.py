"""Facets of conversations as a language model saw them, the tree they grow into, and how that compares with the default."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

Way = Literal["labels", "facets"]
"""How modes are found: from the offline labels' evidence, or from facets a model extracted."""
PURPOSES: Final = ("understand", "make", "repair", "improve", "decide", "imagine", "converse")
"""What a conversation is for; the one facet with a closed set."""


class Facets(msgspec.Struct, frozen=True, kw_only=True):
    """What a model says of one conversation, in general English phrases."""

    purpose: str
    task: str
    """What the person wants done."""
    approach: str
    """How the person goes about it, and what they demand of the other."""
    stance: str
    """How the person speaks to the other."""

    @property
    def text(self) -> str:
        """All of it as one text."""
        return f"{self.purpose}: {self.task}; {self.approach}; {self.stance}"


class ConversationFacets(msgspec.Struct, frozen=True, kw_only=True):
    """One line of conversation_facets.jsonl."""

    conversation: str
    facets: Facets | None
    """None where the model gave no valid answer, twice; then the offline evidence places the conversation."""
    rejected: str = ""
    """Why the last answer was not taken."""


class FacetGroup(msgspec.Struct, frozen=True, kw_only=True):
    """A node of the tree: conversations whose facets are alike."""

    name: str
    description: str
    named_by: Literal["model", "terms"]
    """"terms" where the model's name was not valid: then it is the words that set the group apart."""
    size: int
    """Conversations in it."""
    stability: float | None = None
    """Of a top group: mean clusterwise Jaccard over bootstraps of conversations."""
    conversations: tuple[str, ...] = ()
    """Ids, in the lowest groups only."""
    children: tuple[FacetGroup, ...] = ()


class FacetReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a model's answers about facets."""

    model: str
    conversations: int
    """Conversations asked about, in this run or an earlier one whose answers were kept."""
    accepted: int
    rejected: int
    """Conversations without a valid answer, twice."""
    reasons: dict[str, int]
    """Why the last answers were not taken, in words."""
    asked_again: int
    """Conversations whose first answer was not valid."""
    groups: int
    """Groups to be named."""
    unnamed: int
    """Of these, groups whose name the model did not give validly, twice: they carry the words that set them apart."""


class FacetHierarchy(msgspec.Struct, frozen=True, kw_only=True):
    """Contents of facet_hierarchy.json."""

    groups: tuple[FacetGroup, ...]
    """Top groups, the largest first."""
    moved: int
    """Conversations that their lowest group took to another top group than the one they are nearest to."""
    report: FacetReport


class FoundMode(msgspec.Struct, frozen=True, kw_only=True):
    """A mode as one of the ways found it, before the person's changes."""

    name: str
    size: int
    """Messages in it."""
    stability: float


class FoundModes(msgspec.Struct, frozen=True, kw_only=True):
    """What one way of finding modes found."""

    way: Way
    verdict: str
    modes: tuple[FoundMode, ...]
    mean_stability: float
    separation: float
    """Share of variance between the modes, in the way's own space."""
    separation_null: float
    """The same on data of one mode."""
    placed: float
    """Share of messages that belong to a mode."""
    gold_ari: float | None = None
    """Agreement with known modes, where those were given: adjusted Rand index."""
    gold_v: float | None = None
    """The same as V-measure."""


class ModeComparison(msgspec.Struct, frozen=True, kw_only=True):
    """Contents of mode_comparison.json: the ways of finding modes beside each other, on the same messages."""

    used: Way
    """The way the personas were made."""
    messages: int
    ways: tuple[FoundModes, ...]
    """The default first; it stands alone where no facets were extracted."""
    ari: float | None = None
    """Agreement of the two ways over all messages (adjusted Rand index); "no mode" counts as one of a way's groups."""
    ami: float | None = None
    """The same as adjusted mutual information."""
    table: tuple[tuple[int, ...], ...] = ()
    """Messages by default mode (rows, the last one "no mode") and facet group (columns, likewise)."""
    grounding: float | None = None
    """Share of the offline evidence's variance that lies between the facet groups."""
    grounding_chance: float | None = None
    """The same, when the groups are dealt to the conversations at random: the largest of 95 of 100 deals."""
    hierarchy: FacetHierarchy | None = None
    gold_messages: int = 0
    """Messages whose true mode was given."""
