"""The two ways of finding modes beside each other, on one workspace: what the report and `evaluate modes` show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from innercouncil.app.facet_modes import FacetModes, load_hierarchy, message_modes
from innercouncil.app.labelling import Scores
from innercouncil.discovery.cluster import Modes
from innercouncil.discovery.evidence import Evidence
from innercouncil.discovery.naming import NameParts, name_personas
from innercouncil.discovery.traits import habits, traits_of
from innercouncil.discovery.verdict import verdict_of
from innercouncil.evaluation.modes import against_gold, agreement, contingency
from innercouncil.model.facets import FoundMode, FoundModes, ModeComparison, Way
from innercouncil.model.persona import Persona
from innercouncil.store.workspace import Workspace


class Sides(NamedTuple):
    """What is compared, row for row of the label stage's scores."""

    labels: Modes
    facets: FacetModes | None


def compare_modes(
    workspace: Workspace, sides: Sides, scores: Scores, evidence: Evidence, *, used: Way, requested: int | None = None,
    personas: Sequence[Persona] = (), seed: int = 0, gold: Mapping[str, str] | None = None,
) -> ModeComparison:  # fmt: skip
    """Compare the ways, as found before any change of the person; modes that are `personas` still have their names.

    `gold` maps message ids to true modes.
    """
    known = np.array([n for n, i in enumerate(scores.ids) if gold and i in gold], dtype=int)
    truth = [gold[scores.ids[n]] for n in known] if gold else []
    default = sides.labels
    ways = [_found("labels", default, _given(default, personas, used == "labels", ()), scores, requested)]
    if sides.facets is None:
        return ModeComparison(
            used=used,
            messages=len(scores.ids),
            ways=(_judged(ways[0], default, known, truth),),
            gold_messages=len(known),
        )
    modes, ground = message_modes(sides.facets, scores.conversations, evidence, seed)
    names = _given(modes, personas, used == "facets", sides.facets.names)
    ways.append(_found("facets", modes, names, scores, requested))
    both = agreement(default.labels, modes.labels)
    return ModeComparison(
        used=used,
        messages=len(scores.ids),
        ways=(_judged(ways[0], default, known, truth), _judged(ways[1], modes, known, truth)),
        ari=both.ari,
        ami=both.ami,
        table=contingency(default.labels, modes.labels, len(default.centres), len(modes.centres)),
        grounding=ground.share,
        grounding_chance=ground.chance,
        hierarchy=load_hierarchy(workspace),
        gold_messages=len(known),
    )


def load_comparison(workspace: Workspace) -> ModeComparison | None:
    """What the last run compared, None where it had nothing to compare."""
    try:
        return msgspec.json.decode(workspace.mode_comparison.read_bytes(), type=ModeComparison)
    except (OSError, msgspec.MsgspecError):
        return None


def _given(modes: Modes, personas: Sequence[Persona], used: bool, names: Sequence[str | None]) -> list[str | None]:
    sizes = [int((modes.labels == c).sum()) for c in range(len(modes.centres))]
    if used and [p.size for p in personas] == sizes:
        return [p.name for p in personas]
    return list(names) or [None] * len(sizes)


def _judged(found: FoundModes, modes: Modes, known: npt.NDArray[np.int_], truth: list[str]) -> FoundModes:
    if not truth:
        return found
    ari, v = against_gold(modes.labels[known], truth)
    return msgspec.structs.replace(found, gold_ari=ari, gold_v=v)


def _found(way: Way, modes: Modes, given: list[str | None], scores: Scores, requested: int | None) -> FoundModes:
    best = next(c for c in modes.candidates if c.k == modes.chosen)
    names = _names(modes, given, scores)
    sizes = [int((modes.labels == c).sum()) for c in range(len(names))]
    return FoundModes(
        way=way,
        verdict=verdict_of(modes, requested),
        modes=tuple(
            FoundMode(name=name, size=size, stability=round(s, 4))
            for name, size, s in zip(names, sizes, modes.stability, strict=True)
        ),
        mean_stability=round(float(np.mean(modes.stability)), 4),
        separation=best.separation,
        separation_null=best.separation_null,
        placed=round(float((modes.labels >= 0).mean()) if len(modes.labels) else 0.0, 4),
    )


def _names(modes: Modes, given: list[str | None], scores: Scores) -> list[str]:
    """Names as the personas get them, without the words that only their texts could tell apart."""
    shown, assigned = habits(scores.counts, scores.labels), modes.labels >= 0
    parts = []
    for c in range(len(given)):
        member = modes.labels == c
        count = {f: dict(Counter(np.asarray(scores.labels[f])[member].tolist())) for f in ("act", "topic")}
        parts.append(NameParts(traits_of(member, assigned, shown, modes.margin)[0], count["act"], count["topic"], ()))
    return name_personas(parts, given=given)
