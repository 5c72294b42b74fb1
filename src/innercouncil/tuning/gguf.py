"""A PEFT adapter as GGUF, for llama.cpp, written with the `gguf` package alone.

llama.cpp adds scale x alpha / rank x B A x to a module's output (src/llama-adapter.h), so three things differ from PEFT:
alpha of an rsLoRA adapter (scaled by alpha / sqrt(r)) has to be written times sqrt(r); Llama's queries and keys are kept
in another order of rows (half-rotated to interleaved), and so are the rows of B; modules have GGUF's names.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from innercouncil.model.errors import UsageError
from innercouncil.model.extras import to_install
from innercouncil.model.training import BaseModel

OutType = Literal["f16", "f32"]
Array = npt.NDArray[Any]
_WIDTHS: Final[dict[str, np.dtype[Any]]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2")}
_KEY_RE: Final = re.compile(r"base_model\.model\.(.+)\.lora_([AB])(?:\.default)?\.weight")


class Pair(NamedTuple):
    """The two matrices of one module."""

    module: str
    """Its name in the base, e.g. `model.layers.0.self_attn.q_proj`."""
    a: Array
    """(rank, inputs)."""
    b: Array
    """(outputs, rank)."""


def write_gguf(adapter: Path, base: BaseModel, out: Path, *, outtype: OutType = "f16") -> int:
    """Write the PEFT adapter in the folder `adapter` to `out`; returns how many modules it has.

    Raises UsageError for what llama.cpp cannot load, for an adapter of another base and where `gguf` is missing.
    """
    try:
        import gguf
    except ImportError:
        raise UsageError(f"Writing GGUF needs the package gguf; {to_install('tune')}.") from None
    config = _config(adapter)
    kind = {"qwen2": gguf.MODEL_ARCH.QWEN2, "llama": gguf.MODEL_ARCH.LLAMA}[base.architecture]
    names = gguf.get_tensor_name_map(kind, base.shape.layers)
    part = out.with_name(f".{out.name}.part")
    writer = gguf.GGUFWriter(part, gguf.MODEL_ARCH_NAMES[kind])
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, served_alpha(config))
    kept = np.dtype(np.float16 if outtype == "f16" else np.float32)
    count = 0
    for pair in read_pairs(adapter / "adapter_model.safetensors"):
        name = names.get_name(pair.module + ".weight", try_suffixes=(".weight",))
        if name is None:
            raise UsageError(
                f"The adapter sits on {pair.module}, which llama.cpp has no adapter for; train on linear modules only."
            )
        b = _reordered(pair, base)
        writer.add_tensor(name + ".lora_a", np.ascontiguousarray(pair.a.astype(kept)))
        writer.add_tensor(name + ".lora_b", np.ascontiguousarray(b.astype(kept)))
        count += 1
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    part.replace(out)
    return count


def served_alpha(config: dict[str, Any]) -> float:
    """Alpha as llama.cpp has to read it: it always divides by the rank."""
    alpha = float(config["lora_alpha"])
    return alpha * math.sqrt(config["r"]) if config.get("use_rslora") else alpha


def read_pairs(path: Path) -> Iterator[Pair]:
    """The pairs of an adapter_model.safetensors, in the order of their names. Raises UsageError."""
    found: dict[str, dict[str, Array]] = {}
    for key, values in sorted(read_safetensors(path).items()):
        match = _KEY_RE.fullmatch(key)
        if match is None:
            raise UsageError(
                f"{path} holds {key[:80]!r}, which is no half of a low-rank pair; llama.cpp cannot load it."
            )
        found.setdefault(match[1], {})[match[2]] = values
    for module, halves in found.items():
        if set(halves) != {"A", "B"} or halves["A"].shape[0] != halves["B"].shape[1]:
            raise UsageError(f"{path} is damaged: {module} has not two halves of one rank; train it again.")
        yield Pair(module, halves["A"], halves["B"])


def read_safetensors(path: Path) -> dict[str, Array]:
    """Name -> values in 32 bits. The format is a length, a header in JSON, and the numbers; numpy has no bfloat16, so
    the `safetensors` package cannot give those without torch. Raises UsageError.
    """
    try:
        data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        out = {}
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            start, end = entry["data_offsets"]
            raw: Array = np.frombuffer(data[8 + length + start : 8 + length + end], _WIDTHS[entry["dtype"]])
            if entry["dtype"] == "BF16":
                raw = (raw.astype("<u4") << 16).view("<f4")
            out[name] = raw.astype(np.float32).reshape(entry["shape"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is not a readable safetensors file ({type(error).__name__}); train the adapter again."
        ) from None
    return out


def _config(adapter: Path) -> dict[str, Any]:
    path = adapter / "adapter_config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text("utf-8"))
        usable = config["peft_type"] == "LORA" and int(config["r"]) > 0 and float(config["lora_alpha"]) > 0
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(
            f"{adapter} is not the folder of a PEFT adapter: {path.name} is missing or unreadable."
        ) from None
    refused = [
        (not usable, "it is not a LoRA"), (config.get("use_dora"), "DoRA has no place in GGUF"),
        (config.get("modules_to_save"), "it holds whole modules"), (config.get("bias", "none") != "none", "it trains biases"),
        (config.get("rank_pattern") or config.get("alpha_pattern"), "its modules have different ranks or alphas"),
    ]  # fmt: skip
    why = [text for wrong, text in refused if wrong]
    if why:
        raise UsageError(f"{adapter} cannot become GGUF: {'; '.join(why)}.")
    return config


def _reordered(pair: Pair, base: BaseModel) -> Array:
    """B with its rows in llama.cpp's order, after a look at whether the adapter is one of this base."""
    shape, module = base.shape, pair.module.rsplit(".", 1)[-1]
    heads = {"q_proj": shape.heads, "k_proj": shape.kv_heads, "v_proj": shape.kv_heads}.get(module)
    outputs = (
        heads * shape.head_width
        if heads
        else {"gate_proj": shape.feed_forward, "up_proj": shape.feed_forward}.get(module, shape.hidden)
    )
    if pair.b.shape[0] != outputs:
        raise UsageError(
            f"The adapter is not one of {base.name}: {pair.module} has {pair.b.shape[0]} outputs there and not {outputs}."
        )
    if base.architecture != "llama" or module not in ("q_proj", "k_proj") or heads is None:
        return pair.b
    return pair.b.reshape(heads, 2, shape.head_width // 2, -1).swapaxes(1, 2).reshape(pair.b.shape)
