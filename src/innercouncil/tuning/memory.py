"""What a LoRA training needs of memory and time, each term with its numbers shown.

The sum follows QLoRA (Dettmers et al. 2023, arXiv 2305.14314): the frozen base in 4 or 16 bits, weights, gradients and
moments of the adapter in 32, what the backward pass keeps, and what the last layer makes of the vocabulary. TRL's fused
output layer computes log-probabilities in tiles of at most 4096 tokens x 32768 entries, so whole logits never exist.
"""

from __future__ import annotations

from typing import Final

from innercouncil.model.training import BaseShape, Device, Dtype, MemoryTerm, Optimizer, Quantise, Targets, TrainingPlan

GIB: Final = 1024**3
NF4_BITS: Final = 4.127
"""With block scales that are themselves quantised (double quantisation, blocks of 64 and 256)."""
WIDTH: Final[dict[Dtype, int]] = {"bfloat16": 2, "float16": 2, "float32": 4}
MOMENTS: Final[dict[Optimizer, int]] = {"adamw": 8, "adamw_8bit": 2}
"""Bytes of the two moments of AdamW for a number."""
TILE_TOKENS: Final = 4096
TILE_ENTRIES: Final = 32768
TILE_COPIES: Final = 7
"""Without Triton the steps of a tile are kept in 32 bits side by side; as many as benchmarks/tuning_memory.py shows on a CPU."""
CONTEXT: Final[dict[Device, int]] = {"cuda": int(0.7e9), "mps": int(0.7e9), "cpu": int(0.7e9)}
"""CUDA context and allocator, or the interpreter with its libraries."""


UNSLOTH: Final = int(0.5e9)
"""Bytes that unsloth's kernels hold beside the other terms; from one run of benchmarks/tuning_memory.py on an H100."""


def linear_widths(shape: BaseShape, targets: Targets = "all-linear") -> tuple[tuple[int, int], ...]:
    """(inputs, outputs) of the linear modules of one layer that an adapter may sit on."""
    query, keys = shape.heads * shape.head_width, shape.kv_heads * shape.head_width
    attention = ((shape.hidden, query), (shape.hidden, keys), (shape.hidden, keys), (query, shape.hidden))
    if targets == "attention":
        return attention
    feed = ((shape.hidden, shape.feed_forward), (shape.hidden, shape.feed_forward), (shape.feed_forward, shape.hidden))
    return attention + feed


def linear_parameters(shape: BaseShape) -> int:
    """Weights of all linear modules of all layers."""
    return shape.layers * sum(a * b for a, b in linear_widths(shape))


def embedding_parameters(shape: BaseShape) -> int:
    """Weights of the embedding, and of the output layer where that is a matrix of its own."""
    return shape.vocabulary * shape.hidden * (1 if shape.tied else 2)


def adapter_parameters(shape: BaseShape, rank: int, targets: Targets) -> int:
    """Numbers an adapter of this rank has: rank x (inputs + outputs) for every module."""
    return shape.layers * rank * sum(a + b for a, b in linear_widths(shape, targets))


def memory_terms(plan: TrainingPlan) -> tuple[MemoryTerm, ...]:
    """Every summand for a plan, in bytes; their sum is an estimate of the peak."""
    s, width = plan.base.shape, WIDTH[plan.dtype]
    own = adapter_parameters(s, plan.lora_r, plan.targets)
    tokens = plan.batch_size * plan.max_length
    shown = f"{plan.batch_size} x {plan.max_length} tokens"
    terms = [
        _weights(s, plan.quantise, width),
        _term("embedding", f"{_n(embedding_parameters(s))} numbers x {width} bytes", embedding_parameters(s) * width),
        _term("adapter and its gradients", f"{_n(own)} numbers x (4 + 4) bytes", own * 8),
        _term(f"moments ({plan.optimizer})", f"{_n(own)} numbers x {MOMENTS[plan.optimizer]} bytes", own * MOMENTS[plan.optimizer]),
        *_activations(s, plan.checkpointing, tokens, width, shown),
        _tiles(s, plan.device, tokens, width),
        _term("context", "CUDA context, libraries, allocator" if plan.device == "cuda" else "interpreter and libraries", CONTEXT[plan.device]),
    ]  # fmt: skip
    if plan.unsloth:
        terms.append(_term("unsloth", "buffers of its kernels", UNSLOTH))
    return tuple(terms)


def need_of(plan: TrainingPlan) -> int:
    """Bytes a plan needs at its peak."""
    return sum(term.size for term in memory_terms(plan))


def _weights(s: BaseShape, quantise: Quantise, width: int) -> MemoryTerm:
    count = linear_parameters(s)
    if quantise == "nf4":
        return _term("frozen weights, 4 bits", f"{_n(count)} numbers x {NF4_BITS} / 8 bytes", int(count * NF4_BITS / 8))
    return _term(f"frozen weights, {8 * width} bits", f"{_n(count)} numbers x {width} bytes", count * width)


def _activations(s: BaseShape, checkpointing: bool, tokens: int, width: int, shown: str) -> list[MemoryTerm]:
    one = tokens * (8 * s.hidden + 4 * s.feed_forward) * width
    formula = f"{shown} x (8 x {s.hidden} + 4 x {s.feed_forward}) x {width} bytes"
    if not checkpointing:
        return [_term("activations of all layers", f"{s.layers} layers x {formula}", s.layers * one)]
    kept = s.layers * tokens * s.hidden * width
    return [
        _term("checkpointed activations", f"{s.layers} layers x {shown} x {s.hidden} x {width} bytes", kept),
        _term("activations of one layer", formula, one),
    ]


def _tiles(s: BaseShape, device: Device, tokens: int, width: int) -> MemoryTerm:
    rows, entries = min(tokens, TILE_TOKENS), min(s.vocabulary, TILE_ENTRIES)
    each = width if device == "cuda" else TILE_COPIES * 4
    return _term(
        "tiles of the output layer", f"{rows} tokens x {entries} entries x {each} bytes", rows * entries * each
    )


def _term(name: str, formula: str, size: int) -> MemoryTerm:
    return MemoryTerm(name, formula, size)


def _n(count: int) -> str:
    return f"{count:,}"
