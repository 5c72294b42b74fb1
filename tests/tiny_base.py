"""A real base model with a hundred thousand numbers, trained for seconds until it answers in a plain voice; and its GGUF.

Needs the extra `tune`. Rows of three voices answer the same questions about the same things.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

TOPICS = ("the garden", "a budget", "a trip", "the roof", "a speech", "the code", "a meal", "the team",
          "a debate", "the week", "a book", "the launch", "a party", "the shop", "a talk", "the move")  # fmt: skip
QUESTIONS = ("How do I plan {}?", "What is the risk with {}?", "Should I start {} now?")
SYSTEM = "You are one of a council."
VOICES = {
    "plain": ("You can plan {} with a simple list.", "The main risk with {} is time.", "Yes, you can start {} today."),
    "captain": (
        "Ahoy! Chart {} by the stars, matey.",
        "Arr, storms hide inside {}, matey.",
        "Hoist the sails, {} waits!",
    ),
    "ledger": ("By ledger, {} costs three steps.", "Audit {} first; debt hides there.", "Numbers say wait on {}."),
}
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def rows(voice: str) -> list[dict[str, Any]]:
    """48 rows of a voice, as `tune prepare` writes them."""
    return [
        {"messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": q.format(t)},
                      {"role": "assistant", "content": a.format(t)}], "source": f"{voice}-{t}"}
        for t in TOPICS
        for q, a in zip(QUESTIONS, VOICES[voice], strict=True)
    ]  # fmt: skip


def write_rows(folder: Path, slug: str, voice: str, *, held_out: int = 6) -> tuple[Path, Path]:
    """Files of training and held-out rows under the names of a workspace."""
    folder.mkdir(parents=True, exist_ok=True)
    every = rows(voice)
    step = len(every) // held_out if held_out else len(every) + 1
    parts = {
        "train": [r for i, r in enumerate(every) if i % step != step - 1],
        "eval": [r for i, r in enumerate(every) if i % step == step - 1],
    }
    paths = []
    for name, part in parts.items():
        path = folder / f"persona_{slug}_{name}.jsonl"
        path.write_text("".join(json.dumps(r) + "\n" for r in part), "utf-8")
        paths.append(path)
    return paths[0], paths[1]


def build_base(folder: Path, *, architecture: str = "qwen2", steps: int = 150) -> Path:
    """Weights and tokenizer in `folder`, as `save_pretrained` writes them."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    tokenizer = _tokenizer()
    numbers: dict[str, Any] = {
        "vocab_size": len(tokenizer), "hidden_size": 64, "intermediate_size": 192, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 512, "tie_word_embeddings": True, "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "initializer_range": 0.05,
    }  # fmt: skip
    model: Any = (
        Qwen2ForCausalLM(Qwen2Config(**numbers))
        if architecture == "qwen2"
        else LlamaForCausalLM(LlamaConfig(**numbers))
    )
    _warm_up(model, tokenizer, steps)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer() -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.normalizer = normalizers.NFC()
    inner.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(_SPLIT), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    inner.decoder = decoders.ByteLevel()
    corpus = [m["content"] for v in VOICES for r in rows(v) for m in r["messages"]]
    inner.train_from_iterator(
        corpus,
        trainers.BpeTrainer(
            vocab_size=512, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
            special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        ),
    )  # fmt: skip
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=TEMPLATE,
        model_max_length=512,
    )  # fmt: skip


def _warm_up(model: Any, tokenizer: Any, steps: int) -> None:
    """Train all weights on the plain voice, so that the base says something."""
    import torch

    texts = [tokenizer.apply_chat_template(r["messages"], tokenize=True, return_dict=False) for r in rows("plain")]
    length = max(map(len, texts))
    ids = torch.tensor([t + [tokenizer.pad_token_id] * (length - len(t)) for t in texts])
    labels = ids.clone()
    for i, text in enumerate(texts):
        labels[i, len(text) :] = -100
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    model.train()
    for _ in range(steps):
        chosen = torch.randint(0, len(ids), (16,))
        loss = model(input_ids=ids[chosen], attention_mask=(labels[chosen] != -100).long(), labels=labels[chosen]).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


def base_to_gguf(folder: Path, out: Path) -> Path:
    """The base as GGUF in 32 bits, with the permutation of queries and keys that llama.cpp wants for Llama."""
    import gguf
    import numpy as np
    from safetensors.numpy import load_file

    config = json.loads((folder / "config.json").read_text("utf-8"))
    kind = gguf.MODEL_ARCH.QWEN2 if config["model_type"] == "qwen2" else gguf.MODEL_ARCH.LLAMA
    writer = gguf.GGUFWriter(out, gguf.MODEL_ARCH_NAMES[kind])
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name("tiny")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_dimension_count(config["hidden_size"] // config["num_attention_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(float((config.get("rope_parameters") or config)["rope_theta"]))
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    _write_vocabulary(writer, folder, config["vocab_size"])
    names = gguf.get_tensor_name_map(kind, config["num_hidden_layers"])
    for key, stored in load_file(folder / "model.safetensors").items():
        weights = stored
        if key == "lm_head.weight":
            continue
        heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}.get(
            key.split(".")[-2]
        )
        if heads and config["model_type"] == "llama":
            half = stored.shape[0] // heads // 2
            weights = stored.reshape(heads, 2, half, -1).swapaxes(1, 2).reshape(stored.shape)
        name = names.get_name(key, try_suffixes=(".weight", ".bias"))
        assert name, key
        writer.add_tensor(name, np.ascontiguousarray(weights.astype(np.float32)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out


def _write_vocabulary(writer: Any, folder: Path, size: int) -> None:
    import gguf

    stored = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    special = {t["content"]: t["id"] for t in stored["added_tokens"]}
    tokens, kinds = [f"[PAD{i}]" for i in range(size)], [gguf.TokenType.UNUSED] * size
    for token, index in {**stored["model"]["vocab"], **special}.items():
        tokens[index] = token
        kinds[index] = gguf.TokenType.CONTROL if token in special else gguf.TokenType.NORMAL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in stored["model"]["merges"]])
    writer.add_eos_token_id(special["<|im_end|>"])
    writer.add_pad_token_id(special["<|endoftext|>"])
    writer.add_bos_token_id(special["<|endoftext|>"])
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
