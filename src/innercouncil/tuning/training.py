"""Train one LoRA adapter with TRL and PEFT: the loss on the assistant's tokens only, resumable, the best kept.

Imports nothing of ours, and torch only when it is called: `--generate-script` writes this module's source, from the mark
below, into a script that runs elsewhere. So command and script are the same training.
"""

from __future__ import annotations

# --- what a generated script begins with ---
import contextlib
import json
import logging
import math
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
FEED_FORWARD = ("gate_proj", "up_proj", "down_proj")
MARKS_RE = re.compile(
    r"<(?=[|｜]|\w+[|｜]>|</?SYS>>|/?(?:s|think|tool_call|tool_response|start_of_\w+|end_of_\w+)>|(?:bos|eos|sop|eop|seed:\w+|extra_id_\d+)>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_RESULTS|TOOL_CONTENT|TOOL_CALLS|THINK|ARGS|CALL_ID|gMASK)\]|\|\w+\|\])"
)
WHOLE = "whole"
"""Name of the file that marks a checkpoint as finished; a kill while one is written leaves it without."""


class RefusedError(Exception):
    """The training cannot go on; `reason` is memory, data, base, package or other."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def train(
    settings: dict[str, Any], tell: Callable[[dict[str, Any]], None], stop: threading.Event
) -> dict[str, Any] | None:
    """Train as `settings` say, from the last whole checkpoint in settings["run"] if there is one.

    `tell` gets what happens, an event at a time. Setting `stop` ends after the step under way, with a checkpoint; the
    result is then None. Else the adapter lies in settings["run"]/adapter, and what a card needs to know is returned.
    Raises RefusedError.
    """
    return guarded(_train, settings, tell, stop)


def guarded(
    work: Callable[..., dict[str, Any] | None], settings: dict[str, Any], tell: Callable[[dict[str, Any]], None],
    stop: threading.Event,
) -> dict[str, Any] | None:  # fmt: skip
    """Run a training with quiet libraries; whatever goes wrong in it becomes a RefusedError that tells nothing of a row."""
    os.environ.update(TOKENIZERS_PARALLELISM="false", HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
    logging.disable(logging.WARNING)  # libraries warn with pieces of the rows
    try:
        return work(settings, tell, stop)
    except RefusedError:
        raise
    except ImportError as error:
        raise RefusedError("package", f"A package is missing or broken: {error}") from error
    except Exception as error:
        if is_memory_error(error):
            raise RefusedError("memory", "Memory ran out.") from error
        # Only torch and the system say nothing of what is in a row.
        said = str(error).strip().splitlines() if isinstance(error, RuntimeError | OSError) else []
        raise RefusedError("other", f"It failed: {': '.join([type(error).__name__, *said[:1]])[:300]}") from error


def is_memory_error(error: BaseException) -> bool:
    """Whether a library means that memory ran out; torch says so in three different ways."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    said = str(error).lower()
    return "out of memory" in said or "can't allocate memory" in said or "cannot allocate memory" in said


def _train(s: dict[str, Any], tell: Callable[[dict[str, Any]], None], stop: threading.Event) -> dict[str, Any] | None:
    from transformers.trainer_utils import get_last_checkpoint

    if s["device"] == "cpu":
        return_freed_memory()
    if s.get("unsloth"):
        os.environ.update(UNSLOTH_DISABLE_STATISTICS="1", UNSLOTH_COMPILE_LOCATION=str(Path(s["run"]) / "compiled"))
        import unsloth  # noqa: F401 - before transformers and TRL, which it changes

    run = begin(s)
    tokenizer, model = load_base(s)
    rows, held_out = read_rows(s["data"], tokenizer), read_rows(s["eval_data"], tokenizer) if s["eval_data"] else []
    trainer = make_trainer(s, tokenizer, model, rows, held_out)
    counts = count_supervised(trainer, len(rows), s["max_length"])
    reporter = make_reporter(trainer, tell, stop, per_epoch=2)
    trainer.add_callback(reporter)
    drop_broken(run)
    last = get_last_checkpoint(str(run))
    began = time.monotonic()
    first_loss = _loss_before(trainer, run, bool(held_out and last is None))
    trainer.train(resume_from_checkpoint=last)
    if stop.is_set():
        return None
    adapter = run / "adapter"
    shutil.rmtree(adapter, ignore_errors=True)
    trainer.model.save_pretrained(str(adapter))
    state = trainer.state
    best = state.best_global_step if held_out and state.best_global_step else state.global_step
    return {
        **counts, "eval_rows": len(held_out), "first_loss": first_loss, "best_step": best,
        "best_loss": state.best_metric if held_out else None, "last_step": state.global_step, "max_steps": state.max_steps,
        "train_loss": [[h["step"], h["loss"]] for h in state.log_history if "loss" in h],
        "eval_loss": [[h["step"], h["eval_loss"]] for h in state.log_history if "eval_loss" in h],
        "seconds": round(time.monotonic() - began, 1), "memory": reporter.memory, "packages": versions(),
        "base_revision": getattr(model.config, "_commit_hash", None) or "",
    }  # fmt: skip


