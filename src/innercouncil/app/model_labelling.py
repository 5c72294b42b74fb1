"""A model's labels in the label stage: chosen, asked for, kept answer by answer, merged into the stage's files."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec
import numpy as np

from innercouncil.app.labelling import load_scores, read_labelled, save_merged
from innercouncil.discovery.labeller import Labeller
from innercouncil.discovery.model_labels import (
    FIELDS,
    Labels,
    Question,
    ask,
    choose,
    choose_checks,
    estimate,
    known_labels,
    measure_trust,
    merge_labels,
    prompt_version,
)
from innercouncil.discovery.redaction import Redactor
from innercouncil.model.labels import LabelledMessage
from innercouncil.model.ports import ChosenModel
from innercouncil.store.workspace import Workspace, disk_errors, whole_lines


class Helper(ChosenModel, Protocol):
    """The model a person chose for labelling."""

    @property
    def budget(self) -> int:
        """Most messages to ask about."""
        ...


class ModelLabelReport(msgspec.Struct, frozen=True):
    """What became of a model's labels; written beside the messages."""

    model: str
    prompt: str
    asked: int
    """Messages sent, in this run or an earlier one whose answers were kept."""
    accepted: int
    rejected: int
    """Messages for which the model gave no valid answer, twice; their offline labels stand."""
    duplicates: int
    """Messages that share the answer of a near-duplicate."""
    changed: int
    """Messages with at least one other label than offline."""
    checks: int = 0
    """Messages the model was asked about whose offline labels are sure, to see how far it can be believed."""
    trust: dict[str, float] = {}
    """How far it was believed, per field."""


class _Kept(msgspec.Struct, array_like=True):
    model: str
    key: str
    labels: Labels | None


class _Answers(NamedTuple):
    """Answers of earlier runs, in a file that grows line by line."""

    path: Path
    model: str
    known: dict[str, Labels | None]


def improve_labels(
    workspace: Workspace, helper: Helper, progress: Callable[[int, int], None]
) -> ModelLabelReport | None:
    """Ask the helper's model about the unsure messages of the label stage and merge its answers into the stage's files.

    Interrupted, the answers so far are kept and are not asked for again. None where the person did not agree.

    Raises BackendError, UsageError, WorkspaceError.
    """
    messages = list(read_labelled(workspace.categorized_messages))
    redact = Redactor().redact if helper.remote else None
    questions = choose(messages, budget=helper.budget, redact=redact)
    checks = choose_checks(messages, redact=redact) if questions else []
    answers = _read(workspace.model_answers, helper.identity)
    wanted = {q.shown.key: q for q in (*checks, *questions)}
    open_questions = [q for key, q in wanted.items() if key not in answers.known]
    if open_questions:
        if not helper.agrees(estimate(open_questions)):
            return None
        asyncio.run(_ask_all(open_questions, helper, answers, progress))
    return _merge(workspace, messages, questions, checks, answers, helper.label)


async def _ask_all(
    questions: list[Question], helper: Helper, answers: _Answers, progress: Callable[[int, int], None]
) -> None:
    model = await helper.open()
    encoder = msgspec.json.Encoder()
    try:
        with disk_errors(answers.path), answers.path.open("ab") as file:

            def keep(key: str, labels: Labels | None) -> None:
                file.write(encoder.encode(_Kept(answers.model, key, labels)) + b"\n")
                file.flush()
                answers.known[key] = labels

            await ask(questions, model, keep=keep, progress=progress)
    finally:
        await helper.close()


def _read(path: Path, model: str) -> _Answers:
    """What was answered before; a line that a kill cut short is left out."""
    known: dict[str, Labels | None] = {}
    decoder = msgspec.json.Decoder(_Kept)
    for line in whole_lines(path):
        with contextlib.suppress(msgspec.MsgspecError):
            kept = decoder.decode(line)
            if kept.model == model and (kept.labels is None or known_labels(kept.labels)):
                known[kept.key] = kept.labels
    return _Answers(path, model, known)


def _merge(
    workspace: Workspace, messages: list[LabelledMessage], questions: list[Question], checks: list[Question],
    answers: _Answers, label: str,
) -> ModelLabelReport:  # fmt: skip
    scores = load_scores(workspace.label_scores)
    heads = Labeller.load().heads
    trust = measure_trust(messages, checks, answers.known)
    accepted = changed = 0
    for question in questions:
        said = answers.known.get(question.shown.key)
        if said is None:
            continue
        accepted += 1
        for row in question.rows:
            before = messages[row]
            merged = merge_labels(before, said, label, trust)
            changed += any(getattr(merged, f) != getattr(before, f) for f in FIELDS)
            messages[row] = merged
            for field in FIELDS:
                labels, p = heads[field].labels, scores.probabilities[field]
                at, sure = labels.index(getattr(merged, field)), merged.confidence[field]
                rest = 1 - float(p[row, at])
                p[row] *= (1 - sure) / rest if rest > 0 else 0.0
                p[row, at] = sure
                np.clip(p[row], 0.0, 1.0, out=p[row])
    save_merged(workspace.categorized_messages, workspace.label_scores, messages, scores)
    report = ModelLabelReport(
        label, prompt_version(), len(questions), accepted, len(questions) - accepted,
        sum(len(q.rows) - 1 for q in questions), changed, len(checks), {f: round(t, 3) for f, t in trust.items()},
    )  # fmt: skip
    workspace.write_json(workspace.model_labels_report, report)
    return report
