"""The facet stage: a model says what each conversation is like, the answers are kept one by one, grouped and named.

Apart from the person's yes nothing here knows how the personas are made from it; app/discover.py takes the groups as modes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from innercouncil import __version__
from innercouncil.app.labelling import read_messages
from innercouncil.app.model_labelling import Helper
from innercouncil.app.settings import Settings
from innercouncil.app.written_prompts import GUARDS
from innercouncil.discovery.checked_answers import Answer
from innercouncil.discovery.cluster import Modes
from innercouncil.discovery.evidence import Evidence
from innercouncil.discovery.facet_groups import MIN_CONVERSATIONS, Grounding, Grouping, grounding, group_facets
from innercouncil.discovery.facet_names import (
    TOP_GROUPS,
    GroupName,
    GroupQuestion,
    base_groups,
    base_questions,
    estimate_naming,
    most_groups,
    name_groups,
    naming_version,
    top_groups,
    top_questions,
)
from innercouncil.discovery.facets import MESSAGES, Digest, digest_of, estimate_extraction, extract, extraction_version
from innercouncil.discovery.redaction import Redactor
from innercouncil.model.conversation import Message
from innercouncil.model.errors import DeclinedError, NothingToDiscoverError
from innercouncil.model.facets import ConversationFacets, FacetGroup, FacetHierarchy, FacetReport, Facets
from innercouncil.model.persona import CandidateK
from innercouncil.model.ports import ChatModel, Estimate, Watcher
from innercouncil.store.workspace import Workspace, disk_errors, fingerprint, whole_lines, writing

STAGE: Final = "facets"
FAR, LACKING = -1, -2
"""Instead of a group: far from every one; no facets."""

T = TypeVar("T")
Work = Callable[[ChatModel, Callable[[str, Answer[Any]], None]], Awaitable[None]]


class FacetModes(msgspec.Struct, frozen=True, kw_only=True):
    """What the facet stage found, a conversation a row in the order of the export."""

    model: str
    """The model by its content."""
    labels: tuple[int, ...]
    """Top group, FAR or LACKING."""
    margin: tuple[float, ...]
    stability: tuple[float, ...]
    names: tuple[str | None, ...]
    """A top group's name where the model gave a valid one."""
    candidates: tuple[CandidateK, ...]
    chosen: int
    why: str


class _Conversation(NamedTuple):
    id: str
    messages: int
    digest: Digest | None


class _Kept(msgspec.Struct, array_like=True):
    model: str
    key: str
    value: dict[str, str] | None
    why: str
    tries: int


def facet_print(read: str, model: str, settings: Settings) -> str:
    """Fingerprint of the stage's inputs and settings."""
    return fingerprint(
        stage=STAGE, version=__version__, read=read, model=model, clusters=settings.clusters, seed=settings.seed,
        bootstraps=settings.bootstraps, sample=settings.profile.sample, prompts=[extraction_version(), naming_version()],
    )  # fmt: skip


def find_facets(workspace: Workspace, helper: Helper, settings: Settings, read: str, watcher: Watcher) -> bool:
    """Extract, group and name, unless it is done already; `read` is the print of the read stage. Returns whether it was done.

    Interrupted, the answers so far are kept and are not asked for again. Raises DeclinedError, BackendError, UsageError,
    NothingToDiscoverError where too few conversations got valid facets.
    """
    wanted = facet_print(read, helper.identity, settings)
    if workspace.is_done(STAGE, wanted):
        watcher.stage("Facets and their groups", done=True)
        return True
    workspace.forget([STAGE])
    redact = Redactor().redact if helper.remote else None
    conversations = _conversations(workspace, redact)
    asking = _Asking(helper, _Answers(workspace.facet_answers, helper.identity))
    try:
        said = _extract(conversations, asking, watcher)
        with_facets = [c for c in conversations if (a := said.get(c.id)) and a.value is not None]
        if len(with_facets) < MIN_CONVERSATIONS:
            raise NothingToDiscoverError(
                f"The model gave valid facets for {len(with_facets)} of {len(said)} conversations; at least {MIN_CONVERSATIONS} are "
                "needed to group them. Name another model, or leave out --modes facets."
            )
        found, hierarchy = _grouped(conversations, said, asking, settings, watcher)
    finally:
        asking.close()
    with writing(workspace.conversation_facets) as out:
        for c in conversations:
            if (answer := said.get(c.id)) is not None:
                line = ConversationFacets(conversation=c.id, facets=answer.value, rejected=answer.why)
                out.write(msgspec.json.encode(line) + b"\n")
    workspace.write_json(workspace.facet_hierarchy, hierarchy)
    workspace.write_json(workspace.facet_modes, found)
    workspace.finish(STAGE, wanted, (workspace.conversation_facets, workspace.facet_hierarchy, workspace.facet_modes))
    return False


