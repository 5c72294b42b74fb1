"""From what a person asked to a plan that fits: defaults, refusals with their reason, and the next smaller plan.

Defaults after "LoRA Without Regret" (Schulman and Thinking Machines 2025: all linear modules, a learning rate ten times that of
full training, small batches) and "LoRA Learns Less and Forgets Less" (Biderman et al. 2024, arXiv 2405.09673: alpha = 2r).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, cast

import msgspec

from innercouncil.model.errors import UsageError
from innercouncil.model.training import BaseModel, DataFacts, Device, Dtype, Hardware, Targets, TrainingPlan, Wish
from innercouncil.tuning.bases import SERVABLE
from innercouncil.tuning.memory import GIB, need_of

DEFAULT_BASE: Final = "qwen2.5:3b"
MODES: Final = ("8GB", "16GB", "32GB")
FEW_ROWS: Final = 300
"""Under this many rows rank 8 holds what there is to learn."""
SMALL_STEP: Final = 8
"""Rows a step learns from."""
LENGTHS: Final = (1024, 768, 512, 384, 256)
KEPT_GPU: Final = GIB
KEPT_RAM: Final = int(2.5 * GIB)
"""Memory for the desktop, or for the system and a browser."""


class Budget(NamedTuple):
    """Bytes a training may use, and why no more."""

    size: int
    why: str


def refusals(wish: Wish) -> list[str]:
    """Settings whose adapter no server could load, or that cannot be meant, each with its reason and what to do."""
    said = []
    if wish.dora:
        said.append(
            "DoRA is refused: its magnitude vectors have no place in a GGUF adapter and vLLM does not load them, so the "
            "adapter could not be served; leave --dora out."
        )
    if wish.modules_to_save:
        said.append(
            f"Whole modules ({', '.join(wish.modules_to_save)}) in an adapter are refused: llama.cpp and vLLM load only "
            "low-rank pairs; leave --modules-to-save out."
        )
    if wish.targets not in (None, "all-linear", "attention"):
        said.append(
            f"--targets {wish.targets} is refused: adapters sit on all-linear or attention modules; embeddings and the output "
            "layer cannot be served as a low-rank pair."
        )
    said += [text for wrong, text in _out_of_range(wish) if wrong]
    return said


def _out_of_range(w: Wish) -> list[tuple[bool, str]]:
    rank, alpha, rate = 16 if w.lora_r is None else w.lora_r, w.lora_alpha, w.learning_rate
    return [
        (not 1 <= rank <= 256, f"--lora-r is 1 to 256 and not {rank}; 8 or 16 is enough for a voice."),
        (alpha is not None and not 0 < alpha <= 1024, "--lora-alpha is above 0 and at most 1024; twice the rank is usual."),
        (w.lora_dropout is not None and not 0 <= w.lora_dropout < 1, "--lora-dropout is 0 or more and under 1."),
        (rate is not None and not 0 < rate <= 0.1, "--learning-rate is above 0 and at most 0.1; 2e-4 is usual."),
        (w.epochs is not None and not 0 < w.epochs <= 100, "--epochs is above 0 and at most 100; 1 to 3 is usual."),
        (w.batch_size is not None and not 1 <= w.batch_size <= 512, "--batch-size is 1 to 512."),
        (w.accumulation is not None and not 1 <= w.accumulation <= 1024, "--accumulation is 1 to 1024."),
        (w.max_length is not None and not 16 <= w.max_length <= 32768, "--max-length is 16 to 32768 tokens."),
    ]  # fmt: skip


def check_base(base: BaseModel) -> None:
    """Raises UsageError for a base whose adapter could not be exported."""
    if base.architecture not in SERVABLE:
        raise UsageError(
            f"{base.name} is of the architecture {base.architecture!r}; adapters are made for {' and '.join(SERVABLE)} models, "
            "whose export was checked. Choose one of those."
        )


def make_plan(
    wish: Wish, base: BaseModel, hardware: Hardware, *, slug: str, data: str, eval_data: str, output: str, facts: DataFacts | None
) -> TrainingPlan:  # fmt: skip
    """The plan before anything is made smaller. Raises UsageError with everything that is refused."""
    said = refusals(wish)
    if said:
        raise UsageError(" ".join(said))
    check_base(base)
    rows = facts.rows if facts else 0
    rank = wish.lora_r or (8 if 0 < rows < FEW_ROWS else 16)
    batch = wish.batch_size or 1
    device = wish.device or hardware.device
    return TrainingPlan(
        slug=slug, base=base, data=data, eval_data=eval_data, output=output, device=device,
        dtype=_dtype(device, hardware), quantise=wish.quantise or "none", epochs=float(wish.epochs or 3), batch_size=batch,
        accumulation=wish.accumulation or max(1, round(SMALL_STEP / batch)), max_length=wish.max_length or LENGTHS[0],
        lora_r=rank, lora_alpha=float(wish.lora_alpha or 2 * rank),
        lora_dropout=0.0 if wish.lora_dropout is None else wish.lora_dropout, rslora=wish.rslora,
        targets=cast("Targets", wish.targets or "all-linear"), learning_rate=wish.learning_rate or 2e-4, warmup_share=0.04,
        optimizer="adamw", checkpointing=True, neftune=wish.neftune, patience=3 if wish.patience is None else wish.patience,
        seed=wish.seed, unsloth=wish.unsloth and device == "cuda" and "unsloth" in hardware.packages,
    )  # fmt: skip


def _dtype(device: str, hardware: Hardware) -> Dtype:
    if device == "cpu":
        return "float32"
    return "bfloat16" if hardware.bfloat16 else "float16"


def budget_of(mode: str | None, hardware: Hardware) -> Budget:
    """What a training may use: the mode's memory less what the system needs, and never more than is free."""
    place = "the GPU" if hardware.device == "cuda" else "RAM"
    kept = KEPT_GPU if hardware.device == "cuda" else KEPT_RAM
    free = Budget(max(0, hardware.memory_free - GIB // 4), f"free on {place} now")
    if mode is None:
        return free
    asked = Budget(int(mode.removesuffix("GB")) * GIB - kept, f"{mode} less {kept / GIB:.1f} GiB for the system")
    return min(asked, free, key=lambda b: b.size)


def elsewhere(device: Device, mode: str | None, here: Hardware) -> Hardware:
    """A machine with this device that is not here, for a script to take there: of the mode's memory, else of 16 GB."""
    size = int((mode or "16GB").removesuffix("GB")) * GIB
    packages = {**here.packages, "bitsandbytes": here.packages.get("bitsandbytes", "0.50.2")}
    return Hardware(
        device=device, name=f"another machine with {device}", memory_total=size, memory_free=size, bfloat16=True, tflops=0.0,
        packages=packages, missing=here.missing,
    )  # fmt: skip


def fit(plan: TrainingPlan, wish: Wish, hardware: Hardware, budget: int) -> tuple[TrainingPlan, list[str]]:
    """Make a plan smaller until it fits or nothing is left to shrink; what the person named stays. Returns the steps in words."""
    steps = []
    while need_of(plan) > budget:
        smaller = shrink(plan, wish, hardware)
        if smaller is None:
            break
        plan, said = smaller
        steps.append(said)
    return plan, steps


def shrink(plan: TrainingPlan, wish: Wish, hardware: Hardware) -> tuple[TrainingPlan, str] | None:
    """The next smaller plan and what changed, None where nothing is left that the person did not fix."""
    return next(_smaller(plan, wish, hardware), None)


def _smaller(plan: TrainingPlan, wish: Wish, hardware: Hardware) -> Iterator[tuple[TrainingPlan, str]]:
    """Ways to need less: first what changes nothing about the result, then what changes it least."""
    replace = msgspec.structs.replace
    small_bits = "bitsandbytes" in hardware.packages and plan.device != "mps"
    if plan.batch_size > 1 and wish.batch_size is None:
        half = plan.batch_size // 2
        more = replace(plan, batch_size=half, accumulation=plan.accumulation * 2)
        yield more, f"{half} rows at a time instead of {plan.batch_size}, {more.accumulation} times before a step"
    if plan.quantise == "none" and wish.quantise is None and small_bits:
        dtype: Dtype = "bfloat16" if plan.device == "cpu" else plan.dtype
        yield replace(plan, quantise="nf4", dtype=dtype), "the base in 4 bits (QLoRA)"
    if plan.optimizer == "adamw" and small_bits and plan.device == "cuda":
        yield replace(plan, optimizer="adamw_8bit"), "moments of AdamW in 8 bits"
    if plan.device == "cpu" and plan.dtype == "float32":
        yield replace(plan, dtype="bfloat16"), "the base in 16 bits"
    shorter = [n for n in LENGTHS if n < plan.max_length]
    if shorter and wish.max_length is None:
        yield replace(plan, max_length=shorter[0]), f"rows cut at {shorter[0]} tokens instead of {plan.max_length}"
    if plan.lora_r > 8 and wish.lora_r is None and plan.method == "sft":
        yield replace(plan, lora_r=8, lora_alpha=wish.lora_alpha or 16.0), f"rank 8 instead of {plan.lora_r}"


def smaller_after_failure(plan: TrainingPlan, wish: Wish, hardware: Hardware) -> tuple[TrainingPlan, str] | None:
    """The next smaller plan after memory ran out: what the person named gives way too, but not their base."""
    found = shrink(plan, wish, hardware)
    if found is None:
        freed = msgspec.structs.replace(wish, batch_size=None, quantise=None, max_length=None, lora_r=None)
        found = shrink(plan, freed, hardware)
    return found
