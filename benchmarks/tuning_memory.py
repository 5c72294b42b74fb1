"""How far the memory arithmetic of a training lies from what one holds: random weights in a real base's shape, two steps.

python benchmarks/tuning_memory.py --base qwen2.5:0.5b --length 512      (needs the extra `tune`; on a GPU where there is one)
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
from pathlib import Path
from typing import Any

import msgspec
import psutil

from innercouncil.model.training import TrainingPlan, Wish
from innercouncil.tuning.bases import find_base
from innercouncil.tuning.hardware import look
from innercouncil.tuning.memory import memory_terms, need_of
from innercouncil.tuning.plan import make_plan

WORD = "step "


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="qwen2.5:0.5b")
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--lora-r", type=int, default=16)
    parser.add_argument("--quantise", choices=["nf4", "none"], default="none")
    args = parser.parse_args()
    wish = Wish(
        base_model=args.base, max_length=args.length, batch_size=args.batch_size, lora_r=args.lora_r, quantise=args.quantise, accumulation=1,
        epochs=1.0,
    )  # fmt: skip
    plan = make_plan(
        wish, find_base(args.base), look(measure=False), slug="x", data="", eval_data="", output="", facts=None
    )
    with tempfile.TemporaryDirectory() as folder:
        held = measure(plan, Path(folder))
    print(json.dumps({
        "base": args.base, "device": plan.device, "dtype": plan.dtype, "quantise": plan.quantise, "batch": args.batch_size,
        "length": args.length, "rank": args.lora_r, "predicted_gb": round(need_of(plan) / 1e9, 3), "held_gb": round(held / 1e9, 3),
        "terms_gb": {t.name: round(t.size / 1e9, 3) for t in memory_terms(plan)},
    }, indent=2))  # fmt: skip


def measure(plan: TrainingPlan, folder: Path) -> int:
    """Most bytes held while two steps are trained, looked at a hundred times a second (on a GPU: what torch reserved)."""
    from innercouncil.tuning.training import memory_held, train

    folder.mkdir(exist_ok=True)
    make_base(plan, folder / "base")
    row = {"messages": [{"role": "user", "content": "go"}, {"role": "assistant", "content": WORD * plan.max_length}]}
    (folder / "rows.jsonl").write_text((json.dumps(row) + "\n") * 2 * plan.batch_size, "utf-8")
    settings: dict[str, Any] = msgspec.to_builtins(plan)
    settings |= {"base_weights": str(folder / "base"), "data": str(folder / "rows.jsonl"), "run": str(folder / "run")}
    most, ended = [0], threading.Event()

    def look_on() -> None:
        while not ended.wait(0.01):
            most[0] = max(most[0], psutil.Process().memory_info().rss)

    threading.Thread(target=look_on, daemon=True).start()
    result = train(settings, lambda _event: None, threading.Event())
    ended.set()
    assert result is not None
    assert result["tokens"] == result["rows"] * plan.max_length, "rows are as long as the plan says"
    return most[0] if plan.device == "cpu" else memory_held()


def make_base(plan: TrainingPlan, folder: Path) -> None:
    """Random weights in the base's shape, and a tokenizer of a few words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    s = plan.base.shape
    # Bytes as tokens, as Qwen2's tokenizer class expects them; the ids of most of the vocabulary are never used.
    words = ["<|end|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    inner = Tokenizer(models.BPE(vocab={w: i for i, w in enumerate(words)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    template = "{% for m in messages %}{{ m['role'] + ':' + m['content'] + '<|end|>' }}{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
    PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<|end|>", pad_token="<|end|>", chat_template=template
    ).save_pretrained(folder)  # fmt: skip
    kind, config = (
        (Qwen2ForCausalLM, Qwen2Config) if plan.base.architecture == "qwen2" else (LlamaForCausalLM, LlamaConfig)
    )
    numbers = config(
        vocab_size=s.vocabulary, hidden_size=s.hidden, intermediate_size=s.feed_forward, num_hidden_layers=s.layers,
        num_attention_heads=s.heads, num_key_value_heads=s.kv_heads, head_dim=s.head_width, tie_word_embeddings=s.tied,
    )  # fmt: skip
    with torch.device("meta"):
        model = kind(numbers)
    model = model.to(dtype=getattr(torch, plan.dtype)).to_empty(device="cpu")
    with torch.no_grad():
        for weights in model.parameters():
            weights.normal_(0, 0.02)
    model.tie_weights()
    model.save_pretrained(folder)


if __name__ == "__main__":
    main()
