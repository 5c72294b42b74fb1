"""How long a training takes: operations counted, against the speed this machine was measured at."""

from __future__ import annotations

from typing import Final

from innercouncil.model.training import BaseShape, Hardware, TrainingPlan
from innercouncil.tuning.memory import linear_parameters

USED_SPEED: Final = 0.35
"""Share of the speed of a bare product of matrices that a training reaches; an assumption."""


def tokens_per_second(plan: TrainingPlan, hardware: Hardware) -> float | None:
    """Expected speed, None where the machine's was not measured."""
    if not hardware.tflops:
        return None
    return hardware.tflops * 1e12 * USED_SPEED / train_flops(plan.base.shape, 1, checkpointing=plan.checkpointing)


def train_flops(shape: BaseShape, tokens: int, *, checkpointing: bool) -> float:
    """Operations to train on so many tokens: 2 N forward, 2 N backward through the activations, 2 N to recompute.

    The base is frozen, so the 2 N for its weights' gradients do not arise; the adapter's own are under 2% of it.
    """
    weights = linear_parameters(shape) + shape.vocabulary * shape.hidden
    return (6.0 if checkpointing else 4.0) * weights * tokens
