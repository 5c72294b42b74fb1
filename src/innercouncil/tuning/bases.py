"""Which base a name means: Ollama's names with their published weights, those repositories themselves, or a folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import msgspec

from innercouncil.model.errors import UsageError
from innercouncil.model.training import BaseModel, BaseShape

SERVABLE: Final = ("qwen2", "llama")
"""Architectures whose adapters are exported to GGUF and were compared with PEFT, token by token."""


def _qwen(size: str, licence: str, *numbers: int, vocabulary: int = 151936, tied: bool = True) -> BaseModel:
    layers, hidden, feed, heads, kv_heads, width = numbers
    shape = BaseShape(
        layers=layers, hidden=hidden, feed_forward=feed, heads=heads, kv_heads=kv_heads, head_width=width,
        vocabulary=vocabulary, tied=tied,
    )  # fmt: skip
    weights = f"Qwen/Qwen2.5-{size.upper()}-Instruct"
    return BaseModel(name=f"qwen2.5:{size}", weights=weights, architecture="qwen2", licence=licence, shape=shape)


def _llama(name: str, weights: str, *numbers: int, tied: bool) -> BaseModel:
    layers, hidden, feed, heads, kv_heads, width = numbers
    shape = BaseShape(
        layers=layers, hidden=hidden, feed_forward=feed, heads=heads, kv_heads=kv_heads, head_width=width,
        vocabulary=128256, tied=tied,
    )  # fmt: skip
    licence = "Llama 3.2 Community License" if "3.2" in name else "Llama 3.1 Community License"
    return BaseModel(name=name, weights=weights, architecture="llama", licence=licence, shape=shape)


KNOWN: Final = {
    base.name: base
    for base in (
        _qwen("0.5b", "Apache-2.0", 24, 896, 4864, 14, 2, 64),
        _qwen("1.5b", "Apache-2.0", 28, 1536, 8960, 12, 2, 128),
        _qwen("3b", "Qwen Research License (not for commercial use)", 36, 2048, 11008, 16, 2, 128),
        _qwen("7b", "Apache-2.0", 28, 3584, 18944, 28, 4, 128, vocabulary=152064, tied=False),
        _qwen("14b", "Apache-2.0", 48, 5120, 13824, 40, 8, 128, vocabulary=152064, tied=False),
        _llama("llama3.2:1b", "meta-llama/Llama-3.2-1B-Instruct", 16, 2048, 8192, 32, 8, 64, tied=True),
        _llama("llama3.2:3b", "meta-llama/Llama-3.2-3B-Instruct", 28, 3072, 8192, 24, 8, 128, tied=True),
        _llama("llama3.1:8b", "meta-llama/Llama-3.1-8B-Instruct", 32, 4096, 14336, 32, 8, 128, tied=False),
    )
}
"""Numbers from the models' config.json; what Ollama serves under these names is made from these weights."""


def find_base(name: str) -> BaseModel:
    """The base a person named. Raises UsageError that lists what can be named."""
    folder = Path(name).expanduser()
    if (folder / "config.json").is_file():
        return _of_folder(folder, name)
    plain = name.removeprefix("ollama:")
    if plain in KNOWN:
        return KNOWN[plain]
    for base in KNOWN.values():
        if base.weights.lower() == plain.lower():
            return base
    if name.lower().endswith(".gguf"):
        raise UsageError(
            f"{name} is quantised for answering and cannot be trained; name its published weights, e.g. qwen2.5:3b, or a "
            "folder that holds them."
        )
    raise UsageError(
        f"{name!r} is not a base that can be trained by name. Known are {', '.join(KNOWN)}; for any other Qwen2 or Llama "
        "model give the folder with its config.json and safetensors."
    )


def smaller_bases(base: BaseModel) -> tuple[BaseModel, ...]:
    """Known bases of the same family with fewer weights, the largest first."""
    size = _size(base)
    family = [b for b in KNOWN.values() if b.architecture == base.architecture and _size(b) < size]
    return tuple(sorted(family, key=_size, reverse=True))


def _size(base: BaseModel) -> int:
    return base.shape.layers * base.shape.hidden * base.shape.feed_forward


def _of_folder(folder: Path, name: str) -> BaseModel:
    try:
        config = msgspec.json.decode((folder / "config.json").read_bytes(), type=dict[str, Any])
        heads, hidden = int(config["num_attention_heads"]), int(config["hidden_size"])
        shape = BaseShape(
            layers=int(config["num_hidden_layers"]), hidden=hidden, feed_forward=int(config["intermediate_size"]),
            heads=heads, kv_heads=int(config.get("num_key_value_heads") or heads),
            head_width=int(config.get("head_dim") or hidden // heads), vocabulary=int(config["vocab_size"]),
            tied=bool(config.get("tie_word_embeddings", False)),
        )  # fmt: skip
        architecture = str(config["model_type"])
    except (OSError, msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{folder / 'config.json'} is not the configuration of a language model ({type(error).__name__}); give the folder "
            "that `save_pretrained` or a download of the weights made."
        ) from None
    return BaseModel(name=name, weights=str(folder), architecture=architecture, licence=_licence(folder), shape=shape)


def _licence(folder: Path) -> str:
    """What the model card in the folder says, "unknown" where it says nothing."""
    try:
        card = (folder / "README.md").read_text("utf-8", "replace")[:4000]
    except OSError:
        return "unknown"
    found = re.search(r"^license(?:_name)?:[ \t]*([\w.+ -]{1,60})$", card, re.MULTILINE)
    return found[1].strip() if found else "unknown"
