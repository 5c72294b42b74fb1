"""How good are the modes? The two ways of finding them side by side, and against known modes where a person has them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from innercouncil.app.embedding import load_evidence
from innercouncil.app.facet_modes import load_facets
from innercouncil.app.findings import load_discovery, way_of
from innercouncil.app.labelling import load_scores
from innercouncil.app.mode_comparison import Sides, compare_modes
from innercouncil.app.modes_file import embedder_of, load_modes
from innercouncil.model.errors import UsageError
from innercouncil.model.facets import ModeComparison
from innercouncil.store.workspace import Workspace


def evaluate_modes(workspace: Workspace, gold: Path | None = None) -> ModeComparison:
    """Compare the ways on a workspace; `gold` is a JSON file that maps message ids to true modes.

    Raises NothingToDiscoverError where nothing was discovered, UsageError for labels that are none.
    """
    truth = None if gold is None else _read_gold(gold)
    with workspace.lock():
        discovery = load_discovery(workspace)
        scores = load_scores(workspace.label_scores)
        if truth is not None and not truth.keys() & set(scores.ids):
            raise UsageError(
                f"No message id in {gold} belongs to a message of {workspace.root}; give the labels of the same export."
            )
        facets = load_facets(workspace) if workspace.mode_comparison.exists() else None
        evidence = load_evidence(workspace, scores, embedded=bool(embedder_of(workspace)))
        analysis = discovery.analysis
        return compare_modes(
            workspace, Sides(load_modes(workspace).modes, facets), scores, evidence, used=way_of(discovery),
            requested=analysis.requested, personas=discovery.personas, seed=analysis.seed, gold=truth,
        )  # fmt: skip


def _read_gold(path: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except OSError:
        raise UsageError(f"{path} cannot be read; give a JSON file that maps message ids to modes.") from None
    except msgspec.MsgspecError:
        raise UsageError(
            f"{path} does not map message ids to modes; it has to be one JSON object of strings."
        ) from None