def load_facets(workspace: Workspace, settings: Settings | None = None, read: str = "") -> FacetModes | None:
    """What the stage found, None where it did not run; with `settings`, only if it ran with these on this export."""
    stamp = workspace.stamp(STAGE)
    try:
        found = msgspec.json.decode(workspace.facet_modes.read_bytes(), type=FacetModes)
    except (OSError, msgspec.MsgspecError):
        return None
    wanted = facet_print(read, found.model, settings) if settings else stamp.fingerprint if stamp else ""
    return found if stamp is not None and workspace.is_done(STAGE, wanted) else None


def load_hierarchy(workspace: Workspace) -> FacetHierarchy:
    """The tree that the stage wrote."""
    return msgspec.json.decode(workspace.facet_hierarchy.read_bytes(), type=FacetHierarchy)


def message_modes(
    found: FacetModes, conversations: npt.NDArray[np.int32], evidence: Evidence, seed: int
) -> tuple[Modes, Grounding]:
    """The top groups as modes of n messages, each with its conversation's; `conversations` (n,) holds their numbers.

    A conversation without facets goes where its offline evidence is nearest. Groups that have no more to do with the
    evidence than chance get the stability 0, whatever their facets look like among themselves.
    """
    labels = np.asarray(found.labels, dtype=np.int32)[conversations]
    margin = np.asarray(found.margin, dtype=np.float32)[conversations]
    count = len(found.stability)
    centres = np.array([evidence.matrix[labels == c].mean(axis=0) for c in range(count)], dtype=np.float32)
    empty = 0
    for conversation in np.flatnonzero(np.asarray(found.labels) == LACKING):
        rows = np.flatnonzero(conversations == conversation)
        if len(rows) == 1 and evidence.strength[rows[0]] == 0:
            labels[rows], margin[rows], empty = FAR, 0.0, empty + 1
            continue
        distance = np.round(np.linalg.norm(centres - evidence.matrix[rows].mean(axis=0), axis=1), 6)
        labels[rows] = int(distance.argmin())
        margin[rows] = 1 - np.sort(distance)[0] / max(np.sort(distance)[1], 1e-9) if count > 1 else 1.0
    sums = np.zeros((len(found.labels), evidence.matrix.shape[1]))
    np.add.at(sums, conversations, evidence.matrix)
    means = sums / np.bincount(conversations, minlength=len(sums))[:, None]
    ground = grounding(means, np.asarray(found.labels), seed)
    stability = found.stability if count == 1 or ground.real else (0.0,) * count
    far = int((labels < 0).sum()) - empty
    return Modes(labels, centres, margin, stability, found.candidates, found.chosen, found.why, far, empty), ground


def _conversations(workspace: Workspace, redact: Callable[[str, str], str] | None) -> list[_Conversation]:
    """All conversations in the order of the export, numbered as the label stage numbers them."""
    first: dict[str, list[Message]] = {}
    total: Counter[str] = Counter()
    for message in read_messages(workspace.all_messages):
        held = first.setdefault(message.conversation_id, [])
        if len(held) < MESSAGES:
            held.append(message)
        total[message.conversation_id] += 1
    return [_Conversation(c, total[c], digest_of(held, total[c], redact)) for c, held in first.items()]


def _extract(conversations: Sequence[_Conversation], asking: _Asking, watcher: Watcher) -> dict[str, Answer[Facets]]:
    """Conversation -> what the model said of it, asked now or before."""
    wanted = {c.digest.key: c.digest for c in conversations if c.digest}
    missing = [d for key, d in wanted.items() if key not in asking.answers.known]
    if missing:
        progress = watcher.stage("Asking about conversations", done=False)
        cost = estimate_extraction(missing) + estimate_naming(most_groups(len(wanted)))
        asking.ask(cost, lambda model, keep: extract(missing, model, GUARDS, keep=keep, progress=progress))
        progress(1, 1)
    return {c.id: asking.answers.get(c.digest.key, Facets) for c in conversations if c.digest}


