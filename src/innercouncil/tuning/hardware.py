"""What this machine has for a training, found out in a process of its own: loading CUDA or a broken package harms nobody.

Run as `python -m innercouncil.tuning.hardware`, it prints a `Hardware` as JSON.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import msgspec
import psutil

from innercouncil.model.training import Device, Hardware

NEEDED: Final = ("torch", "transformers", "peft", "trl", "datasets", "accelerate", "gguf")
OPTIONAL: Final = ("bitsandbytes", "unsloth")
PROBE_SECONDS: Final = 180
"""Longest time to import torch from a slow disk and look at the device."""


def look(device: Device | None = None, *, measure: bool = True) -> Hardware:
    """This machine, seen from a child process; without torch what can be told without it."""
    if _missing():
        return _without_torch()
    try:
        done = subprocess.run(  # noqa: S603 - our own module, and a word from a fixed list
            [sys.executable, "-m", "innercouncil.tuning.hardware", device or "auto", "measure" if measure else "quick"],
            capture_output=True, timeout=PROBE_SECONDS, check=True,
        )  # fmt: skip
        return msgspec.json.decode(done.stdout.splitlines()[-1], type=Hardware)
    except (subprocess.SubprocessError, msgspec.MsgspecError, IndexError):
        note = 'torch is installed but does not load here; run `python -c "import torch"` to see why.'
        return msgspec.structs.replace(_without_torch(), missing=("torch",), notes=(note,))


def _missing() -> tuple[str, ...]:
    return tuple(name for name in NEEDED if importlib.util.find_spec(name) is None)


def _packages() -> dict[str, str]:
    found = {}
    for name in (*NEEDED, *OPTIONAL):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _without_torch() -> Hardware:
    memory = psutil.virtual_memory()
    return Hardware(
        device="cpu", name=_cpu(), memory_total=memory.total, memory_free=memory.available, bfloat16=False, tflops=0.0,
        packages=_packages(), missing=_missing(),
    )  # fmt: skip


def _cpu() -> str:
    return f"{platform.processor() or platform.machine()}, {psutil.cpu_count(logical=False) or os.cpu_count()} cores"


def examine(wanted: str, *, measure: bool) -> Hardware:
    """Look from inside; torch is imported here."""
    import torch

    packages, notes = _packages(), list[str]()
    kind: Device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if wanted == "cpu":
        kind = "cpu"
    if "bitsandbytes" in packages and not _loads("bitsandbytes"):
        del packages["bitsandbytes"]
        notes.append("bitsandbytes is installed but does not load, so the base stays in 16 bits.")
    if "unsloth" in packages and not (kind == "cuda" and _loads("unsloth")):
        del packages["unsloth"]
        notes.append("unsloth is installed but does not load here; TRL and PEFT train without it.")
    memory = psutil.virtual_memory()
    total, free, name, bfloat16 = memory.total, memory.available, _cpu(), False
    if kind == "cuda":
        free, total = torch.cuda.mem_get_info()
        name, bfloat16 = torch.cuda.get_device_name(), torch.cuda.is_bf16_supported(including_emulation=False)
    elif kind == "mps":
        name, bfloat16 = f"Apple GPU, {_cpu()}", True
        notes.append(
            "On Apple silicon torch's MPS trains, without 4 bits; MLX is not used: its adapters do not become GGUF."
        )
    return Hardware(
        device=kind, name=name, memory_total=total, memory_free=free, bfloat16=bfloat16,
        tflops=_speed(torch, kind) if measure else 0.0, packages=packages, missing=(), notes=tuple(notes),
    )  # fmt: skip


def _loads(name: str) -> bool:
    try:
        importlib.import_module(name)
    except Exception:  # whatever a package without its device raises
        return False
    return True


def _speed(torch: Any, kind: Device) -> float:
    """Best of a few products of two matrices, in TFLOP/s, in the numbers a training would use."""
    size = {"cuda": 4096, "mps": 2048, "cpu": 1024}[kind]
    dtype = (
        torch.float32
        if kind == "cpu"
        else torch.bfloat16
        if kind == "mps" or torch.cuda.is_bf16_supported()
        else torch.float16
    )
    a = torch.randn(size, size, device=kind, dtype=dtype)
    wait = {"cuda": torch.cuda.synchronize, "mps": getattr(torch.mps, "synchronize", None)}.get(kind) or (lambda: None)
    best = 0.0
    for _ in range(4):
        wait()
        began = time.perf_counter()
        a @ a
        wait()
        best = max(best, 2 * size**3 / (time.perf_counter() - began) / 1e12)
    return best


if __name__ == "__main__":
    found = examine(sys.argv[1], measure=sys.argv[2] == "measure")
    sys.stdout.write("\n" + msgspec.json.encode(found).decode() + "\n")
