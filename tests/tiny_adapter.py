"""A LoRA of random numbers for the tiny model, and the folder a training would have left for it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from innercouncil.app.tune_card import save_card
from innercouncil.model.training import AdapterCard, BaseModel, BaseShape, TrainingPlan
from tiny_model import FEED_FORWARD, HEADS, HIDDEN, KV_HEADS, LAYERS

RANK, HEAD = 4, HIDDEN // HEADS
TINY = BaseModel(
    name="tiny", weights="tiny", architecture="qwen2", licence="none",
    shape=BaseShape(
        layers=LAYERS, hidden=HIDDEN, feed_forward=FEED_FORWARD, heads=HEADS, kv_heads=KV_HEADS, head_width=HEAD, vocabulary=342, tied=False
    ),
)  # fmt: skip
_WIDTHS = {
    "attn_q": (HIDDEN, HIDDEN), "attn_k": (HIDDEN, KV_HEADS * HEAD), "attn_v": (HIDDEN, KV_HEADS * HEAD), "attn_output": (HIDDEN, HIDDEN),
    "ffn_gate": (HIDDEN, FEED_FORWARD), "ffn_up": (HIDDEN, FEED_FORWARD), "ffn_down": (FEED_FORWARD, HIDDEN),
}  # fmt: skip


def write_adapter(path: Path, *, seed: int = 0, strength: float = 0.05) -> Path:
    """An adapter as GGUF; with strength 0 it changes nothing."""
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, 8.0)
    for layer in range(LAYERS):
        for name, (inputs, outputs) in _WIDTHS.items():
            a = rng.standard_normal((RANK, inputs)).astype(np.float32)
            b = (rng.standard_normal((outputs, RANK)) * strength).astype(np.float32)
            writer.add_tensor(f"blk.{layer}.{name}.weight.lora_a", a)
            writer.add_tensor(f"blk.{layer}.{name}.weight.lora_b", b)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def row(user: str, said: str, *, system: str = "", kind: str = "own words", conversation: str = "") -> dict[str, Any]:
    """A training row."""
    turns = ([{"role": "system", "content": system}] if system else []) + [{"role": "user", "content": user}, {"role": "assistant", "content": said}]  # fmt: skip
    return {"messages": turns, "kind": kind, "conversation": conversation}


def trained(
    data: Path, slug: str, rows: list[dict[str, Any]], held_out: list[dict[str, Any]], *, seed: int = 0, strength: float = 0.05,
    first_loss: float | None = 3.0, best_loss: float | None = 2.5,
) -> Path:  # fmt: skip
    """Rows in the workspace `data`, and beside it the folder of the adapter that was trained on them."""
    lora = data / "personas" / "lora_training"
    lora.mkdir(parents=True, exist_ok=True)
    digests = []
    for part, content in (("train", rows), ("eval", held_out)):
        path = lora / f"persona_{slug}_{part}.jsonl"
        path.write_text("".join(json.dumps(r) + "\n" for r in content), "utf-8")
        digests.append(hashlib.sha256(path.read_bytes()).hexdigest())
    folder = (data.parent if data.name == "data" else data) / "loras" / f"persona_{slug}"
    write_adapter(folder / "adapter.gguf", seed=seed, strength=strength)
    plan = TrainingPlan(
        slug=slug, base=TINY, data=f"persona_{slug}_train.jsonl", eval_data=f"persona_{slug}_eval.jsonl" if held_out else "", output="",
        device="cpu", dtype="float32", quantise="none", epochs=3, batch_size=1, accumulation=8, max_length=256, lora_r=RANK,
        lora_alpha=8.0, lora_dropout=0.0, rslora=False, targets="all-linear", learning_rate=2e-4, warmup_share=0.04, optimizer="adamw",
        checkpointing=True, neftune=None, patience=3, seed=seed,
    )  # fmt: skip
    card = AdapterCard(
        id=f"{slug}-00000000", persona=slug, base="tiny", base_weights="tiny", base_revision="", base_licence="none",
        data_digest=digests[0], eval_digest=digests[1], rows=len(rows), eval_rows=len(held_out), dropped=0, cut=0, supervised_tokens=0,
        settings=plan, train_loss=(), eval_loss=(), best_step=1, best_loss=best_loss, first_loss=first_loss, stopped_early=False,
        seconds=1.0, memory=0, device="cpu", packages={}, files={},
    )  # fmt: skip
    save_card(card, folder)
    return folder
