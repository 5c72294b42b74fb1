"""Before a training: which rows and where to, what it will need, and whether this machine has it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from innercouncil.app.findings import names_of
from innercouncil.llm.memory import measure_memory
from innercouncil.model.errors import UsageError
from innercouncil.model.extras import to_install
from innercouncil.model.slug import slug_of
from innercouncil.model.training import BaseModel, DataFacts, Hardware, TrainingCheck, TrainingPlan, Wish
from innercouncil.store.workspace import Workspace
from innercouncil.tuning.bases import find_base, smaller_bases
from innercouncil.tuning.memory import (
    GIB,
    adapter_parameters,
    embedding_parameters,
    linear_parameters,
    memory_terms,
    need_of,
)
from innercouncil.tuning.plan import DEFAULT_BASE, Budget, budget_of, elsewhere, fit, make_plan
from innercouncil.tuning.rows import facts_of
from innercouncil.tuning.timing import seconds_of


class TrainingJob(NamedTuple):
    """Which persona is trained from which rows, and where its adapter goes."""

    slug: str
    data: Path
    eval_data: Path | None
    output: Path


def jobs_of(
    ws: Workspace, personas: Sequence[str], *, data: Path | None = None, eval_data: Path | None = None, output: Path | None = None
) -> list[TrainingJob]:  # fmt: skip
    """The trainings a person named, by personas ("all": every one with rows) or by a file. Raises UsageError."""
    if data is not None:
        if len(personas) > 1:
            raise UsageError("--data goes with one --persona; leave it out to train several from their own rows.")
        return [_job_of_file(ws, names_of(ws, personas[0])[0] if personas else None, data, eval_data, output)]
    ready = {
        p.name[len("persona_") : -len("_train.jsonl")]: p
        for p in sorted(ws.lora_training.glob("persona_*_train.jsonl"))
    }
    slugs = list(ready) if "all" in personas else list(dict.fromkeys(personas))
    if not slugs:
        there = (
            f" Rows are there for {', '.join(ready)}." if ready else " Make rows first: `innercouncil tune prepare`."
        )
        raise UsageError(f"Say whom to train with --persona SLUG (or all), or name a file with --data.{there}")
    jobs = []
    for name in slugs:
        slug = next((s for s in (name, slug_of(name), *names_of(ws, name)) if s in ready), None)
        if slug is None:
            there = f"there are rows for {', '.join(ready)}" if ready else "there are no rows of any persona"
            raise UsageError(
                f"{ws.lora_training} holds no rows of {name!r}; {there}. `innercouncil tune prepare` makes them."
            )
        if output is not None and len(slugs) > 1:
            raise UsageError("--output goes with one --persona; without it each goes to its own folder.")
        jobs.append(_job_of_file(ws, slug, ready[slug], eval_data, output))
    return jobs


def _job_of_file(
    ws: Workspace, slug: str | None, data: Path, eval_data: Path | None, output: Path | None
) -> TrainingJob:
    name = slug or (output.name if output else data.name.removesuffix(".jsonl").removesuffix("_train"))
    slug = slug_of(name.removeprefix("persona_"))
    if eval_data is None and data.name.endswith("_train.jsonl"):
        beside = data.with_name(data.name.removesuffix("_train.jsonl") + "_eval.jsonl")
        eval_data = beside if beside.is_file() and beside.stat().st_size else None
    return TrainingJob(slug, data, eval_data, output or ws.loras / f"persona_{slug}")


def check_training(job: TrainingJob, wish: Wish, hardware: Hardware, *, anyway: bool = False) -> TrainingCheck:
    """Settle a plan and say what it needs. Raises UsageError for settings that are refused and for rows of no use."""
    base = find_base(wish.base_model or DEFAULT_BASE)
    there = wish.device is not None and wish.device != hardware.device
    hardware = elsewhere(wish.device, wish.mode, hardware) if there and wish.device else hardware
    facts = facts_of(job.data) if job.data.is_file() else None
    held_out = facts_of(job.eval_data) if job.eval_data else None
    plan = make_plan(
        wish, base, hardware, slug=job.slug, data=str(job.data), eval_data=str(job.eval_data or ""), output=str(job.output),
        facts=facts,
    )  # fmt: skip
    budget = budget_of(wish.mode, hardware)
    plan, steps = fit(plan, wish, hardware, budget.size)
    found = checked(plan, wish, hardware, facts, held_out, budget=budget, steps=steps, anyway=anyway)
    if there:
        said = (
            f"torch sees no {wish.device} here: leave --device out, or take the plan elsewhere with --generate-script."
        )
        found = msgspec.structs.replace(found, problems=(*found.problems, said))
    return found


def checked(
    plan: TrainingPlan, wish: Wish, hardware: Hardware, facts: DataFacts | None, held_out: DataFacts | None, *, budget: Budget,
    steps: Sequence[str] = (), anyway: bool = False,
) -> TrainingCheck:  # fmt: skip
    """A plan with its arithmetic, and what stands in its way."""
    base, terms = plan.base, memory_terms(plan)
    own = adapter_parameters(base.shape, plan.lora_r, plan.targets)
    download = _download(base)
    problems = [*_missing(hardware, plan), *_unready(plan, facts)]
    if need_of(plan) > budget.size and not anyway:
        problems.append(_too_large(plan, wish, hardware, budget))
    if download > shutil.disk_usage(_existing(_cache())).free:
        problems.append(f"{_gib(download)} of weights have to be fetched and the disk has less; free some space.")
    return TrainingCheck(
        plan=plan, hardware=hardware, data=facts, held_out=held_out, terms=terms, need=need_of(plan), budget=budget.size,
        adapter_parameters=own, adapter_bytes=4 * own, seconds=_seconds(plan, facts, hardware), download=download,
        notes=(*hardware.notes, *_notes(plan, budget, steps, facts, held_out, hardware, download)), problems=tuple(problems),
    )  # fmt: skip


def _missing(hardware: Hardware, plan: TrainingPlan) -> list[str]:
    if hardware.missing:
        return [
            f"{', '.join(hardware.missing)} {'is' if len(hardware.missing) == 1 else 'are'} not installed; {to_install('tune')}."
        ]
    if plan.quantise == "nf4" and "bitsandbytes" not in hardware.packages:
        return [
            "4 bits need bitsandbytes, which is not installed or does not load: pip install bitsandbytes, or --quantise none."
        ]
    trl = hardware.packages.get("trl", "")
    if plan.device != "cuda" and trl.startswith("1.15."):
        return [
            f"TRL {trl} computes its loss on NVIDIA GPUs only: pip install --upgrade trl, in an environment without unsloth."
        ]
    return []


def _unready(plan: TrainingPlan, facts: DataFacts | None) -> list[str]:
    if facts is None:
        return [
            f"There are no training rows at {plan.data}; make them with `innercouncil tune prepare`, or name a file with --data."
        ]
    return []


def _too_large(plan: TrainingPlan, wish: Wish, hardware: Hardware, budget: Budget) -> str:
    said = f"It needs {_gib(need_of(plan))} and {_gib(budget.size)} may be used ({budget.why})"
    for smaller in smaller_bases(plan.base):
        other = make_plan(
            wish,
            smaller,
            hardware,
            slug=plan.slug,
            data=plan.data,
            eval_data=plan.eval_data,
            output=plan.output,
            facts=None,
        )
        other, _ = fit(other, wish, hardware, budget.size)
        if need_of(other) <= budget.size:
            return f"{said}: --base-model {smaller.name} needs {_gib(need_of(other))}. --anyway tries it all the same."
    return f"{said}: close programs, shorten rows with --max-length, or use a machine with more. --anyway tries it all the same."


def _notes(
    plan: TrainingPlan, budget: Budget, steps: Sequence[str], facts: DataFacts | None, held_out: DataFacts | None,
    hardware: Hardware, download: int,
) -> list[str]:  # fmt: skip
    said = [f"To stay within {_gib(budget.size)} ({budget.why}): {'; '.join(steps)}."] if steps else []
    if facts and facts.longest > plan.max_length:
        said.append(f"The longest row has about {facts.longest} tokens; rows are cut at {plan.max_length}.")
    if held_out is None:
        said.append("Nothing is held out, so it cannot stop early nor keep the best: give --eval-data.")
    if plan.rslora:
        said.append("rsLoRA: the GGUF carries alpha x sqrt(r), because llama.cpp divides by r.")
    if "not for commercial" in plan.base.licence or plan.base.licence == "unknown":
        said.append(f"Licence of {plan.base.name}: {plan.base.licence}. It binds the adapter too.")
    if download:
        said.append(
            f"{_gib(download)} of weights are fetched from huggingface.co/{plan.base.weights} first; nothing is sent."
        )
    if hardware.device == "cpu" and not hardware.missing and measure_memory().gpus:
        said.append(
            "There is an NVIDIA GPU, but this torch computes on the CPU only: install a CUDA build from pytorch.org."
        )
    return said


def _seconds(plan: TrainingPlan, facts: DataFacts | None, hardware: Hardware) -> float | None:
    if facts is None:
        return None
    tokens = min(facts.tokens, facts.rows * plan.max_length) * plan.epochs
    return seconds_of(plan, hardware, tokens, facts.rows / plan.batch_size * plan.epochs)


def _cache() -> Path:
    home = os.environ.get("HF_HOME") or str(Path.home() / ".cache" / "huggingface")
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub")


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)


def _download(base: BaseModel) -> int:
    """Bytes that will be fetched: the published weights in 16 bits, 0 where they are on this machine."""
    if Path(base.weights).is_dir() or (_cache() / f"models--{base.weights.replace('/', '--')}" / "snapshots").is_dir():
        return 0
    return 2 * (linear_parameters(base.shape) + embedding_parameters(base.shape))


def _gib(size: int) -> str:
    return f"{size / GIB:.2f} GiB"
