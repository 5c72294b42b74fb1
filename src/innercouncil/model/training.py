"""A LoRA training: which base, what is planned, what it needs, how far it is, and what came of it."""

from __future__ import annotations

from typing import Literal

import msgspec

from innercouncil.model.gates import GateReport
from innercouncil.model.preferences import Continued, PreferenceKind

Device = Literal["cuda", "mps", "cpu"]
Quantise = Literal["nf4", "none"]
"""nf4: the base in 4 bits (QLoRA, Dettmers et al. 2023), by bitsandbytes."""
Dtype = Literal["bfloat16", "float16", "float32"]
Optimizer = Literal["adamw", "adamw_8bit"]
Targets = Literal["all-linear", "attention"]
Happening = Literal["start", "step", "eval", "kept", "stopping", "done", "failed"]


class BaseShape(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of a base model's config.json that memory, time and export depend on."""

    layers: int
    hidden: int
    feed_forward: int
    heads: int
    kv_heads: int
    head_width: int
    vocabulary: int
    tied: bool
    """Whether the output layer is the embedding itself."""


class BaseModel(msgspec.Struct, frozen=True, kw_only=True):
    """What is trained on top of."""

    name: str
    """As the person named it, e.g. `qwen2.5:3b`."""
    weights: str
    """Repository of the published weights, or a folder."""
    architecture: str
    """`model_type` of its config.json, e.g. `qwen2`."""
    licence: str
    shape: BaseShape


class MemoryTerm(msgspec.Struct, frozen=True):
    """One summand of what a training needs."""

    name: str
    formula: str
    """With the numbers in it."""
    size: int
    """Bytes."""


class DataFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a file of training rows before anything is loaded."""

    rows: int
    tokens: int
    """Estimated, of all rows together."""
    longest: int
    """Estimated tokens of the longest row."""
    digest: str
    """SHA-256 of the file."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a person asked of a training; None leaves it to the plan. What no server can load is here to be refused."""

    base_model: str | None = None
    mode: str | None = None
    """Memory to stay within: 8GB, 16GB or 32GB; None: what is free now."""
    device: Device | None = None
    epochs: float | None = None
    batch_size: int | None = None
    accumulation: int | None = None
    max_length: int | None = None
    lora_r: int | None = None
    lora_alpha: float | None = None
    lora_dropout: float | None = None
    learning_rate: float | None = None
    quantise: Quantise | None = None
    targets: str | None = None
    rslora: bool = False
    dora: bool = False
    modules_to_save: tuple[str, ...] = ()
    neftune: float | None = None
    patience: int | None = None
    seed: int = 0
    unsloth: bool = True
    """Whether unsloth may train, where it works."""


class TrainingPlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything a training depends on, settled: the same plan and data give the same adapter on the same machine."""

    slug: str
    base: BaseModel
    data: str
    eval_data: str
    """Empty: nothing is held out, so nothing stops early."""
    output: str
    device: Device
    dtype: Dtype
    quantise: Quantise
    epochs: float
    batch_size: int
    accumulation: int
    """Batches before a step; batch_size x accumulation is what one step learns from."""
    max_length: int
    lora_r: int
    lora_alpha: float
    lora_dropout: float
    rslora: bool
    targets: Targets
    learning_rate: float
    warmup_share: float
    optimizer: Optimizer
    checkpointing: bool
    """Activations are computed again instead of kept: less memory, about half more time."""
    neftune: float | None
    patience: int
    """Evaluations without a better held-out loss before it stops."""
    seed: int
    method: Literal["sft"] | PreferenceKind = "sft"
    """sft: from rows; the others continue an adapter from preferences."""
    beta: float = 0.1
    """Of dpo and kto: how closely it stays by the adapter it was."""
    from_adapter: str = ""
    """Folder of the adapter that is continued."""
    from_sha256: str = ""
    """Of its weights."""
    unsloth: bool = False
    """Whether unsloth's kernels train instead of TRL and PEFT alone."""
    voice_rows: str = ""
    """Held-out rows on which the loss of the text itself is measured, before and after."""


class Hardware(msgspec.Struct, frozen=True, kw_only=True):
    """Where a training could run on this machine."""

    device: Device
    name: str
    memory_total: int
    """Bytes, of the GPU or of RAM."""
    memory_free: int
    bfloat16: bool
    """Whether the device computes in bfloat16 at full speed."""
    tflops: float
    """Measured on a product of matrices; 0 where it was not."""
    packages: dict[str, str]
    """Of the extra `tune`, and unsloth: those that are installed and load, with their versions."""
    missing: tuple[str, ...]
    """Those without which nothing can be trained."""
    notes: tuple[str, ...] = ()


class TrainingCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What a training will need and whether this machine has it."""

    plan: TrainingPlan
    hardware: Hardware
    data: DataFacts | None
    held_out: DataFacts | None
    terms: tuple[MemoryTerm, ...]
    need: int
    """Bytes: the sum of the terms."""
    budget: int
    """Bytes that may be used."""
    adapter_parameters: int
    adapter_bytes: int
    """Size of the file in 32-bit numbers; the GGUF in 16-bit is half of it."""
    seconds: float | None
    """Expected, None where the speed is not known."""
    download: int
    """Bytes of published weights that are not on this machine yet."""
    notes: tuple[str, ...]
    problems: tuple[str, ...]
    """What stands in the way, with what to do; empty: it can begin."""


class TrainingEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of progress.jsonl."""

    event: Happening
    step: int = 0
    steps: int = 0
    epoch: float = 0.0
    loss: float | None = None
    """Mean over the tokens of the step."""
    eval_loss: float | None = None
    learning_rate: float | None = None
    tokens_per_s: float | None = None
    memory: int | None = None
    """Most bytes held so far, on the GPU or in RAM."""
    seconds: float = 0.0
    """Since this process began to train."""
    left: float | None = None
    """Seconds, expected."""
    text: str = ""
    reason: str = ""
    """Of a failure: memory, data, base, package or other."""


class LossPoint(msgspec.Struct, frozen=True):
    """One point of a curve."""

    step: int
    loss: float


class TrainingRun(msgspec.Struct, frozen=True, kw_only=True):
    """How far the training of an adapter is."""

    slug: str
    state: Literal["running", "interrupted", "failed", "done"]
    step: int
    steps: int
    last: TrainingEvent | None
    """The newest step."""
    best_loss: float | None
    """Lowest held-out loss so far."""
    problem: str
    adapter: str
    """Id of the whole adapter that lies there, also while a new one is trained; empty where there is none."""


class AdapterCard(msgspec.Struct, frozen=True, kw_only=True):
    """What an adapter is, was made from, and how it came out: card.json."""

    id: str
    """Changes with every training: servers that keep adapters by name must never meet an old one under a new name."""
    persona: str
    base: str
    base_weights: str
    base_revision: str
    base_licence: str
    data_digest: str
    eval_digest: str
    rows: int
    eval_rows: int
    dropped: int
    """Rows of which max_length left nothing to learn."""
    cut: int
    """Rows that were longer than max_length."""
    supervised_tokens: int
    settings: TrainingPlan
    train_loss: tuple[LossPoint, ...]
    eval_loss: tuple[LossPoint, ...]
    best_step: int
    best_loss: float | None
    first_loss: float | None
    """Held-out loss of the base without the adapter."""
    stopped_early: bool
    seconds: float
    memory: int
    device: str
    packages: dict[str, str]
    files: dict[str, str]
    """File -> SHA-256."""
    gates: GateReport | None = None
    forced: str = ""
    """Why the person seated it although its gates say no."""
    continued: Continued | None = None
