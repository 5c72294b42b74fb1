"""The page of files: everything a workspace keeps, with the JSON Schema of what is JSON."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from innercouncil.app import (
    adherence_answers,
    adherence_judging,
    evaluate_twins,
    facet_modes,
    model_labelling,
    modes_file,
    personas,
    question_sets,
    run_questions,
    standings,
    tune_answers,
    tune_gates,
)
from innercouncil.model.adherence import AdherenceReport, Checklist
from innercouncil.model.conversation import ImportReport, Message
from innercouncil.model.facets import ConversationFacets, FacetHierarchy, ModeComparison
from innercouncil.model.gates import GateReport
from innercouncil.model.labels import LabelledMessage
from innercouncil.model.persona import ClusterAnalysis, Discovery, Persona, RedactionReport, WrittenPrompt
from innercouncil.model.preferences import DpoRow, KtoRow
from innercouncil.model.quality import PromptQuality
from innercouncil.model.similarity import TwinReport
from innercouncil.model.training import AdapterCard, TrainingEvent
from innercouncil.model.tuning import AwaitingRow, PrepareReport, TrainingRow
from innercouncil.store import sessions
from innercouncil.store.workspace import Stamp
from reference.structs import fields, schema

HEAD = """# Files

A workspace is one folder, `data` unless `--workspace` names another. Files under `personas` and `.innercouncil` can be made
again from the export; **`council.db` cannot**: it holds what you made. A `.jsonl` file holds one JSON value a line, and the
schema is that of a line. Files appear with the command that writes them.
"""


class KeptFile(NamedTuple):
    """A file of the workspace."""

    path: str
    """Below the workspace; `*` stands for a slug or another changing part."""
    about: str
    kind: Any = None
    """Type of the JSON value, or of a line of a .jsonl file; None where the file is no JSON."""


KEPT = (
    KeptFile("report.html", "What was found, as one page that needs nothing else."),
    KeptFile("council.db", "SQLite: your changes, persona versions, sessions, votes, tests, settings. Never overwritten by a run."),
    KeptFile("backups/council-*.db", "Copies of `council.db`: before every change of its schema, and of `innercouncil backup make`."),
    KeptFile("batches/*.jsonl", "`run-questions`: which session is whose.", run_questions.Begun),
    KeptFile("models/*", "Models fetched for the built-in llama.cpp."),
    KeptFile("personas/raw_imports/*", "The export as given, never modified."),
    KeptFile("personas/extracted/all_messages.jsonl", "Every message that was read.", Message),
    KeptFile("personas/extracted/import_report.json", "What was read and what was left out, counted.", ImportReport),
    KeptFile("personas/extracted/categorized_messages.jsonl", "Your own messages with their labels.", LabelledMessage),
    KeptFile("personas/extracted/model_labels_report.json", "`--llm`: what a model's labels changed.", model_labelling.ModelLabelReport),
    KeptFile("personas/extracted/conversation_facets.jsonl", "`--modes facets`: what a model says of each conversation.", ConversationFacets),
    KeptFile("personas/clusters/persona_*.jsonl", "The messages of a persona.", LabelledMessage),
    KeptFile("personas/clusters/personas.json", "The personas with their evidence.", tuple[Persona, ...]),
    KeptFile("personas/clusters/cluster_analysis.json", "How many modes, why so many, how stable.", ClusterAnalysis),
    KeptFile("personas/clusters/facet_hierarchy.json", "`--modes facets`: the tree of groups.", FacetHierarchy),
    KeptFile("personas/clusters/mode_comparison.json", "Both ways of finding modes side by side.", ModeComparison),
    KeptFile("personas/prompts/generated_prompts.json", "Slug → the prompt as the program (or a model you chose) wrote it.", dict[str, personas._Generated]),
    KeptFile("personas/prompts/system_prompts.json", "Slug → the prompt in force, with your edits.", dict[str, personas._Generated]),
    KeptFile("personas/prompts/redaction_report.json", "What was taken out of prompts, counted.", RedactionReport),
    KeptFile("personas/prompts/model_prompts.json", "`personas write`: what a model offers.", dict[str, WrittenPrompt]),
    KeptFile("personas/prompts/prompt_quality.json", "`evaluate prompts`.", PromptQuality),
    KeptFile("personas/prompts/twins.json", "`evaluate twins`.", TwinReport),
    KeptFile("personas/prompts/adherence.json", "`evaluate adherence`.", AdherenceReport),
    KeptFile("personas/prompts/adherence_checklists.json", "Slug → its checklist, yours to edit.", dict[str, Checklist]),
    KeptFile("personas/lora_training/persona_*_train.jsonl", "Training rows.", TrainingRow),
    KeptFile("personas/lora_training/persona_*_eval.jsonl", "Held-out rows.", TrainingRow),
    KeptFile("personas/lora_training/persona_*_awaiting.jsonl", "Questions without a good answer; write `assistant` there.", AwaitingRow),
    KeptFile("personas/lora_training/report.json", "`tune prepare`: what became of the messages.", PrepareReport),
    KeptFile("personas/lora_training/preferences_*_dpo.jsonl", "`tune preferences --kind dpo`.", DpoRow),
    KeptFile("personas/lora_training/preferences_*_kto.jsonl", "`tune preferences --kind kto`.", KtoRow),
    KeptFile(".innercouncil/*.json", "Stamp of a finished stage (read, embed, label, facets, cluster, personas, report).", Stamp),
    KeptFile(".innercouncil/discovery.json", "The whole result of a run.", Discovery),
    KeptFile(".innercouncil/offline_personas.json", "Slug → the persona without anything a model wrote.", dict[str, Persona]),
    KeptFile(".innercouncil/modes_info.json", "The modes' figures; the arrays are in `modes.npz`.", modes_file._ModesInfo),
    KeptFile(".innercouncil/facet_modes.json", "`--modes facets`: the group of every conversation.", facet_modes.FacetModes),
    KeptFile(".innercouncil/answer_styles.json", "`standings`: lengths and formatting by session, no texts.", standings.Styles),
    KeptFile(".innercouncil/model_answers.jsonl", "A model's labels, kept so that nothing is asked twice.", model_labelling._Kept),
    KeptFile(".innercouncil/facet_answers.jsonl", "The same for facets.", facet_modes._Kept),
    KeptFile(".innercouncil/training_answers.jsonl", "The same for training rows.", tune_answers.ModelAnswer),
    KeptFile(".innercouncil/twin_samples.jsonl", "The same for `evaluate twins`.", evaluate_twins._Kept),
    KeptFile(".innercouncil/adherence_answers.jsonl", "The same for `evaluate adherence`.", adherence_answers._Kept),
    KeptFile(".innercouncil/adherence_judgements.jsonl", "The same for its judge.", adherence_judging._Kept),
    KeptFile(".innercouncil/gate_answers_*.jsonl", "The same for `tune gates`.", tune_gates._Kept),
    KeptFile(".innercouncil/label_scores.npz", "NumPy: label probabilities and features of the messages."),
    KeptFile(".innercouncil/embeddings.npz", "NumPy, with `--embedder`: the block of vectors."),
    KeptFile(".innercouncil/embedding_cache.db", "SQLite, with `--embedder`: every vector, by text and model."),
    KeptFile(".innercouncil/modes.npz", "NumPy: the mode of every message, centres, map."),
    KeptFile(".innercouncil/lock", "Held by a stage that runs; `lock.holder` beside it says which."),
    KeptFile(".innercouncil/demo", "Marks a workspace of `innercouncil demo`."),
)  # fmt: skip
BESIDE = (
    KeptFile("loras/persona_*/card.json", "What an adapter is, was made from, and how it came out.", AdapterCard),
    KeptFile("loras/persona_*/gates.json", "What the gates found.", GateReport),
    KeptFile("loras/persona_*/progress.jsonl", "What happened while it was trained.", TrainingEvent),
    KeptFile("loras/persona_*/adapter.gguf", "The adapter for llama.cpp; beside it the same as PEFT's safetensors."),
)
"""Adapters: beside a workspace named `data`, inside any other."""
GIVEN = (
    KeptFile("a file for `run-questions`, a line", "One question a line as plain text, or such an object.", question_sets._Line),
    KeptFile("an exported session", "`sessions export`, `sessions import`.", sessions._Exported),
)  # fmt: skip


def page() -> str:
    """The page as Markdown."""
    parts = [HEAD, "## All of them\n\n" + _table(KEPT), "## Adapters\n\n`loras` lies beside a workspace named `data`, inside any other.\n\n" + _table(BESIDE)]  # fmt: skip
    parts += ["## Files you give or take\n\n" + _table(GIVEN), "## What is in them\n"]
    for file in (*KEPT, *BESIDE, *GIVEN):
        if struct := _struct_of(file.kind):
            parts.append(f"### {_name(file)}\n\n{file.about} [JSON Schema]({_schema_path(file)})\n\n{fields(struct)}\n")
    return "\n\n".join(parts)


def schemas() -> dict[str, str]:
    """Path below docs/ -> JSON Schema, of every file that is JSON."""
    return {
        f"reference/{_schema_path(f)}": json.dumps(schema(f.kind, f.path), indent=1, ensure_ascii=False) + "\n"
        for f in (*KEPT, *BESIDE, *GIVEN) if f.kind is not None
    }  # fmt: skip


def _table(files: tuple[KeptFile, ...]) -> str:
    rows = ["| file | what it holds | schema |", "|---|---|---|"]
    rows += [f"| {_name(f)} | {f.about} | {f'[JSON Schema]({_schema_path(f)})' if f.kind else ''} |" for f in files]
    return "\n".join(rows) + "\n"


def _name(file: KeptFile) -> str:
    return f"`{file.path}`" if "/" in file.path or "." in file.path else file.path


def _schema_path(file: KeptFile) -> str:
    name = (
        file.path.replace("*", "SLUG")
        if "/" in file.path
        else file.path.replace(" ", "-").replace("`", "").replace(",", "")
    )
    return "schemas/" + name.replace("/", ".").lstrip(".").removesuffix(".json").removesuffix(".jsonl") + ".schema.json"


def _struct_of(kind: Any) -> Any:
    """The struct itself, or the one that a mapping or a list is of."""
    inner = [a for a in getattr(kind, "__args__", ()) if hasattr(a, "__struct_fields__")]
    return inner[0] if inner else kind
