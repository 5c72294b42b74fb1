"""How far the arithmetic of a training lies from what one takes: random weights in a real base's shape, a few steps.

python benchmarks/tuning_memory.py --base qwen2.5:0.5b --length 512                               (needs the extra `tune`)
python benchmarks/tuning_memory.py --base qwen2.5:3b --length 512 1024 --quantise nf4 none        (on a GPU)

Every combination of settings trains in a process of its own. Memory: on a GPU the most torch reserved and what the driver
holds beside it (the CUDA context), on a CPU the most the process held. Speed: the median of the later steps.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import msgspec
import psutil

from innercouncil.model.training import Hardware, TrainingPlan, Wish
from innercouncil.tuning.bases import find_base
from innercouncil.tuning.hardware import look
from innercouncil.tuning.memory import memory_terms, need_of
from innercouncil.tuning.plan import make_plan
from innercouncil.tuning.timing import seconds_of

WORD = "step "


class Job(msgspec.Struct):
    """One measurement, for the process that makes it."""

    plan: TrainingPlan
    base: str
    """Folder of weights."""
    steps: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="qwen2.5:0.5b")
    parser.add_argument("--length", type=int, nargs="+", default=[512])
    parser.add_argument("--batch-size", type=int, nargs="+", default=[1])
    parser.add_argument("--lora-r", type=int, default=16)
    parser.add_argument("--quantise", choices=["nf4", "none"], nargs="+", default=["none"])
    parser.add_argument("--optimizer", choices=["adamw", "adamw_8bit"], default="adamw")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument(
        "--unsloth", choices=["no", "yes"], nargs="+", default=["no"], help="needs `pip install unsloth`"
    )
    args = parser.parse_args()
    hardware = look()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for unsloth, quantise, length, batch in itertools.product(
            args.unsloth, args.quantise, args.length, args.batch_size
        ):
            wish = Wish(
                base_model=args.base, max_length=length, batch_size=batch, lora_r=args.lora_r, quantise=quantise, accumulation=1,
                epochs=1.0, unsloth=unsloth == "yes",
            )  # fmt: skip
            plan = make_plan(
                wish, find_base(args.base), hardware, slug="x", data="", eval_data="", output="", facts=None
            )
            job = Job(msgspec.structs.replace(plan, optimizer=args.optimizer), f"{folder}/base", args.steps)
            if not found:
                in_a_process("base", job)
            found.append(compare(job.plan, hardware, json.loads(in_a_process("run", job).splitlines()[-1])))
            print(json.dumps(found[-1]), file=sys.stderr, flush=True)
    print(json.dumps({"device": hardware.name, "packages": hardware.packages, "runs": found}, indent=2))


def in_a_process(work: str, job: Job) -> bytes:
    """What it prints; the memory of one measurement does not stay for the next."""
    return subprocess.run(
        [sys.executable, __file__, work], input=msgspec.json.encode(job), stdout=subprocess.PIPE, check=True
    ).stdout


def compare(plan: TrainingPlan, hardware: Hardware, held: dict[str, Any]) -> dict[str, Any]:
    """Predicted beside held."""
    need = need_of(plan)
    tokens = plan.batch_size * plan.max_length
    seconds = seconds_of(plan, hardware, tokens, 1)
    return {
        "base": plan.base.name, "dtype": plan.dtype, "quantise": plan.quantise, "batch": plan.batch_size, "length": plan.max_length,
        "rank": plan.lora_r, "optimizer": plan.optimizer, "unsloth": plan.unsloth, "predicted_gb": round(need / 1e9, 3),
        "held_gb": round(held["held"] / 1e9, 3), "predicted_to_held": round(need / held["held"], 3),
        "context_gb": round(held["context"] / 1e9, 3), "tokens_per_s": held["tokens_per_s"],
        "predicted_tokens_per_s": seconds and round(tokens / seconds, 1), "tflops": round(hardware.tflops, 1),
        "terms_gb": {t.name: round(t.size / 1e9, 3) for t in memory_terms(plan)},
    }  # fmt: skip


def measure(job: Job, folder: Path) -> dict[str, Any]:
    """Most bytes held while a few steps are trained, looked at a hundred times a second, and tokens a second."""
    from innercouncil.tuning.training import memory_held, train

    plan = job.plan
    row = {"messages": [{"role": "user", "content": "go"}, {"role": "assistant", "content": WORD * plan.max_length}]}
    (folder / "rows.jsonl").write_text((json.dumps(row) + "\n") * job.steps * plan.batch_size, "utf-8")
    settings: dict[str, Any] = msgspec.to_builtins(plan, str_keys=True)
    settings |= {f: getattr(plan, f) for f in plan.__struct_fields__ if f not in settings}  # defaults are left out
    settings |= {"base_weights": job.base, "data": str(folder / "rows.jsonl"), "run": str(folder / "run")}
    most, ended, speeds = [0], threading.Event(), list[float]()

    def look_on() -> None:
        while not ended.wait(0.01):
            most[0] = max(most[0], psutil.Process().memory_info().rss)

    def hear(event: dict[str, Any]) -> None:
        if event["event"] == "step" and event.get("tokens_per_s"):
            speeds.append(event["tokens_per_s"])

    threading.Thread(target=look_on, daemon=True).start()
    result = train(settings, hear, threading.Event())
    ended.set()
    assert result is not None
    assert result["tokens"] == result["rows"] * plan.max_length, "rows are as long as the plan says"
    context = beside_torch() if plan.device == "cuda" else 0
    return {
        "held": memory_held() + context if plan.device == "cuda" else most[0], "context": context,
        "tokens_per_s": round(statistics.median(speeds[len(speeds) // 2 :]), 1) if speeds else None,
    }  # fmt: skip


def beside_torch() -> int:
    """Bytes on the GPU that torch's allocator did not take; this process must be alone on it."""
    import torch

    free, total = torch.cuda.mem_get_info()
    return int(total - free - torch.cuda.memory_reserved())


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
    model = model.to(dtype=getattr(torch, plan.dtype)).to_empty(device="cuda" if plan.device == "cuda" else "cpu")
    with torch.no_grad():
        for weights in model.parameters():
            weights.normal_(0, 0.02)
    model.tie_weights()
    model.save_pretrained(folder)


def child(work: str) -> None:
    """A process of `in_a_process`: a Job on standard input, what was found on the last line of standard output."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    if work == "base":
        make_base(job.plan, Path(job.base))
        return
    with tempfile.TemporaryDirectory() as folder:
        print("\n" + json.dumps(measure(job, Path(folder))))


if __name__ == "__main__":
    child(sys.argv[1]) if sys.argv[1:] in (["base"], ["run"]) else main()
