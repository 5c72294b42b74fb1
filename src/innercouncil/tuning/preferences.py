"""Continue an adapter from preferences, with TRL's DPO (Rafailov et al. 2023) or KTO (Ethayarajh et al. 2024).

The reference is the adapter as it was, a frozen copy beside the one that learns. Imports torch only when it is called.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from innercouncil.tuning.training import (
    RefusedError,
    begin,
    disarm,
    drop_broken,
    guarded,
    load_base,
    make_reporter,
    read_rows,
    trainer_options,
    versions,
)


def continue_from(
    settings: dict[str, Any], tell: Callable[[dict[str, Any]], None], stop: threading.Event
) -> dict[str, Any] | None:
    """Continue the adapter in settings["from_adapter"]; as `training.train` otherwise. Raises RefusedError."""
    return guarded(_continue, settings, tell, stop)


def _continue(
    s: dict[str, Any], tell: Callable[[dict[str, Any]], None], stop: threading.Event
) -> dict[str, Any] | None:
    from peft import PeftModel
    from transformers.trainer_utils import get_last_checkpoint

    run = begin(s)
    tokenizer, base = load_base(s)
    model = PeftModel.from_pretrained(base, s["from_adapter"], is_trainable=True)
    heard = read_rows(s["voice_rows"], tokenizer) if s.get("voice_rows") else []
    before = _once(run / "base_loss.json", lambda: text_loss(model, tokenizer, heard, s["max_length"], bare=True))
    rows, held = _read(s["data"]), _read(s["eval_data"]) if s["eval_data"] else []
    trainer = _trainer(s, tokenizer, model, rows, held)
    reporter = make_reporter(trainer, tell, stop, per_epoch=2)
    trainer.add_callback(reporter)
    drop_broken(run)
    last = get_last_checkpoint(str(run))
    began = time.monotonic()
    first = _once(run / "first.json", lambda: _held(trainer)) if held else {}
    trainer.state.log_history.clear()
    trainer.train(resume_from_checkpoint=last)
    if stop.is_set():
        return None
    after = _held(trainer) if held else {}
    adapter = run / "adapter"
    shutil.rmtree(adapter, ignore_errors=True)
    trainer.model.save_pretrained(str(adapter), selected_adapters=["default"])
    state = trainer.state
    return {
        "rows": len(rows), "eval_rows": len(held), "dropped": 0, "cut": 0, "supervised_tokens": 0, "first_loss": before,
        "best_loss": text_loss(model, tokenizer, heard, s["max_length"]),
        "best_step": state.best_global_step if held and state.best_global_step else state.global_step,
        "last_step": state.global_step, "max_steps": state.max_steps,
        "train_loss": [[h["step"], h["loss"]] for h in state.log_history if "loss" in h],
        "eval_loss": [[h["step"], h["eval_loss"]] for h in state.log_history if "eval_loss" in h],
        "seconds": round(time.monotonic() - began, 1), "memory": reporter.memory, "packages": versions(),
        "base_revision": getattr(base.config, "_commit_hash", None) or "",
        "preference": {
            "loss_before": first.get("eval_loss"), "loss_after": after.get("eval_loss"),
            "right": after.get("eval_rewards/accuracies"),
        },
    }  # fmt: skip


def _read(path: str) -> list[dict[str, Any]]:
    """Rows as TRL takes them; a chat template's own marks inside a text are taken apart."""
    rows = []
    with Path(path).open(encoding="utf-8") as file:
        for line in file:
            if line.strip():
                row = {k: v for k, v in json.loads(line).items() if k in ("prompt", "chosen", "rejected", "completion", "label")}  # fmt: skip
                rows.append({
                    k: [{"role": t["role"], "content": disarm(t["content"])} for t in v] if isinstance(v, list) else v
                    for k, v in row.items()
                })  # fmt: skip
    return rows


def _trainer(s: dict[str, Any], tokenizer: Any, model: Any, rows: list[Any], held: list[Any]) -> Any:
    from datasets import Dataset
    from transformers import EarlyStoppingCallback, PrinterCallback
    from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer

    config, trainer_of = (DPOConfig, DPOTrainer) if s["method"] == "dpo" else (KTOConfig, KTOTrainer)
    # KTO's estimate of the divergence takes a batch of two at least.
    batch = s["batch_size"] if s["method"] == "dpo" else max(2, s["batch_size"])
    if s["method"] == "kto" and len(rows) < 2:
        raise RefusedError("data", "KTO needs two rows at least; vote on more answers.")
    args = config(**trainer_options(s, len(rows), batch, bool(held)), beta=s.get("beta", 0.1))
    trainer = trainer_of(
        model=model, args=args, processing_class=tokenizer, train_dataset=Dataset.from_list(rows),
        eval_dataset=Dataset.from_list(held) if held else None,
        callbacks=[EarlyStoppingCallback(s["patience"])] if held and s["patience"] else [],
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    return trainer


def _held(trainer: Any) -> dict[str, float]:
    found: dict[str, float] = trainer.evaluate()
    return {k: v for k, v in found.items() if k in ("eval_loss", "eval_rewards/accuracies")}


def text_loss(
    model: Any, tokenizer: Any, rows: list[dict[str, Any]], length: int, *, bare: bool = False
) -> float | None:
    """Mean loss over the tokens of held-out answers behind their prompts; `bare` without the adapter. None without rows."""
    import contextlib

    import torch

    total, count = 0.0, 0
    was = model.training
    model.eval()
    with torch.no_grad(), model.disable_adapter() if bare else contextlib.nullcontext():
        for row in rows:
            options = row.get("chat_template_kwargs", {})
            asked = tokenizer.apply_chat_template(
                row["prompt"], add_generation_prompt=True, tokenize=True, return_dict=False, **options
            )
            every = tokenizer.apply_chat_template(
                row["prompt"] + row["completion"], tokenize=True, return_dict=False, **options
            )[:length]
            if len(every) <= len(asked):
                continue
            ids = torch.tensor([every], device=model.device)
            labels = ids.clone()
            labels[0, : len(asked)] = -100
            total += float(model(input_ids=ids, labels=labels).loss) * (len(every) - len(asked))
            count += len(every) - len(asked)
    model.train(was)
    return total / count if count else None


def _once(kept: Path, measure: Callable[[], Any]) -> Any:
    """What was measured before a training that goes on; a kill while it is written loses nothing."""
    try:
        return json.loads(kept.read_text("utf-8"))
    except (OSError, ValueError):
        found = measure()
        kept.write_text(json.dumps(found), "utf-8")
        return found
