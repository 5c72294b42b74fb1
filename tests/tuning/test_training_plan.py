"""Memory arithmetic, defaults, refusals and the ladder of smaller plans; nothing here needs torch."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from innercouncil.app.tune_plan import check_training, jobs_of
from innercouncil.model.errors import UsageError
from innercouncil.model.training import Hardware, TrainingPlan, Wish
from innercouncil.store.workspace import Workspace
from innercouncil.tuning.bases import KNOWN, find_base
from innercouncil.tuning.memory import (
    GIB,
    adapter_parameters,
    embedding_parameters,
    linear_parameters,
    memory_terms,
    need_of,
)
from innercouncil.tuning.plan import budget_of, fit, make_plan, shrink, smaller_after_failure
from innercouncil.tuning.rows import facts_of
from innercouncil.tuning.script import training_script

ALL = dict.fromkeys(("torch", "transformers", "peft", "trl", "datasets", "accelerate", "gguf", "bitsandbytes"), "1")
GPU = Hardware(
    device="cuda", name="GPU", memory_total=8 * GIB, memory_free=int(7.6 * GIB), bfloat16=True, tflops=10.0, packages=ALL, missing=(),
)  # fmt: skip


def plan_of(wish: Wish, hardware: Hardware = GPU) -> TrainingPlan:
    base = find_base(wish.base_model or "qwen2.5:3b")
    return make_plan(wish, base, hardware, slug="a", data="a.jsonl", eval_data="", output="out", facts=None)


def test_sizes_of_a_3b_base_are_those_peft_counts() -> None:
    shape = KNOWN["qwen2.5:3b"].shape
    assert linear_parameters(shape) == 2_774_532_096
    assert embedding_parameters(shape) == 311_164_928
    assert adapter_parameters(shape, 16, "all-linear") == 29_933_568
    assert adapter_parameters(shape, 8, "all-linear") == 14_966_784
    assert adapter_parameters(shape, 16, "attention") == 7_372_800


def test_every_term_is_shown_and_they_add_up_to_what_qlora_of_3b_needs() -> None:
    plan = plan_of(Wish(quantise="nf4", lora_r=16))
    terms = memory_terms(plan)
    assert need_of(plan) == sum(t.size for t in terms)
    assert all(t.size > 0 and t.formula for t in terms)
    assert 2.9e9 < need_of(plan) < 3.6e9, "3.3 GB with 8-bit moments and a fused output layer"
    longer, whole = plan_of(Wish(quantise="nf4", max_length=2048)), plan_of(Wish(quantise="none"))
    assert need_of(longer) > need_of(plan)
    assert need_of(whole) - need_of(plan) == pytest.approx(2_774_532_096 * (2 - 4.127 / 8), rel=1e-6)


def test_a_plan_shrinks_until_it_fits_and_says_how() -> None:
    wish = Wish(mode="8GB")
    plan, steps = fit(plan_of(wish), wish, GPU, 3 * GIB)
    assert need_of(plan) <= 3 * GIB
    assert (plan.quantise, plan.optimizer) == ("nf4", "adamw_8bit")
    assert steps[0] == "the base in 4 bits (QLoRA)"
    roomy, none = fit(plan_of(wish), wish, GPU, 40 * GIB)
    assert (roomy.quantise, none) == ("none", [])


def test_what_the_person_fixed_stays_until_memory_ran_out() -> None:
    wish = Wish(quantise="none", batch_size=4, max_length=512, lora_r=16)
    plan, _ = fit(plan_of(wish), wish, GPU, GIB)
    assert (plan.quantise, plan.batch_size, plan.max_length, plan.lora_r) == ("none", 4, 512, 16)
    assert shrink(plan, wish, GPU) is None
    smaller = smaller_after_failure(plan, wish, GPU)
    assert smaller is not None
    assert (smaller[0].batch_size, smaller[0].accumulation, smaller[0].base) == (2, 2 * plan.accumulation, plan.base)


def test_the_ladder_ends_and_needs_less_with_every_step() -> None:
    wish, needs = Wish(batch_size=8), []
    step: tuple[TrainingPlan, str] | None = (plan_of(wish), "")
    while step is not None:
        needs.append(need_of(step[0]))
        step = smaller_after_failure(step[0], wish, GPU)
    assert needs == sorted(needs, reverse=True)
    assert len(set(needs)) == len(needs) > 8


def test_without_bitsandbytes_nothing_is_planned_in_four_bits() -> None:
    bare = Hardware(
        device="cuda", name="GPU", memory_total=8 * GIB, memory_free=7 * GIB, bfloat16=False, tflops=0.0,
        packages={k: v for k, v in ALL.items() if k != "bitsandbytes"}, missing=(),
    )  # fmt: skip
    wish = Wish()
    plan, _ = fit(plan_of(wish, bare), wish, bare, 2 * GIB)
    assert (plan.quantise, plan.optimizer, plan.dtype) == ("none", "adamw", "float16")


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        (Wish(dora=True), "DoRA is refused.*vLLM does not load"),
        (Wish(modules_to_save=("lm_head",)), "lm_head.*low-rank pairs"),
        (Wish(targets="embed_tokens"), "embeddings and the output layer cannot"),
        (Wish(lora_r=0), "lora-r is 1 to 256"),
        (Wish(learning_rate=1.5), "learning-rate"),
        (Wish(epochs=0), "epochs"),
        (Wish(max_length=8), "max-length"),
    ],
)
def test_settings_no_server_can_load_or_nobody_means_are_refused_with_the_reason(wish: Wish, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        plan_of(wish)


def test_few_rows_get_a_smaller_rank(tmp_path: Path) -> None:
    wish, facts = Wish(), facts_of(rows_file(tmp_path / "a_train.jsonl", 20))
    base = KNOWN["qwen2.5:3b"]
    few = make_plan(wish, base, GPU, slug="a", data="", eval_data="", output="", facts=facts)
    assert (few.lora_r, few.lora_alpha, plan_of(wish).lora_r) == (8, 16.0, 16)


def test_names_of_ollama_mean_published_weights_and_a_quantised_file_is_refused(tmp_path: Path) -> None:
    assert (
        find_base("qwen2.5:3b").weights == find_base("Qwen/Qwen2.5-3B-Instruct").weights == "Qwen/Qwen2.5-3B-Instruct"
    )
    with pytest.raises(UsageError, match="quantised for answering"):
        find_base("model.gguf")
    with pytest.raises(UsageError, match=r"qwen2\.5:0\.5b, "):
        find_base("gpt-9")
    config = {"model_type": "gemma9", "num_attention_heads": 4, "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 9,
              "vocab_size": 100}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n", "utf-8")
    assert find_base(str(tmp_path)).licence == "mit"
    with pytest.raises(UsageError, match=r"gemma9.*qwen2 and llama"):
        plan_of(Wish(base_model=str(tmp_path)))


def test_the_mode_and_what_is_free_both_bound_the_budget() -> None:
    assert budget_of("8GB", GPU).size == 7 * GIB
    assert budget_of("32GB", GPU).size < 7.6 * GIB
    assert "free on the GPU" in budget_of(None, GPU).why


def test_a_check_names_everything_that_stands_in_the_way(tmp_path: Path) -> None:
    ws = Workspace(tmp_path / "data")
    rows_file(ws.lora_training / "persona_maker_train.jsonl", 12)
    nothing = Hardware(
        device="cpu", name="CPU", memory_total=8 * GIB, memory_free=4 * GIB, bfloat16=False, tflops=0.0, packages={},
        missing=("torch", "peft"),
    )  # fmt: skip
    (job,) = jobs_of(ws, ["all"])
    assert job.output == tmp_path / "loras" / "persona_maker"
    found = check_training(job, Wish(mode="16GB"), nothing)
    packages, memory = found.problems[:2]
    assert (
        'torch, peft are not installed; type in the project\'s folder: python -m uv tool install ".[tune]"' in packages
    )
    assert "may be used (free on RAM now)" in memory
    assert "--base-model qwen2.5:" in memory, "a smaller base that fits is named"
    assert check_training(job, Wish(), GPU).problems == ()
    with pytest.raises(UsageError, match="rows for maker"):
        jobs_of(ws, ["nobody"])


def test_a_plan_for_a_device_that_is_not_here_is_one_to_take_elsewhere(tmp_path: Path) -> None:
    ws = Workspace(tmp_path / "data")
    rows_file(ws.lora_training / "persona_maker_train.jsonl", 12)
    here = msgspec.structs.replace(GPU, device="cpu", bfloat16=False, packages={})
    (job,) = jobs_of(ws, ["maker"])
    found = check_training(job, Wish(device="cuda", mode="8GB"), here)
    assert (found.plan.device, found.plan.dtype, found.budget) == ("cuda", "bfloat16", 7 * GIB)
    assert found.problems == (
        "torch sees no cuda here: leave --device out, or take the plan elsewhere with --generate-script.",
    )
    small = msgspec.structs.replace(found, plan=msgspec.structs.replace(found.plan, quantise="nf4"))
    assert '"bitsandbytes==' in training_script(small)


@pytest.mark.parametrize(
    "line", ["{", '{"messages": []}', '{"messages": [{"role": "user", "content": "secret"}]}', "[1]"]
)
def test_a_bad_line_is_named_by_its_number_and_not_quoted(tmp_path: Path, line: str) -> None:
    path = rows_file(tmp_path / "x_train.jsonl", 3)
    path.write_text(path.read_text("utf-8") + line + "\n", "utf-8")
    with pytest.raises(UsageError, match="line 4") as told:
        facts_of(path)
    assert "secret" not in str(told.value)


def rows_file(path: Path, count: int) -> Path:
    row = {"messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "How do I begin?"},
                        {"role": "assistant", "content": "With the first step, and then the next."}], "source": "x"}  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text((json.dumps(row) + "\n") * count, "utf-8")
    return path
