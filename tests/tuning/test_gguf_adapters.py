"""Adapters as GGUF: what is written, and that a running server never mixes two of them. Nothing here needs torch."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import gguf
import msgspec
import numpy as np
import pytest
from tiny_gguf_adapters import make_adapter, request, save

from innercouncil.llm.embedded import EmbeddedHost, EmbeddedModel, EmbeddedServer
from innercouncil.model.errors import BackendRejectedError, ModelMissingError, UsageError
from innercouncil.model.ports import ChatRequest, complete
from innercouncil.tuning.gguf import read_safetensors, write_gguf
from tiny_adapter import HEAD, RANK, TINY
from tiny_model import FEED_FORWARD, HEADS, KV_HEADS, LAYERS, build_tiny_model


def contents(path: Path) -> tuple[dict[str, np.ndarray], gguf.GGUFReader]:
    reader = gguf.GGUFReader(path)
    return {t.name: np.array(t.data) for t in reader.tensors}, reader


def test_names_shapes_and_alpha_are_those_llama_cpp_reads(tmp_path: Path) -> None:
    made = make_adapter(tmp_path / "a")
    assert write_gguf(tmp_path / "a", TINY, tmp_path / "a.gguf", outtype="f32") == 7 * LAYERS
    tensors, reader = contents(tmp_path / "a.gguf")
    assert reader.fields["adapter.lora.alpha"].contents() == 8.0
    assert [reader.fields[k].contents() for k in ("general.architecture", "general.type", "adapter.type")] == [
        "qwen2",
        "adapter",
        "lora",
    ]
    assert len(tensors) == 2 * 7 * LAYERS
    stem = "base_model.model.model.layers.1.mlp.down_proj"
    np.testing.assert_array_equal(tensors["blk.1.ffn_down.weight.lora_a"], made[f"{stem}.lora_A.weight"])
    np.testing.assert_array_equal(tensors["blk.1.ffn_down.weight.lora_b"], made[f"{stem}.lora_B.weight"])


def test_rslora_is_written_with_alpha_times_the_root_of_the_rank(tmp_path: Path) -> None:
    make_adapter(tmp_path / "a", use_rslora=True)
    write_gguf(tmp_path / "a", TINY, tmp_path / "a.gguf")
    assert contents(tmp_path / "a.gguf")[1].fields["adapter.lora.alpha"].contents() == pytest.approx(8.0 * RANK**0.5)


def test_llama_s_queries_and_keys_change_the_order_of_rows_and_nothing_else_does(tmp_path: Path) -> None:
    made = make_adapter(tmp_path / "a")
    llama = msgspec.structs.replace(TINY, architecture="llama")
    write_gguf(tmp_path / "a", llama, tmp_path / "a.gguf", outtype="f32")
    tensors, _ = contents(tmp_path / "a.gguf")
    # Row i of the first half of a head and row i of its second half come to stand side by side.
    order = [h * HEAD + half * (HEAD // 2) + i for h in range(HEADS) for i in range(HEAD // 2) for half in (0, 1)]
    query = made["base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"]
    np.testing.assert_array_equal(tensors["blk.0.attn_q.weight.lora_b"], query[order])
    keys = made["base_model.model.model.layers.0.self_attn.k_proj.lora_B.weight"]
    np.testing.assert_array_equal(tensors["blk.0.attn_k.weight.lora_b"], keys[order[: KV_HEADS * HEAD]])
    values = made["base_model.model.model.layers.0.self_attn.v_proj.lora_B.weight"]
    np.testing.assert_array_equal(tensors["blk.0.attn_v.weight.lora_b"], values)


def test_bfloat16_is_read_as_it_is(tmp_path: Path) -> None:
    values = np.array([[1.0, -2.5], [0.15625, 3e20]], np.float32)
    save(tmp_path / "x.safetensors", {"x": values}, "BF16")
    np.testing.assert_allclose(read_safetensors(tmp_path / "x.safetensors")["x"], values, rtol=2**-8)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"use_dora": True}, "DoRA"), ({"modules_to_save": ["lm_head"]}, "whole modules"), ({"bias": "all"}, "biases"),
        ({"rank_pattern": {"q_proj": 2}}, "different ranks"), ({"peft_type": "IA3"}, "not a LoRA"),
    ],
)  # fmt: skip
def test_what_llama_cpp_cannot_load_is_refused_and_nothing_is_left(
    tmp_path: Path, config: dict[str, object], reason: str
) -> None:
    make_adapter(tmp_path / "a", **config)
    with pytest.raises(UsageError, match=reason):
        write_gguf(tmp_path / "a", TINY, tmp_path / "a.gguf")
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_an_adapter_of_another_base_and_a_damaged_one_are_refused(tmp_path: Path) -> None:
    make_adapter(tmp_path / "a")
    larger = msgspec.structs.replace(TINY, shape=msgspec.structs.replace(TINY.shape, feed_forward=2 * FEED_FORWARD))
    with pytest.raises(UsageError, match="not one of tiny"):
        write_gguf(tmp_path / "a", larger, tmp_path / "a.gguf")
    file = tmp_path / "a" / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:900])
    with pytest.raises(UsageError, match="not a readable safetensors file"):
        write_gguf(tmp_path / "a", TINY, tmp_path / "a.gguf")
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EmbeddedModel, EmbeddedServer]]:
    folder = tmp_path_factory.mktemp("adapters")
    base = build_tiny_model(folder / "tiny.gguf")
    adapters = {}
    for seed, name in enumerate(("captain", "ledger")):
        make_adapter(folder / name, seed=seed)
        write_gguf(folder / name, TINY, folder / f"{name}.gguf")
        adapters[name] = folder / f"{name}.gguf"
    host = EmbeddedHost()
    server = host.add(EmbeddedServer(base, slots=2, context_tokens=1024, adapters=adapters))
    yield EmbeddedModel("tiny", server, host), server
    host.stop()


def test_three_voices_asked_at_once_with_the_same_words_are_never_mixed(
    served: tuple[EmbeddedModel, EmbeddedServer],
) -> None:
    model, server = served
    voices = (None, "captain", "ledger")

    async def all_of(calls: list[ChatRequest], *, together: bool) -> list[str]:
        if together:
            return [r.text for r in await asyncio.gather(*(complete(model, c) for c in calls))]
        return [(await complete(model, c)).text for c in calls]

    calls = [request(number, voice) for number in range(16) for voice in voices]
    alone = asyncio.run(all_of(calls[:12], together=False))
    assert all(len({alone[i], alone[i + 1], alone[i + 2]}) == 3 for i in range(0, 12, 3)), "three distinct voices"
    together = asyncio.run(all_of(calls, together=True))
    assert together == alone * 4
    backwards = asyncio.run(all_of(calls[::-1], together=False))
    assert backwards == (alone * 4)[::-1], "whoever was asked before leaves nothing behind"
    assert server.starts == 1, "adapters are swapped without loading the base again"


def test_an_adapter_that_was_not_loaded_is_refused_not_passed_over(
    served: tuple[EmbeddedModel, EmbeddedServer],
) -> None:
    with pytest.raises(BackendRejectedError, match="without the adapter pirate"):
        asyncio.run(complete(served[0], request(0, "pirate")))


def test_a_missing_adapter_file_is_said_before_the_model_loads(
    served: tuple[EmbeddedModel, EmbeddedServer], tmp_path: Path
) -> None:
    server = EmbeddedServer(served[1].path, slots=1, context_tokens=512, adapters={"x": tmp_path / "x.gguf"})
    with pytest.raises(ModelMissingError, match="no adapter file"):
        server.start()
    assert server.starts == 0
