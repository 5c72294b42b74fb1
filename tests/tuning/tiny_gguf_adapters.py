"""PEFT adapters of random numbers for the tiny model, and questions that a server would like to keep."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from innercouncil.model.ports import ChatRequest, ChatTurn
from tiny_adapter import HEAD, RANK
from tiny_model import FEED_FORWARD, HEADS, HIDDEN, KV_HEADS, LAYERS, WORDS

WIDTHS = {
    "self_attn.q_proj": (HIDDEN, HEADS * HEAD), "self_attn.k_proj": (HIDDEN, KV_HEADS * HEAD), "self_attn.v_proj": (HIDDEN, KV_HEADS * HEAD),
    "self_attn.o_proj": (HEADS * HEAD, HIDDEN), "mlp.gate_proj": (HIDDEN, FEED_FORWARD), "mlp.up_proj": (HIDDEN, FEED_FORWARD),
    "mlp.down_proj": (FEED_FORWARD, HIDDEN),
}  # fmt: skip


def save(path: Path, tensors: dict[str, np.ndarray], kind: str = "F32") -> None:
    """A safetensors file, written by hand from the format's description."""
    header, data = {}, b""
    for name, values in tensors.items():
        raw = values.astype("<f4")
        blob = (raw.view("<u4") >> 16).astype("<u2").tobytes() if kind == "BF16" else raw.tobytes()
        header[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": [len(data), len(data) + len(blob)]}
        data += blob
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def make_adapter(folder: Path, *, seed: int = 0, strength: float = 0.05, **config: object) -> dict[str, np.ndarray]:
    """A PEFT adapter of random numbers on the tiny model; returns its tensors by PEFT's names."""
    rng, tensors = np.random.default_rng(seed), {}
    for layer in range(LAYERS):
        for module, (inputs, outputs) in WIDTHS.items():
            stem = f"base_model.model.model.layers.{layer}.{module}"
            tensors[f"{stem}.lora_A.weight"] = rng.standard_normal((RANK, inputs)).astype(np.float32)
            tensors[f"{stem}.lora_B.weight"] = (rng.standard_normal((outputs, RANK)) * strength).astype(np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    save(folder / "adapter_model.safetensors", tensors)
    (folder / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "r": RANK, "lora_alpha": 8.0, **config}), "utf-8"
    )
    return tensors


def request(number: int, adapter: str | None) -> ChatRequest:
    """One of four long questions that share only their system prompt: such prompts are what a server likes to store."""
    words = " ".join(WORDS[(number % 4 * 17 + 5 * i) % len(WORDS)] for i in range(30))
    turns = (ChatTurn("system", "You are one of a council."), ChatTurn("user", words))
    return ChatRequest(turns=turns, adapter=adapter, max_tokens=24)
