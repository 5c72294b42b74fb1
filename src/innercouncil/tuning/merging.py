"""An adapter worked into its base: one GGUF for servers that load no adapters.

W + alpha / rank x B A for every module of the adapter (Hu et al. 2021), from the two GGUF files, tensor after tensor. Merged
modules are written in 16 bits or in 8 (Q8_0): rounding to 4 bits again can take a small adapter away. The others stay as they
are in the base.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from innercouncil.model.errors import UsageError
from innercouncil.model.extras import to_install

MergeType = Literal["q8_0", "f16"]
Array = npt.NDArray[Any]
Progress = Callable[[int, int], None]
_HALVES: Final = (".lora_a", ".lora_b")


def merge_gguf(base: Path, adapter: Path, out: Path, *, outtype: MergeType = "q8_0", progress: Progress) -> int:
    """Write `base` with `adapter` worked in to `out`; returns how many modules it changed.

    Raises UsageError for files that are no GGUF, do not belong together, or hold numbers `gguf` cannot read.
    """
    try:
        import gguf
        from gguf.quants import dequantize, quantize
    except ImportError:
        raise UsageError(f"Merging needs the package gguf; {to_install('tune')}.") from None
    model, lora = _opened(base), _opened(adapter)
    halves = {t.name: t for t in lora.tensors}
    scale = _scale(adapter, lora)
    changed = {name.removesuffix(_HALVES[0]) for name in halves if name.endswith(_HALVES[0])}
    _check(base, adapter, {t.name: tuple(reversed(t.shape.tolist())) for t in model.tensors}, halves, changed)
    kind = {"q8_0": gguf.GGMLQuantizationType.Q8_0, "f16": gguf.GGMLQuantizationType.F16}
    part = out.with_name(f".{out.name}.part")
    writer = gguf.GGUFWriter(part, str(model.fields[gguf.Keys.General.ARCHITECTURE].contents()))
    try:
        _copy_fields(model, writer)
        kinds = {}
        for t in model.tensors:
            if t.name not in changed:
                writer.add_tensor_info(t.name, t.data.shape, t.data.dtype, t.data.nbytes, t.tensor_type)
                continue
            # Q8_0 takes 32 numbers at a time.
            kinds[t.name] = wanted = kind[outtype if int(t.shape[0]) % 32 == 0 else "f16"]
            shape = tuple(reversed(t.shape.tolist()))
            if wanted is kind["q8_0"]:
                shape = gguf.quants.quant_shape_to_byte_shape(shape, wanted)
                writer.add_tensor_info(t.name, shape, np.dtype(np.uint8), int(np.prod(shape)), wanted)
            else:
                writer.add_tensor_info(t.name, shape, np.dtype(np.float16), 2 * int(np.prod(shape)), wanted)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for n, t in enumerate(model.tensors, 1):
            data = t.data
            if t.name in changed:
                a, b = (dequantize(h.data, h.tensor_type) for h in (halves[t.name + x] for x in _HALVES))
                data = quantize(dequantize(t.data, t.tensor_type) + np.float32(scale) * (b @ a), kinds[t.name])
            writer.write_tensor_data(data, tensor_endianess=model.endianess)
            progress(n, len(model.tensors))
        writer.close()
        part.replace(out)
    except NotImplementedError as error:
        raise UsageError(
            f"{base} holds numbers in a format that cannot be read here ({error}); merge into an F16 or Q8_0 file of the same base."
        ) from None
    finally:
        part.unlink(missing_ok=True)
    return len(changed)


def _opened(path: Path) -> Any:
    import gguf

    try:
        return gguf.GGUFReader(path)
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise UsageError(f"{path} is not a readable GGUF file ({type(error).__name__}); name another.") from None


def _scale(adapter: Path, lora: Any) -> float:
    """alpha / rank, as llama.cpp reckons it."""
    field = lora.fields.get("adapter.lora.alpha")
    ranks = {int(t.shape[1]) for t in lora.tensors if t.name.endswith(_HALVES[0])}
    if field is None or len(ranks) != 1:
        raise UsageError(f"{adapter} is not a LoRA adapter as GGUF; `innercouncil tune export` writes one.")
    return float(field.contents()) / ranks.pop()


def _check(
    base: Path, adapter: Path, there: dict[str, tuple[int, ...]], halves: dict[str, Any], changed: set[str]
) -> None:
    for name in sorted(changed):
        fits = name + _HALVES[1] in halves and name in there
        if fits:
            inputs, outputs = halves[name + _HALVES[0]].shape[0], halves[name + _HALVES[1]].shape[1]
            fits = there[name] == (int(outputs), int(inputs))
        if not fits:
            raise UsageError(
                f"{adapter} is not an adapter of {base}: {name[:80]} does not fit. Name the base it was trained on."
            )


def _copy_fields(model: Any, writer: Any) -> None:
    import gguf

    for field in model.fields.values():
        if field.name.startswith("GGUF.") or field.name == gguf.Keys.General.ARCHITECTURE:
            continue  # the writer's own
        value, kind = field.contents(), field.types[0]
        if field.name == gguf.Keys.General.FILE_TYPE:
            value = int(gguf.LlamaFileType.MOSTLY_Q8_0)
        sub = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, value, kind, sub_type=sub)
