"""What a council needs of memory, with the arithmetic shown.

KV cache: 2 (keys and values) x layers x KV heads x head width x bytes a number, for every token of every slot. Weights:
the size of the file. Buffers: what llama.cpp allocates besides, about 0.7 GiB for a model with a large vocabulary.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from innercouncil.llm.gguf_header import read_header

GIB: Final = 1024**3
BUFFERS: Final = int(0.7 * GIB)
KEPT_FREE: Final = int(1.5 * GIB)
"""Memory the system and the browser need."""


class Shape(NamedTuple):
    """What the arithmetic needs to know of a model."""

    name: str
    weights: int
    """Bytes."""
    layers: int
    kv_heads: int
    head_width: int

    def kv_bytes(self, tokens: int) -> int:
        """Bytes of the KV cache for so many tokens (f16: 2 bytes a number)."""
        return int(2 * self.layers * self.kv_heads * self.head_width * 2 * tokens)

    def need(self, slots: int, context: int) -> int:
        """Bytes to serve `slots` answers at a time, `context` tokens each."""
        return self.weights + self.kv_bytes(slots * context) + BUFFERS


KNOWN: Final = {
    "qwen2.5:0.5b": Shape("qwen2.5:0.5b", int(0.40e9), 24, 2, 64),
    "qwen2.5:1.5b": Shape("qwen2.5:1.5b", int(0.99e9), 28, 2, 128),
    "qwen2.5:3b": Shape("qwen2.5:3b", int(1.93e9), 36, 2, 128),
    "qwen2.5:7b": Shape("qwen2.5:7b", int(4.68e9), 28, 4, 128),
    "qwen2.5:14b": Shape("qwen2.5:14b", int(8.99e9), 48, 8, 128),
}
"""Q4_K_M as Ollama serves them; layers and heads from the models' config.json."""


class Memory(NamedTuple):
    """Where models can live on this machine, in bytes."""

    ram_total: int
    ram_free: int
    gpus: tuple[tuple[str, int, int], ...]
    """(name, total, free) of each NVIDIA GPU."""

    @property
    def budget(self) -> tuple[str, int]:
        """The place models go to and what they may use there: the largest GPU, or RAM."""
        if self.gpus:
            name, total, free = max(self.gpus, key=lambda g: g[1])
            return name, min(free, total - GIB // 2)
        return "RAM", max(0, self.ram_free - KEPT_FREE)


class Plan(NamedTuple):
    """Whether worker and synthesizer fit, and how the council then runs."""

    mode: str
    """"together", "phases" (one after the other) or "lite" (the worker model also writes the final answer)."""
    lines: tuple[str, ...]
    """The arithmetic, a line each."""
    advice: str


def measure_memory() -> Memory:
    """Memory of this machine now."""
    memory = psutil.virtual_memory()
    gpus: list[tuple[str, int, int]] = []
    with contextlib.suppress(Exception):
        import pynvml

        pynvml.nvmlInit()
        for i in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(i)
            info = pynvml.nvmlDeviceGetMemoryInfo(handle)
            name = pynvml.nvmlDeviceGetName(handle)
            gpus.append((name if isinstance(name, str) else name.decode(), int(info.total), int(info.free)))
        pynvml.nvmlShutdown()
    return Memory(memory.total, memory.available, tuple(gpus))


def plan(worker: Shape, synthesizer: Shape, slots: int, context: int, memory: Memory) -> Plan:
    """Decide how to run `slots` workers and the synthesizer with `context` tokens each in `memory`."""
    place, budget = memory.budget
    one, other = worker.need(slots, context), synthesizer.need(1, 2 * context)
    same = worker.name == synthesizer.name
    lines = (
        _line(worker, slots, context),
        *(() if same else (_line(synthesizer, 1, 2 * context),)),
        f"{place}: {_gib(budget)} usable now",
    )
    if same:
        return Plan("lite", lines, _fits(one, budget, "One model serves workers and synthesizer."))
    if one + other <= budget:
        return Plan("together", lines, f"Both fit together ({_gib(one + other)}).")
    if max(one, other) <= budget:
        return Plan(
            "phases", lines,
            f"Together they need {_gib(one + other)}, more than there is: the council runs in phases, workers first, "
            "then the synthesizer. --lite avoids the swap: the workers' model also writes the final answer.",
        )  # fmt: skip
    if one <= budget:
        return Plan("lite", lines, f"{synthesizer.name} does not fit; use --lite, or choose a smaller synthesizer.")
    return Plan("lite", lines, _fits(one, budget, ""))


def read_shape(path: Path, name: str) -> Shape:
    """Shape of a GGUF file. Raises OSError, ValueError where it is not one."""
    header = read_header(path)

    def number(key: str) -> int:
        value = header.get(f"{header.get('general.architecture', 'llama')}.{key}", 0)
        return int(value) if isinstance(value, int | float) else 0

    heads = number("attention.head_count") or 1
    width = number("attention.key_length") or number("embedding_length") // heads
    kv_heads = number("attention.head_count_kv") or heads
    return Shape(name, path.stat().st_size, number("block_count"), kv_heads, width)


def _line(shape: Shape, slots: int, context: int) -> str:
    kv = shape.kv_bytes(slots * context)
    return (
        f"{shape.name}: weights {_gib(shape.weights)} + KV cache 2 x {shape.layers} layers x {shape.kv_heads} heads x "
        f"{shape.head_width} x 2 bytes x {slots} x {context} tokens = {_gib(kv)} + buffers {_gib(BUFFERS)} = "
        f"{_gib(shape.need(slots, context))}"
    )


def _fits(need: int, budget: int, text: str) -> str:
    if need <= budget:
        return f"{text} It fits ({_gib(need)}).".strip()
    return f"It needs {_gib(need)}, {_gib(need - budget)} more than there is: close programs, or choose a smaller model or context."


def _gib(size: int) -> str:
    return f"{size / GIB:.2f} GiB"