def return_freed_memory() -> None:
    """Let glibc give large blocks back when they are freed; else half of what checkpointing saves stays in its heap."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(-3, 1 << 20)  # M_MMAP_THRESHOLD


def load_base(s: dict[str, Any]) -> tuple[Any, Any]:
    """Tokenizer and frozen base, in 4 bits where the settings say so. Raises RefusedError where it is not there or of no use."""
    try:
        tokenizer, model = (_by_unsloth if s.get("unsloth") else _by_transformers)(s)
    except OSError as error:
        if is_memory_error(error):
            raise
        raise RefusedError(
            "base", f"The weights {s['base_weights']} could not be loaded or fetched; check the connection, or for a gated model "
            "log in with `hf auth login`, or name a folder that holds them."
        ) from error  # fmt: skip
    for module in model.modules():
        # bitsandbytes 0.50 packs weights for AVX-512 when it first evaluates, and cannot train on them any more.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    if not tokenizer.chat_template:
        raise RefusedError("base", f"{s['base_weights']} has no chat template; choose an instruct model.")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer, model


def _by_transformers(s: dict[str, Any]) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    dtype = getattr(torch, s["dtype"])
    options: dict[str, Any] = {"dtype": dtype, "device_map": {"": 0 if s["device"] == "cuda" else s["device"]}}
    if s["quantise"] == "nf4":
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
        )
    tokenizer = AutoTokenizer.from_pretrained(s["base_weights"])
    return tokenizer, AutoModelForCausalLM.from_pretrained(s["base_weights"], **options)


def _by_unsloth(s: dict[str, Any]) -> tuple[Any, Any]:
    import torch
    from unsloth import FastLanguageModel

    model, tokenizer = FastLanguageModel.from_pretrained(
        s["base_weights"], max_seq_length=s["max_length"], dtype=getattr(torch, s["dtype"]), load_in_4bit=s["quantise"] == "nf4",
        use_exact_model_name=True,  # and not a copy under unsloth's own name
        use_gradient_checkpointing="unsloth" if s["checkpointing"] else False,
    )  # fmt: skip
    return tokenizer, model


def read_rows(path: str, tokenizer: Any) -> list[dict[str, Any]]:
    """Rows as prompt and completion: TRL then supervises the last answer alone, whatever the template looks like."""
    rows = []
    with Path(path).open(encoding="utf-8") as file:
        for line in file:
            if line.strip():
                turns = [{"role": m["role"], "content": disarm(m["content"])} for m in json.loads(line)["messages"]]
                row: dict[str, Any] = {"prompt": turns[:-1], "completion": turns[-1:]}
                if "strftime_now" in tokenizer.chat_template:  # a template that writes today's date
                    row["chat_template_kwargs"] = {"date_string": "26 Jul 2024"}
                rows.append(row)
    return rows


def disarm(text: str) -> str:
    """Text in which no chat template's own marks can stand, as when the model is asked (`innercouncil.model.tokens`)."""
    return MARKS_RE.sub(r"\g<0> ", text)


