"""Every option of a run in one place, each with its one default."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from innercouncil.app.findings import way_of
from innercouncil.discovery.cluster import BOOTSTRAPS, SAMPLE
from innercouncil.discovery.prompt_writer import DEFAULT_BUDGET
from innercouncil.model.facets import Way
from innercouncil.model.persona import Discovery

Mode = Literal["8GB", "16GB", "32GB"]


class MemoryProfile(msgspec.Struct, frozen=True):
    """What a run may use on a machine of this memory."""

    workers: int
    """Processes that label at the same time."""
    batch: int
    """Messages labelled at a time in each process."""
    sample: int
    """Messages that the number of modes is judged on."""


PROFILES: Final[dict[Mode, MemoryProfile]] = {
    "8GB": MemoryProfile(workers=1, batch=400, sample=SAMPLE // 2),
    "16GB": MemoryProfile(workers=2, batch=800, sample=SAMPLE),
    "32GB": MemoryProfile(workers=4, batch=1600, sample=2 * SAMPLE),
}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Options of `discover`."""

    clusters: int | None = None
    modes: Way = "labels"
    """How modes are found: from the offline labels, or from facets that a model extracts."""
    mode: Mode = "16GB"
    seed: int = 0
    prompt_tokens: int = DEFAULT_BUDGET
    bootstraps: int = BOOTSTRAPS
    refresh: bool = False
    processes: int | None = None
    """Processes that label at the same time, where not as `mode` says; the files do not depend on it."""
    embedder: str | None = None
    """Where vectors of the messages come from, as llm/embedders/select.py reads it; none by default."""

    @property
    def profile(self) -> MemoryProfile:
        """The memory profile of `mode`, with the person's number of processes."""
        profile = PROFILES[self.mode]
        return msgspec.structs.replace(profile, workers=self.processes or profile.workers)


def settings_of(found: Discovery) -> Settings:
    """The settings the personas were made with: what a rebuild goes on with."""
    budget = found.personas[0].prompt.budget if found.personas else Settings().prompt_tokens
    return Settings(
        clusters=found.analysis.requested, seed=found.analysis.seed, prompt_tokens=budget, modes=way_of(found)
    )
