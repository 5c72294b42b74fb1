"""Clusters, personas and their system prompts, each claim tied to the messages it came from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from innercouncil.model.slug import slug_of


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence about a persona and the ids of the messages that bear it out."""

    text: str
    evidence: tuple[str, ...]
    share: float | None = None
    """Share of the persona's messages it holds for, where it is a share."""
    elsewhere: float | None = None
    """The same share among the person's other messages."""


class Phrase(msgspec.Struct, frozen=True, kw_only=True):
    """A phrase the person uses more in this mode than in the others."""

    text: str
    count: int
    """Messages of the persona that hold it."""
    lift: float
    """How many times more often than in the person's other messages (smoothed)."""
    evidence: tuple[str, ...]


class LabelLift(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a persona carries a label, against the rest."""

    field: str
    label: str
    share: float
    lift: float


class Exemplar(msgspec.Struct, frozen=True, kw_only=True):
    """A redacted message close to the centre of the cluster, with what it answered and what it got."""

    id: str
    text: str
    context: str = ""
    reply: str = ""
    time: float | None = None


class PromptLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a system prompt and the ids of the messages that support it."""

    section: str
    text: str
    evidence: tuple[str, ...]


class SystemPrompt(msgspec.Struct, frozen=True, kw_only=True):
    """A generated prompt: `text` is what the model gets, `lines` says where it came from."""

    text: str
    tokens: int
    """Upper estimate for Qwen2.5's tokenizer (docs/discovery.md)."""
    budget: int
    lines: tuple[PromptLine, ...]
    left_out: tuple[str, ...] = ()
    """What did not fit in the budget, in words."""


class WrittenPrompt(msgspec.Struct, frozen=True, kw_only=True):
    """A persona as a language model wrote it, held to the evidence; the person chooses between it and the offline one."""

    name: str
    description: str
    description_evidence: tuple[tuple[str, ...], ...] = ()
    """Ids of the messages behind each sentence of the description."""
    prompt: SystemPrompt
    usable: bool
    """False where too little of what the model wrote is supported; then this is the offline persona."""
    model: str
    key: str
    """Digest of what it was written from."""
    dropped: dict[str, int]
    """Reason in words -> sentences or answers that were dropped for it."""
    author: str = ""
    """The model by its content."""


class Persona(msgspec.Struct, frozen=True, kw_only=True):
    """A mode the person thinks in."""

    slug: str
    name: str
    description: str
    claims: tuple[Claim, ...]
    size: int
    share: float
    """Share of the person's messages."""
    stability: float
    """Mean clusterwise Jaccard over bootstraps of whole conversations (fpc's clusterboot), 0 to 1."""
    verdict: Literal["highly stable", "stable", "tentative", "unstable", "by hand"]
    ambiguous_share: float
    """Share of its messages that lie almost as close to another persona."""
    labels: tuple[LabelLift, ...]
    phrases: tuple[Phrase, ...]
    exemplars: tuple[Exemplar, ...]
    topics: dict[str, int]
    acts: dict[str, int]
    tones: dict[str, int]
    months: dict[str, int]
    """Messages per month, "YYYY-MM" (UTC)."""
    hours: tuple[int, ...]
    """Messages per hour of the day, 24 numbers (UTC)."""
    median_words: float
    question_share: float
    pasted_share: float
    """Share of characters that are pasted material."""
    prompt: SystemPrompt
    origin: str = "discovered"
    """"discovered", "merged", "split", "model" (its prompt was written by a language model) or "edited"."""


class CandidateK(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured for one number of clusters."""

    k: int
    stability: tuple[float, ...]
    """Per-cluster mean Jaccard over bootstraps."""
    separation: float
    """Share of between-cluster variance (0 to 1)."""
    separation_null: float
    """The same on data of one mode (columns resampled from a single Gaussian of equal covariance)."""
    silhouette: float
    score: float
    smallest: int
    """Messages in the smallest cluster."""


class ClusterAnalysis(msgspec.Struct, frozen=True, kw_only=True):
    """Contents of cluster_analysis.json."""

    k: int
    requested: int | None
    found: int
    """Number of clusters that are stable enough to speak of."""
    verdict: str
    """In plain words: how many modes the data holds, and how sure that is."""
    candidates: tuple[CandidateK, ...]
    stability: dict[str, float]
    assignments: dict[str, str | None]
    """Message id of the person -> persona slug, null where it fits no mode."""
    unassigned: dict[str, int]
    """Reason in words -> number of messages without a persona."""
    leak: dict[str, float]
    """Adjusted mutual information of the clusters with topic, length and language: what else they could be."""
    seed: int
    settings: dict[str, Any]


class MapPoint(msgspec.Struct, frozen=True, array_like=True):
    """A message on the 2-D map (arbitrary units, about -1 to 1)."""

    id: str
    x: float
    y: float
    slug: str | None


class RedactionReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken out before text entered prompts and exemplars."""

    counts: dict[str, int]
    """Kind -> number of replacements."""
    places: tuple[tuple[str, str, int], ...]
    """(message id, kind, number of replacements): never the text itself."""


class Discovery(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the discovery found: what the report and the terminal summary show."""

    personas: tuple[Persona, ...]
    analysis: ClusterAnalysis
    map: tuple[MapPoint, ...]
    redaction: RedactionReport
    topic_by_persona: dict[str, dict[str, int]]
    transitions: dict[str, dict[str, int]]
    """Slug -> slug of the next message in the same conversation -> count."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Something the person changed about the personas; kept in the database, applied again after every run.

    `value` is the new prompt (edit), the new name (rename, merge), a WrittenPrompt as JSON (choose; empty for the offline
    prompt) or empty; `other` the second persona of a merge.
    """

    action: Literal["edit", "rename", "merge", "split", "drop", "choose"]
    slug: str
    value: str = ""
    other: str = ""


def called_now(slug: str, changes: Sequence[Change]) -> str:
    """What the persona that was called `slug` once is called after these changes, as far as it was renamed."""
    for change in changes:
        if change.action == "rename" and change.slug == slug:
            slug = slug_of(change.value)
    return slug


def called_before(slug: str, changes: Sequence[Change]) -> list[str]:
    """What the persona called `slug` was called before, the newest first."""
    found = []
    for change in reversed(changes):
        if change.action == "rename" and slug_of(change.value) == slug:
            slug = change.slug
            found.append(slug)
    return found