def begin(s: dict[str, Any]) -> Path:
    """Silence what would draw its own bars, set the seed, and make the folder of the run."""
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    run = Path(s["run"])
    run.mkdir(parents=True, exist_ok=True)
    transformers.set_seed(s["seed"])
    return run


def trainer_options(s: dict[str, Any], rows: int, batch: int, held_out: bool) -> dict[str, Any]:
    """What every trainer is told: steps, precision, checkpoints, the best one kept."""
    steps = math.ceil(math.ceil(rows / batch) / s["accumulation"]) * s["epochs"]
    return {
        "output_dir": s["run"], "seed": s["seed"], "data_seed": s["seed"], "num_train_epochs": s["epochs"],
        "per_device_train_batch_size": batch, "per_device_eval_batch_size": batch, "gradient_accumulation_steps": s["accumulation"],
        "learning_rate": s["learning_rate"], "lr_scheduler_type": "cosine", "warmup_steps": math.ceil(s["warmup_share"] * steps),
        "max_grad_norm": 1.0, "optim": {"adamw": "adamw_torch", "adamw_8bit": "adamw_8bit"}[s["optimizer"]],
        "gradient_checkpointing": s["checkpointing"], "bf16": s["dtype"] == "bfloat16", "fp16": s["dtype"] == "float16",
        "use_cpu": s["device"] == "cpu", "max_length": s["max_length"], "eval_strategy": "epoch" if held_out else "no",
        "save_strategy": "epoch", "save_total_limit": 2, "load_best_model_at_end": held_out,
        "metric_for_best_model": "eval_loss" if held_out else None, "greater_is_better": False,
        "restore_callback_states_from_checkpoint": True, "logging_steps": 1, "logging_nan_inf_filter": False, "report_to": [],
        "disable_tqdm": True, "dataloader_num_workers": 0, "dataloader_pin_memory": s["device"] == "cuda",
    }  # fmt: skip


