"""The modes of the cluster stage as they lie on disk."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from innercouncil.discovery.cluster import Modes
from innercouncil.model.persona import CandidateK
from innercouncil.store.workspace import Workspace, writing

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]


class _ModesInfo(msgspec.Struct, omit_defaults=True):
    stability: tuple[float, ...]
    candidates: tuple[CandidateK, ...]
    chosen: int
    why: str
    outliers: int
    empty: int
    leak: dict[str, float]
    embedder: str = ""
    """Name of the embedder whose block was part of the evidence."""


class MappedModes(NamedTuple):
    """The modes, their map, and what else they could be."""

    modes: Modes
    points: FloatArray
    """Places on the map, shape (points, 2), of the messages `rows`."""
    rows: IntArray
    leaks: dict[str, float]
    """How much of the modes topic, language or length alone would say (`innercouncil.discovery.cluster.leak`)."""


def save_modes(workspace: Workspace, found: MappedModes, *, embedder: str = "") -> None:
    """Write the modes with what belongs to them."""
    modes = found.modes
    info = _ModesInfo(
        modes.stability, modes.candidates, modes.chosen, modes.why, modes.outliers, modes.empty, found.leaks, embedder
    )  # fmt: skip
    with writing(workspace.modes) as f:
        np.savez(
            f, labels=modes.labels, centres=modes.centres, margin=modes.margin, map_points=found.points, map_rows=found.rows
        )  # fmt: skip
    workspace.write_json(workspace.modes_info, info)


def load_modes(workspace: Workspace) -> MappedModes:
    """What `save_modes` wrote."""
    info = _info(workspace)
    with np.load(workspace.modes, allow_pickle=False) as z:
        modes = Modes(
            z["labels"], z["centres"], z["margin"], info.stability, info.candidates, info.chosen, info.why,
            info.outliers, info.empty,
        )  # fmt: skip
        return MappedModes(modes, z["map_points"], z["map_rows"], info.leak)


def embedder_of(workspace: Workspace) -> str:
    """Name of the embedder the modes were found with, empty where there was none."""
    return _info(workspace).embedder


def _info(workspace: Workspace) -> _ModesInfo:
    return msgspec.json.decode(workspace.modes_info.read_bytes(), type=_ModesInfo)
