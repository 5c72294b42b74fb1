"""How a council runs, each option with its one default; light to import."""

from __future__ import annotations

import msgspec


class CouncilSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a workspace's council runs; kept in council.db, changed with `innercouncil models use`."""

    worker: str = "qwen2.5:3b"
    """Model of the workers (forms: llm/select.py)."""
    synthesizer: str = "qwen2.5:7b"
    """Model that writes the final answer."""
    lite: bool = False
    """Let the workers' model write the final answer too."""
    context_tokens: int = 4096
    """`num_ctx`: tokens of prompt and answer of a call; the synthesizer gets twice as many."""
    slots: int = 6
    """Answers llama.cpp writes at the same time."""
    gpu_layers: int = -1
    """Layers llama.cpp puts on the GPU; -1: as many as fit."""
    keep_alive: str = "10m"
    """How long Ollama keeps a model in memory."""

    @property
    def writer(self) -> str:
        """The model that writes the final answer, as things are set."""
        return self.worker if self.lite else self.synthesizer