def make_trainer(s: dict[str, Any], tokenizer: Any, model: Any, rows: list[Any], held_out: list[Any]) -> Any:
    """TRL's trainer with a fresh adapter on the base. Raises RefusedError where nothing is left to learn."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import EarlyStoppingCallback, PrinterCallback
    from trl import SFTConfig, SFTTrainer

    if not rows:
        raise RefusedError("data", f"{s['data']} holds no rows.")
    args = SFTConfig(
        **trainer_options(s, len(rows), s["batch_size"], bool(held_out)), neftune_noise_alpha=s["neftune"], packing=False,
        completion_only_loss=True, assistant_only_loss=False,
    )  # fmt: skip
    lora = {
        "r": s["lora_r"], "lora_alpha": s["lora_alpha"], "lora_dropout": s["lora_dropout"], "use_rslora": s["rslora"],
        "target_modules": [*ATTENTION, *FEED_FORWARD] if s["targets"] == "all-linear" else [*ATTENTION],
    }  # fmt: skip
    if s.get("unsloth"):
        from unsloth import FastLanguageModel

        model, config = FastLanguageModel.get_peft_model(model, **lora, random_state=s["seed"]), None
    else:
        config = LoraConfig(**lora, task_type="CAUSAL_LM")
    trainer = SFTTrainer(
        model=model, args=args, processing_class=tokenizer, peft_config=config, train_dataset=Dataset.from_list(rows),
        eval_dataset=Dataset.from_list(held_out) if held_out else None,
        callbacks=[EarlyStoppingCallback(s["patience"])] if held_out and s["patience"] else [],
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    if len(trainer.train_dataset) == 0:
        raise RefusedError(
            "data", f"No row leaves anything to learn within {s['max_length']} tokens; give a larger --max-length."
        )
    return trainer


def count_supervised(trainer: Any, rows: int, length: int) -> dict[str, int]:
    """What the loss is taken over: tokens with a label, rows that were dropped, rows that were cut."""
    kept = trainer.train_dataset
    return {
        "rows": len(kept), "dropped": rows - len(kept), "cut": sum(len(ids) >= length for ids in kept["input_ids"]),
        "supervised_tokens": sum(sum(told[1:]) for told in supervised(kept)),
        "tokens": sum(len(ids) for ids in kept["input_ids"]),
    }  # fmt: skip


def supervised(rows: Any) -> list[list[bool]]:
    """Whether the loss is taken over each token of each row; TRL and unsloth write it down differently."""
    if "labels" in rows.column_names:
        return [[label != -100 for label in labels] for labels in rows["labels"]]
    return [[bool(told) for told in mask] for mask in rows["completion_mask"]]


def make_reporter(
    trainer: Any, tell: Callable[[dict[str, Any]], None], stop: threading.Event, *, per_epoch: int
) -> Any:
    """A callback that tells what happens, asks for checkpoints within epochs, and stops when it is asked to."""
    from transformers import TrainerCallback

    class Reporter(TrainerCallback):  # type: ignore[misc]
        memory = 0

        def __init__(self) -> None:
            self.began, self.from_step, self.tokens, self.at = time.monotonic(), 0, 0.0, time.monotonic()

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.began, self.from_step, self.at = time.monotonic(), state.global_step, time.monotonic()
            tell({"event": "start", "step": state.global_step, "steps": state.max_steps})

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            steps = max(1, round(state.max_steps / args.num_train_epochs))
            place, every = state.global_step % steps, math.ceil(steps / per_epoch)
            if place % every == 0 and 0 < place <= steps - every // 2 and state.global_step < state.max_steps:
                control.should_save = True
                control.should_evaluate = args.eval_strategy != "no"
            if stop.is_set():
                control.should_save = control.should_training_stop = True

        def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if (
                stop.is_set() and state.global_step < state.max_steps
            ):  # no evaluation where an uninterrupted run has none
                control.should_evaluate = control.should_save = False

        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            (folder / WHOLE).touch()
            tell({"event": "kept", "step": state.global_step, "steps": state.max_steps})

        def on_log(
            self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any
        ) -> None:
            if not logs or "loss" not in logs:
                return
            now, tokens = time.monotonic(), float(logs.get("num_tokens", 0.0))
            done = state.global_step - self.from_step
            left = (now - self.began) / max(done, 1) * (state.max_steps - state.global_step)
            speed = (tokens - self.tokens) / max(now - self.at, 1e-6) if self.tokens else None
            self.tokens, self.at = tokens, now
            self.memory = max(self.memory, memory_held())
            tell({
                "event": "step", "step": state.global_step, "steps": state.max_steps, "epoch": round(state.epoch or 0.0, 3),
                "loss": logs["loss"], "learning_rate": logs.get("learning_rate"), "tokens_per_s": speed and round(speed, 1),
                "memory": self.memory, "seconds": round(now - self.began, 2), "left": round(left, 1),
            })  # fmt: skip

        def on_evaluate(
            self, args: Any, state: Any, control: Any, metrics: dict[str, Any] | None = None, **kwargs: Any
        ) -> None:
            loss = (metrics or {}).get("eval_loss")
            tell({"event": "eval", "step": state.global_step, "steps": state.max_steps, "eval_loss": loss})

    return Reporter()


def _loss_before(trainer: Any, run: Path, measure: bool) -> float | None:
    """Held-out loss of the bare base; measured once and kept for a run that goes on."""
    kept = run / "first_loss.json"
    if measure:
        kept.write_text(json.dumps(trainer.evaluate()["eval_loss"]), "utf-8")
        trainer.state.log_history.clear()
    try:
        return float(json.loads(kept.read_text("utf-8")))
    except (OSError, ValueError):
        return None


def drop_broken(run: Path) -> None:
    """Remove checkpoints that a kill left unfinished."""
    for folder in run.glob("checkpoint-*"):
        if not (folder / WHOLE).exists():
            shutil.rmtree(folder, ignore_errors=True)


def memory_held() -> int:
    """Bytes held: the most torch reserved on the GPU, or of this process now."""
    import torch

    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return int(torch.cuda.max_memory_reserved())
    import psutil

    held: int = psutil.Process().memory_info().rss
    return held


def versions() -> dict[str, str]:
    """The packages this ran with."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": sys.version.split()[0]}
    for name in ("torch", "transformers", "peft", "trl", "datasets", "accelerate", "bitsandbytes", "unsloth"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
