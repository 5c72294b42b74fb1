"""What was found, put together for the report and the app, and the files a person gets of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from innercouncil.app.labelling import Scores
from innercouncil.app.modes_file import MappedModes
from innercouncil.discovery.cluster import Modes
from innercouncil.discovery.verdict import verdict_of
from innercouncil.model.persona import ClusterAnalysis, Discovery, MapPoint, Persona, RedactionReport
from innercouncil.store.workspace import Workspace, disk_errors, writing


def discovery_of(
    personas: Sequence[Persona], found: MappedModes, s: Scores, *, requested: int | None, seed: int,
    settings: dict[str, Any], redaction: RedactionReport,
) -> Discovery:  # fmt: skip
    """The personas, one for each mode and in its order, with their map, topics, transitions and the analysis.

    `s` has a row for every message. `requested` is the number of modes the person asked for, None where discovery chose.
    """
    modes = found.modes
    slugs = [p.slug for p in personas]
    slug_at: list[str | None] = [slugs[c] if c >= 0 else None for c in modes.labels.tolist()]
    dropped = int((modes.labels < 0).sum()) - modes.outliers - modes.empty
    reasons = {
        "far from every mode": modes.outliers,
        "no words of your own, and no message around it": modes.empty,
        "in a persona you dropped": max(dropped, 0),
    }
    analysis = ClusterAnalysis(
        k=len(personas),
        requested=requested,
        found=sum(x >= 0.6 for x in modes.stability),
        verdict=verdict_of(modes, requested),
        candidates=modes.candidates,
        stability={p.slug: p.stability for p in personas},
        assignments=dict(zip(s.ids, slug_at, strict=True)),
        unassigned={k: v for k, v in reasons.items() if v},
        leak=found.leaks,
        seed=seed,
        settings=settings,
    )
    topics: dict[str, Counter[str]] = {slug: Counter() for slug in slugs}
    transitions: dict[str, Counter[str]] = {slug: Counter() for slug in slugs}
    for row, slug in enumerate(slug_at):
        if slug is None:
            continue
        topics[slug][s.labels["topic"][row]] += 1
        following = slug_at[row + 1] if row + 1 < len(slug_at) else None
        if following and s.conversations[row + 1] == s.conversations[row]:
            transitions[slug][following] += 1
    return Discovery(
        personas=tuple(personas),
        analysis=analysis,
        map=tuple(
            MapPoint(s.ids[r], round(float(x), 3), round(float(y), 3), slug_at[r])
            for r, (x, y) in zip(found.rows.tolist(), found.points, strict=True)
        ),
        redaction=redaction,
        topic_by_persona={k: dict(v.most_common()) for k, v in topics.items()},
        transitions={k: dict(v.most_common()) for k, v in transitions.items()},
    )


def write_persona_files(ws: Workspace, discovery: Discovery, modes: Modes, generated: Sequence[Persona]) -> None:
    """Write every file of `persona_files`, and take away those of personas that are no more."""
    with disk_errors(ws.clusters):
        wanted = {_messages_of(ws, p.slug).name for p in discovery.personas}
        for old in ws.clusters.glob("persona_*.jsonl"):
            if old.name not in wanted:
                old.unlink()
    for c, persona in enumerate(discovery.personas):
        with writing(_messages_of(ws, persona.slug)) as out, ws.categorized_messages.open("rb") as lines:
            for row, line in enumerate(lines):
                if modes.labels[row] == c:
                    out.write(line)
    ws.write_json(ws.personas_json, discovery.personas)
    ws.write_json(ws.cluster_analysis, discovery.analysis)
    ws.write_json(ws.generated_prompts, _prompts_of(generated))
    ws.write_json(ws.system_prompts, _prompts_of(discovery.personas))
    ws.write_json(ws.redactions, discovery.redaction)
    with writing(ws.discovery) as f:
        f.write(msgspec.json.encode(discovery))


def persona_files(ws: Workspace) -> list[Path]:
    """The files of the personas stage."""
    fixed = [
        ws.personas_json, ws.cluster_analysis, ws.generated_prompts, ws.system_prompts, ws.offline_personas, ws.redactions,
        ws.discovery,
    ]  # fmt: skip
    return [*fixed, *sorted(ws.clusters.glob("persona_*.jsonl"))]


def _messages_of(ws: Workspace, slug: str) -> Path:
    return ws.clusters / f"persona_{slug}.jsonl"


def _prompts_of(personas: Sequence[Persona]) -> dict[str, Any]:
    return {p.slug: {"name": p.name, "description": p.description, **msgspec.to_builtins(p.prompt)} for p in personas}
