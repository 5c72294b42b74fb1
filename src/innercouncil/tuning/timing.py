"""How long a training takes: operations counted, against the speed this machine was measured at."""

from __future__ import annotations

from typing import Final

from innercouncil.model.training import BaseShape, Hardware, TrainingPlan
from innercouncil.tuning.memory import linear_parameters

USED_SPEED: Final = 0.35
"""Share of the speed of a bare product of matrices that a training reaches; an assumption."""
LAYER_S: Final = 0.016
"""Seconds that a GPU waits for its orders at each layer of a batch, however short the batch is: 14 to 17 ms in all batches of
benchmarks/tuning_memory.py on an H100, whose arithmetic took less."""


def seconds_of(plan: TrainingPlan, hardware: Hardware, tokens: float, batches: float) -> float | None:
    """Expected time for so many tokens in so many batches, None where the machine's speed was not measured."""
    if not hardware.tflops:
        return None
    flops = train_flops(plan.base.shape, tokens, checkpointing=plan.checkpointing)
    waiting = batches * plan.base.shape.layers * LAYER_S if plan.device == "cuda" else 0.0
    return max(flops / (hardware.tflops * 1e12 * USED_SPEED), waiting)


def train_flops(shape: BaseShape, tokens: float, *, checkpointing: bool) -> float:
    """Operations to train on so many tokens: 2 N forward, 2 N backward through the activations, 2 N to recompute.

    The base is frozen, so the 2 N for its weights' gradients do not arise; the adapter's own are under 2% of it.
    """
    weights = linear_parameters(shape) + shape.vocabulary * shape.hidden
    return (6.0 if checkpointing else 4.0) * weights * tokens
