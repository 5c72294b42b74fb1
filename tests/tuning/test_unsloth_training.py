"""Training with unsloth, which computes on a CPU too: the tokens of an answer alone, a loss PEFT agrees with, and going on."""

from __future__ import annotations

import importlib.util
import json
import threading
from pathlib import Path
from typing import Any

import pytest

if importlib.util.find_spec("unsloth") is None:
    pytest.skip('unsloth is not installed: pip install ".[tune]" unsloth', allow_module_level=True)

from innercouncil.tuning.training import train
from tiny_base import build_base, write_rows


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("unsloth")
    data, held_out = write_rows(folder, "captain", "captain")
    return {
        "unsloth": True, "device": "cpu", "dtype": "float32", "quantise": "none", "base_weights": str(build_base(folder / "base")),
        "data": str(data), "eval_data": str(held_out), "run": str(folder / "run"), "seed": 0, "epochs": 2.0, "batch_size": 4,
        "accumulation": 1, "learning_rate": 5e-3, "warmup_share": 0.04, "optimizer": "adamw", "checkpointing": True,
        "max_length": 256, "neftune": None, "lora_r": 8, "lora_alpha": 16.0, "lora_dropout": 0.0, "rslora": False,
        "targets": "all-linear", "patience": 0,
    }  # fmt: skip


@pytest.fixture(scope="module")
def result(settings: dict[str, Any]) -> dict[str, Any]:
    found = train(settings, lambda _event: None, threading.Event())
    assert found is not None
    return found


def answers(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


def test_only_the_answers_are_supervised(settings: dict[str, Any], result: dict[str, Any]) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(settings["base_weights"])
    rows = [row["messages"] for row in answers(settings["data"])]
    told = [tokenizer.apply_chat_template(r, tokenize=False) for r in rows]
    asked = [tokenizer.apply_chat_template(r[:-1], tokenize=False, add_generation_prompt=True) for r in rows]
    expected = sum(
        len(tokenizer(a)["input_ids"]) - len(tokenizer(b)["input_ids"]) for a, b in zip(told, asked, strict=True)
    )
    assert result["supervised_tokens"] == expected
    assert result["packages"]["unsloth"]


def test_peft_finds_the_held_out_loss_unsloth_says(settings: dict[str, Any], result: dict[str, Any]) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(settings["base_weights"])
    base = AutoModelForCausalLM.from_pretrained(settings["base_weights"], dtype=torch.float32)
    model = PeftModel.from_pretrained(base, str(Path(settings["run"]) / "adapter")).eval()
    total, count = 0.0, 0
    for row in answers(settings["eval_data"]):
        ids = tokenizer(tokenizer.apply_chat_template(row["messages"], tokenize=False), return_tensors="pt")[
            "input_ids"
        ]
        asked = tokenizer.apply_chat_template(row["messages"][:-1], tokenize=False, add_generation_prompt=True)
        labels = ids.clone()
        labels[0, : len(tokenizer(asked)["input_ids"])] = -100
        supervised = int((labels[0, 1:] != -100).sum())
        with torch.no_grad():
            total += float(model(input_ids=ids, labels=labels).loss) * supervised
        count += supervised
    assert result["best_loss"] == pytest.approx(total / count, rel=0.02)
    assert result["best_loss"] < result["first_loss"]


def test_a_stopped_training_goes_on_to_the_same_loss(
    settings: dict[str, Any], result: dict[str, Any], tmp_path: Path
) -> None:
    again = settings | {"run": str(tmp_path / "again")}
    stop = threading.Event()

    def stop_early(event: dict[str, Any]) -> None:
        if event["event"] == "step" and event["step"] == 4:
            stop.set()

    assert train(again, stop_early, stop) is None
    resumed = train(again, lambda _event: None, threading.Event())
    assert resumed is not None
    assert resumed["last_step"] == result["last_step"]
    assert resumed["best_loss"] == pytest.approx(result["best_loss"], rel=1e-4)
