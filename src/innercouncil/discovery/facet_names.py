"""Names and descriptions of facet groups by a language model, each told apart from its neighbours; bottom up.

A lowest group is named from the facets of its central conversations, a top group from what its children are called.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Final, NamedTuple

import msgspec
import numpy as np

from innercouncil import prompts
from innercouncil.discovery.checked_answers import (
    Answer,
    Request,
    all_trouble,
    ask_checked,
    on_one_line,
    text_schema,
    text_trouble,
)
from innercouncil.discovery.facet_groups import FEWEST, MOST, PER_GROUP, Grouping, central, key_terms, neighbours
from innercouncil.discovery.model_prompts import Guards
from innercouncil.model.facets import FacetGroup
from innercouncil.model.ports import ChatModel, Estimate, ask_each
from innercouncil.model.slug import slug_of
from innercouncil.model.tokens import estimate_tokens

SHOWN: Final = 14
"""Conversations or children a model sees of a group."""
CONTRASTS: Final = 8
AT_ONCE: Final = 4
"""Questions under way at the same time."""
ANSWER_TOKENS: Final = 120
MATERIAL_TOKENS: Final = 45
"""Tokens of one piece of material, for the estimate."""
DESCRIPTION_WORDS: Final = (4, 36)
TOP_GROUPS: Final = 6
_NAME_RE: Final = re.compile(r"[A-Za-z]+(?:[ -][A-Za-z]+){1,4}")

Keep = Callable[[str, Answer["GroupName"]], None]


class GroupName(msgspec.Struct, frozen=True):
    """What a model calls a group."""

    name: str
    description: str


class GroupQuestion(NamedTuple):
    """A group to be named: what belongs to it, and what belongs to its neighbours."""

    key: str
    members: tuple[str, ...]
    others: tuple[str, ...]


def base_questions(grouping: Grouping, texts: Sequence[str]) -> list[GroupQuestion]:
    """One for each lowest group: its central conversations' facets against those of its nearest groups."""
    rows = [np.flatnonzero(grouping.base == b) for b in range(len(grouping.parents))]
    out = []
    for b, members in enumerate(rows):
        others = [i for n in neighbours(grouping, b, 4) for i in central(grouping, rows[n], 2)]
        out.append(_question([texts[i] for i in central(grouping, members, SHOWN)], [texts[i] for i in others]))
    return out


def top_questions(grouping: Grouping, base: Sequence[FacetGroup]) -> list[GroupQuestion]:
    """One for each top group: its children's names and descriptions against those of the other top groups' largest."""
    told = [f"{g.name}: {g.description}" if g.description else g.name for g in base]
    out = []
    for top in range(len(grouping.stability)):
        mine = [told[b] for b, parent in enumerate(grouping.parents) if parent == top]
        others = [told[b] for b, parent in enumerate(grouping.parents) if parent != top]
        out.append(_question(mine[:SHOWN], others))
    return out


def _question(members: Sequence[str], others: Sequence[str]) -> GroupQuestion:
    shown, against = tuple(members), tuple(others[:CONTRASTS])
    key = hashlib.sha256(msgspec.json.encode([naming_version(), shown, against])).hexdigest()
    return GroupQuestion(key, shown, against)


def most_groups(conversations: int) -> int:
    """Most groups that so many conversations can come to, before they are grouped."""
    return max(FEWEST, min(MOST, round(conversations / PER_GROUP))) + TOP_GROUPS


def estimate_naming(groups: int) -> Estimate:
    """Calls and tokens that naming so many groups will take at most, whatever is in them."""
    frame = estimate_tokens(_render(GroupQuestion("", (), ()), 0))
    reading = groups * (frame + MATERIAL_TOKENS * (SHOWN + CONTRASTS))
    return Estimate(f"up to {groups} groups of conversations", groups, reading, ANSWER_TOKENS * groups)


async def name_groups(
    questions: Sequence[GroupQuestion], model: ChatModel, guards: Guards, *, keep: Keep,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> None:  # fmt: skip
    """Ask about every group; `keep(key, answer)` gets each answer as it comes. Raises BackendError."""

    async def one(question: GroupQuestion) -> int:
        request = Request(
            render=lambda n: _render(question, n), pieces=len(question.members), type=GroupName, schema=name_schema(),
            max_tokens=ANSWER_TOKENS, trouble=lambda a: name_trouble(a, guards),
        )  # fmt: skip
        keep(question.key, await ask_checked(request, model))
        return 1

    await ask_each(questions, one, at_once=AT_ONCE, total=len(questions), progress=progress)


def name_trouble(said: GroupName, guards: Guards) -> str:
    """Why this name must not enter the files, in words; empty where nothing is wrong."""
    if not _NAME_RE.fullmatch(said.name) or len(said.name) > 48:
        return "no name of two to five words"
    for text, words in ((said.name, (2, 5)), (said.description, DESCRIPTION_WORDS)):
        if why := text_trouble(text, words, guards):
            return why
    return all_trouble([said.name, said.description], [], guards)


def name_schema() -> dict[str, object]:
    """JSON Schema of an answer."""
    return text_schema(
        {
            "name": {"type": "string", "minLength": 5, "maxLength": 48},
            "description": {"type": "string", "minLength": 12, "maxLength": 160},
        }
    )


def base_groups(
    grouping: Grouping, texts: Sequence[str], ids: Sequence[str], said: Sequence[GroupName | None]
) -> list[FacetGroup]:
    """The lowest groups with their names: the model's, or else the words that set them apart."""
    terms = key_terms(texts, grouping.base.tolist(), len(said))
    out = []
    for b, name in enumerate(said):
        members = tuple(ids[int(i)] for i in np.flatnonzero(grouping.base == b))
        out.append(_group(name, terms[b], set(), size=len(members), conversations=members))
    return out


def top_groups(
    grouping: Grouping, texts: Sequence[str], base: Sequence[FacetGroup], said: Sequence[GroupName | None]
) -> list[FacetGroup]:
    """The top groups with their names, no two of the model's alike."""
    terms = key_terms(texts, grouping.labels.tolist(), len(said))
    out: list[FacetGroup] = []
    for top, name in enumerate(said):
        children = tuple(base[b] for b, parent in enumerate(grouping.parents) if parent == top)
        taken = {slug_of(g.name) for g in out}
        size = int((grouping.labels == top).sum())
        stability = round(grouping.stability[top], 4)
        out.append(_group(name, terms[top], taken, size=size, stability=stability, children=children))
    return out


def _group(said: GroupName | None, terms: str, taken: set[str], **rest: object) -> FacetGroup:
    if said is not None and slug_of(said.name) not in taken:
        fields: Mapping[str, object] = {"name": said.name, "description": said.description, "named_by": "model"}
    else:
        fields = {"name": terms or "Unnamed", "description": "", "named_by": "terms"}
    return FacetGroup(**fields, **rest)  # type: ignore[arg-type]


@cache
def naming_version() -> str:
    """Changes with the prompt's text."""
    return hashlib.sha256(prompts.source("name_facet_group").encode()).hexdigest()[:16]


def _render(question: GroupQuestion, shown: int) -> str:
    return prompts.template("name_facet_group").render(
        members=[on_one_line(t) for t in question.members[:shown]], others=[on_one_line(t) for t in question.others]
    )