def _grouped(
    conversations: Sequence[_Conversation], said: dict[str, Answer[Facets]], asking: _Asking, settings: Settings,
    watcher: Watcher,
) -> tuple[FacetModes, FacetHierarchy]:  # fmt: skip
    progress = watcher.stage("Grouping the facets", done=False)
    known = [(c, a.value.text) for c in conversations if (a := said.get(c.id)) is not None and a.value is not None]
    texts = [text for _, text in known]
    with threadpool_limits(limits=1):  # the order in which threads add up would change the last digits
        grouping = group_facets(
            texts, [c.messages for c, _ in known], clusters=settings.clusters, seed=settings.seed,
            bootstraps=settings.bootstraps, sample=settings.profile.sample, progress=progress,
        )  # fmt: skip
        progress(1, 1)
        below = _named(base_questions(grouping, texts), asking, watcher, TOP_GROUPS)
        base = base_groups(grouping, texts, [c.id for c, _ in known], [a.value for a in below])
        above = _named(top_questions(grouping, base), asking, watcher, 0)
        tops = top_groups(grouping, texts, base, [a.value for a in above])
    report = _report(asking.label, said, [*below, *above])
    place = {c.id: n for n, (c, _) in enumerate(known)}
    rows = [place.get(c.id, -1) for c in conversations]
    return _found(asking.answers.model, grouping, tops, rows), FacetHierarchy(
        groups=tuple(tops), moved=grouping.moved, report=report
    )


def _found(model: str, grouping: Grouping, tops: Sequence[FacetGroup], rows: Sequence[int]) -> FacetModes:
    margin = [round(float(m), 5) for m in grouping.modes.margin]
    return FacetModes(
        model=model,
        labels=tuple(int(grouping.labels[r]) if r >= 0 else LACKING for r in rows),
        margin=tuple(margin[r] if r >= 0 else 0.0 for r in rows),
        stability=grouping.stability,
        names=tuple(g.name if g.named_by == "model" else None for g in tops),
        candidates=grouping.modes.candidates,
        chosen=grouping.modes.chosen,
        why=grouping.modes.why,
    )


def _named(
    questions: Sequence[GroupQuestion], asking: _Asking, watcher: Watcher, later: int
) -> list[Answer[GroupName]]:
    """What the model calls the groups; `later` more will be asked about under the same yes."""
    missing = list({q.key: q for q in questions if q.key not in asking.answers.known}.values())
    if missing:
        progress = watcher.stage("Naming the groups", done=False)
        cost = estimate_naming(len(missing) + later)
        asking.ask(cost, lambda model, keep: name_groups(missing, model, GUARDS, keep=keep, progress=progress))
        progress(1, 1)
    return [asking.answers.get(q.key, GroupName) for q in questions]


def _report(model: str, said: dict[str, Answer[Facets]], names: Sequence[Answer[GroupName]]) -> FacetReport:
    rejected = Counter(a.why for a in said.values() if a.value is None)
    return FacetReport(
        model=model, conversations=len(said), accepted=len(said) - rejected.total(), rejected=rejected.total(),
        reasons=dict(sorted(rejected.items())), asked_again=sum(a.tries > 1 for a in said.values()),
        groups=len(names), unnamed=sum(a.value is None for a in names),
    )  # fmt: skip


class _Answers:
    """Answers of this run and earlier ones, in a file that grows line by line."""

    def __init__(self, path: Path, model: str) -> None:
        self.path, self.model = path, model
        self.known: dict[str, _Kept] = {}
        decoder = msgspec.json.Decoder(_Kept)
        for line in whole_lines(path):
            with contextlib.suppress(msgspec.MsgspecError):
                kept = decoder.decode(line)
                if kept.model == model:
                    self.known[kept.key] = kept

    def get(self, key: str, kind: type[T]) -> Answer[T]:
        """What was answered; nothing where the file holds what is no such answer."""
        kept = self.known[key]
        try:
            value = None if kept.value is None else msgspec.convert(kept.value, kind)
        except msgspec.MsgspecError:
            return Answer(None, "not the JSON that was asked for", kept.tries)
        return Answer(value, kept.why, kept.tries)


class _Asking:
    """The model and the person's yes, asked for once and only when there is something to ask."""

    def __init__(self, helper: Helper, answers: _Answers) -> None:
        self.answers, self.label = answers, helper.label
        self._helper, self._agreed = helper, False

    def ask(self, cost: Estimate, work: Work) -> None:
        """Let `work` ask, each of its answers kept as it comes. Raises DeclinedError, BackendError."""
        if not self._agreed and not self._helper.agrees(cost):
            raise DeclinedError("Nothing was asked. Run the same command without --modes facets to find modes offline.")
        self._agreed = True
        asyncio.run(self._run(work))

    async def _run(self, work: Work) -> None:
        model = await self._helper.open()
        encoder, answers = msgspec.json.Encoder(), self.answers
        with disk_errors(answers.path), answers.path.open("ab") as file:

            def keep(key: str, answer: Answer[Any]) -> None:
                value = None if answer.value is None else msgspec.to_builtins(answer.value)
                kept = _Kept(answers.model, key, value, answer.why, answer.tries)
                file.write(encoder.encode(kept) + b"\n")
                file.flush()
                answers.known[key] = kept

            await work(model, keep)

    def close(self) -> None:
        """Let go of the model, if it was opened."""
        if self._agreed:
            asyncio.run(self._helper.close())
