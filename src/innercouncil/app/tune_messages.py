"""The messages of a workspace as drafts of training rows: two passes, so that only what may become a row is redacted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from innercouncil.app.labelling import read_labelled
from innercouncil.model.labels import LabelledMessage
from innercouncil.model.persona import Discovery
from innercouncil.model.tokens import disarm
from innercouncil.store.workspace import Workspace
from innercouncil.tuning.dataset import (
    HELD_OUT,
    Distinct,
    Draft,
    Halves,
    Redact,
    drawn,
    hold_out,
    own_words,
    question,
    unfit_as_own,
    unfit_as_question,
    without_near_duplicates,
)

Progress = Callable[[int, int], None]


class Limits(NamedTuple):
    """How many drafts are made of a persona's messages."""

    own: int = 1000
    questions: int = 60
    held_out: float = HELD_OUT
    seed: int = 0


class PersonaDrafts(NamedTuple):
    """A persona and what its messages gave."""

    slug: str
    name: str
    prompt: str
    """In force."""
    drafts: Distinct
    messages: int
    left_out: dict[str, int]
    hand: Mapping[str, str]
    """Message -> answer written by hand."""


class _Fit(NamedTuple):
    """Ids of a persona's messages that may become a draft, and what is counted of the others."""

    own: list[str]
    openings: list[str]
    """Questions that begin a conversation; they are drawn before the others."""
    following: list[str]
    left_out: Counter[str]

    @property
    def questions(self) -> list[str]:
        """All that may be questions."""
        return [*self.openings, *self.following]

    def asked(self, most: int, seed: int, hand: Mapping[str, str]) -> set[str]:
        """Ids of at most `most` questions, and of those that have an answer written by hand."""
        first = drawn(self.openings, most, seed)
        return first | drawn(self.following, most - len(first), seed) | (hand.keys() & set(self.questions))


def read_drafts(
    workspace: Workspace, discovery: Discovery, prompts: Mapping[str, str], hand: Mapping[str, Mapping[str, str]],
    limits: Limits, redact: Redact, progress: Progress,
) -> list[PersonaDrafts]:  # fmt: skip
    """The drafts of every persona, split and without near-duplicates; `prompts` holds the prompts in force by slug, `hand`
    the answers written by hand: a message that has one is always among the questions.
    """
    prompts = {p.slug: disarm(prompts.get(p.slug, p.prompt.text)) for p in discovery.personas}
    fit, times = _fit(workspace, discovery)
    own, asked = dict[str, set[str]](), dict[str, set[str]]()
    for slug, f in fit.items():
        own[slug] = drawn(f.own, limits.own, limits.seed)
        asked[slug] = f.asked(limits.questions, limits.seed, hand[slug])
        f.left_out["own words: more than asked for"] = len(f.own) - len(own[slug])
        f.left_out["question: more than asked for"] = len(f.questions) - len(asked[slug])
    drafts: dict[str, list[Draft]] = {slug: [] for slug in fit}
    total, done = sum(len(ids) for by_slug in (own, asked) for ids in by_slug.values()), 0
    for slug, m in _of_personas(workspace, discovery):
        made: dict[str, Draft | str] = {}
        if m.id in own[slug]:
            made["own words"] = own_words(m, prompts[slug], redact)
        if m.id in asked[slug]:
            made["question"] = question(m, redact)
        for what, draft in made.items():
            if isinstance(draft, str):
                fit[slug].left_out[f"{what}: {draft}"] += 1
            else:
                drafts[slug].append(draft)
        done += len(made)
        progress(done, max(total, 1))
    progress(1, 1)
    sizes = Counter(slug for slug in discovery.analysis.assignments.values() if slug)
    return [
        PersonaDrafts(
            p.slug, p.name, prompts[p.slug],
            without_near_duplicates(_hand_first(hold_out(drafts[p.slug], times, share=limits.held_out), hand[p.slug])),
            sizes[p.slug], {k: n for k, n in sorted(fit[p.slug].left_out.items()) if n}, hand[p.slug],
        )
        for p in discovery.personas
    ]  # fmt: skip


def _hand_first(halves: Halves, hand: Mapping[str, str]) -> Halves:
    """Of near-duplicates the first stays; what the person wrote an answer to must not be the one that goes."""
    train, held = (tuple(sorted(half, key=lambda d: d.source not in hand)) for half in halves)
    return Halves(train, held)


def _fit(workspace: Workspace, discovery: Discovery) -> tuple[dict[str, _Fit], dict[str, float]]:
    """What may become what, by persona, and the newest time of each conversation."""
    fit = {p.slug: _Fit([], [], [], Counter()) for p in discovery.personas}
    times: dict[str, float] = {}
    for m in read_labelled(workspace.categorized_messages):
        if m.time is not None:
            times[m.conversation_id] = max(m.time, times.get(m.conversation_id, m.time))
        f = fit.get(discovery.analysis.assignments.get(m.id) or "")
        if f is None:
            continue
        for ids, what, why in (
            (f.own, "own words", unfit_as_own(m)),
            (f.following if m.context else f.openings, "question", unfit_as_question(m)),
        ):  # fmt: skip
            if why:
                f.left_out[f"{what}: {why}"] += 1
            else:
                ids.append(m.id)
    return fit, times


def _of_personas(workspace: Workspace, discovery: Discovery) -> Iterator[tuple[str, LabelledMessage]]:
    known = {p.slug for p in discovery.personas}
    for m in read_labelled(workspace.categorized_messages):
        slug = discovery.analysis.assignments.get(m.id)
        if slug in known:
            yield slug or "", m
