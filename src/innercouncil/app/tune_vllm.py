"""How vLLM is started so that it serves the council's adapters, each under the name the council asks for."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import Final, NamedTuple

from innercouncil.app.council import House
from innercouncil.app.tune_adapters import Adapter, adapter_in, adapter_of
from innercouncil.app.tune_watch import training_runs
from innercouncil.model.errors import UsageError

RANKS: Final = (8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM takes for --max-lora-rank (LoRAConfig)."""


class Serving(NamedTuple):
    """One vLLM: a base and its adapters behind one port."""

    base: str
    adapters: tuple[Adapter, ...]

    @property
    def command(self) -> list[str]:
        """What to run on the machine that serves, in the folder the paths are relative to."""
        rank = max(a.card.settings.lora_r for a in self.adapters)
        fits = next((r for r in RANKS if r >= rank), None)
        if fits is None:
            raise UsageError(
                f"vLLM takes adapters up to rank {RANKS[-1]}, and one here has {rank}; train it with a smaller rank."
            )
        modules = [f"{a.name}={a.folder}" for a in self.adapters]
        return [
            "vllm", "serve", self.base, "--enable-lora", "--max-lora-rank", str(fits), "--max-loras", str(len(modules)),
            "--lora-modules", *modules,
        ]  # fmt: skip

    @property
    def line(self) -> str:
        """The command as a shell takes it."""
        return shlex.join(self.command)


def servings(house: House, personas: Iterable[str]) -> list[Serving]:
    """One for every base; of the personas named, else of all that sit with an adapter, else of all that were trained.

    Raises UsageError where there is no adapter.
    """
    sitting = [p.slug for p in house.cards.all() if p.card.adapter]
    chosen = list(personas) or sitting
    adapters = list({a.name: a for a in (adapter_of(house, slug) for slug in chosen)}.values())
    if not chosen:
        adapters = [adapter_in(house, run.slug) for run in training_runs(house.workspace) if run.adapter]
    if not adapters:
        raise UsageError("There is no adapter yet; `innercouncil tune train` makes one.")
    bases = sorted({a.card.base_weights for a in adapters})
    return [Serving(base, tuple(a for a in adapters if a.card.base_weights == base)) for base in bases]
