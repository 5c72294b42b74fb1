"""A real Qwen2 model of a hundred thousand numbers, written as GGUF: it speaks random words, fast, on any machine.

Weights are random except for one direction: every token's embedding has the same large first component, so the output
layer's first column works as a bias, and the model prefers whole words, now and then a full stop, and at last the end.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

WORDS = [
    "the",
    "a",
    "of",
    "to",
    "and",
    "in",
    "is",
    "it",
    "that",
    "for",
    "on",
    "with",
    "as",
    "this",
    "are",
    "not",
    "but",
    "from",
    "at",
    "one",
    "all",
    "can",
    "each",
    "first",
    "more",
    "work",
    "test",
    "code",
    "plan",
    "data",
    "name",
    "time",
    "part",
    "step",
    "small",
    "large",
    "clear",
    "simple",
    "because",
    "therefore",
    "however",
    "maybe",
    "should",
    "could",
    "look",
    "think",
    "write",
    "read",
    "build",
    "ask",
    "answer",
    "question",
    "choose",
    "measure",
    "compare",
    "begin",
    "end",
    "next",
    "risk",
    "cost",
    "value",
    "people",
    "person",
    "model",
    "council",
    "persona",
    "reason",
    "idea",
    "note",
    "list",
    "table",
    "file",
    "line",
    "word",
    "order",
    "change",
    "keep",
    "remove",
    "add",
    "find",
    "show",
    "make",
    "use",
]
HIDDEN, LAYERS, HEADS, KV_HEADS, FEED_FORWARD = 64, 2, 4, 2, 128
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def _byte_names() -> list[str]:
    """GPT-2's printable stand-ins for the 256 bytes."""
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    names, extra = {b: chr(b) for b in keep}, 0
    for b in range(256):
        if b not in names:
            names[b] = chr(256 + extra)
            extra += 1
    return [names[b] for b in range(256)]


def build_tiny_model(
    path: Path, *, seed: int = 0, context: int = 16384, ending: float = 5.5, feed_forward: int = FEED_FORWARD, speaks: bool = False,
) -> Path:  # fmt: skip
    """Write the model to `path`. `ending`: how readily it ends an answer (bigger is sooner).

    One that `speaks` says at least a word: after a line break, with which the template ends, it does not end.

    `feed_forward` is the width that decides how long a token takes: where the order of events between server and client
    matters, a model as slow as a real one is wanted.
    """
    rng = np.random.default_rng(seed)
    names = _byte_names()
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokens = [*names, *("Ġ" + w for w in WORDS), *specials]
    kinds = [gguf.TokenType.NORMAL] * (len(tokens) - 3) + [gguf.TokenType.CONTROL] * 3
    size, head = len(tokens), HIDDEN // HEADS
    favour = np.full(size, -2.0)
    favour[[i for i, name in enumerate(names) if not (name.isascii() and name.isalnum())]] = -30.0
    favour[256 : 256 + len(WORDS)] = 3.0
    favour[names.index(".")] = 5.0
    favour[tokens.index("<|im_end|>")] = ending
    favour[[names.index(c) for c in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"]] = -12.0
    favour[[tokens.index("<|endoftext|>"), tokens.index("<|im_start|>")]] = -9.0

    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name("tiny-qwen2")
    writer.add_context_length(context)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(feed_forward)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10000.0)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(["Ġ t", "t h"])
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_pad_token_id(tokens.index("<|endoftext|>"))
    writer.add_bos_token_id(tokens.index("<|endoftext|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)

    def tensor(name: str, *shape: int, scale: float = 0.15) -> None:
        writer.add_tensor(name, (rng.standard_normal(shape) * scale).astype(np.float32))

    embedding = (rng.standard_normal((size, HIDDEN)) * 0.5).astype(np.float32)
    embedding[:, 0] = 6.0
    output = (rng.standard_normal((size, HIDDEN)) * 0.12).astype(np.float32)
    output[:, 0] = favour * 0.5
    if speaks:
        embedding[names.index("Ċ"), 1] = 6.0
        output[tokens.index("<|im_end|>"), 1] = -6.0
    writer.add_tensor("token_embd.weight", embedding)
    writer.add_tensor("output.weight", output)
    writer.add_tensor("output_norm.weight", np.ones(HIDDEN, np.float32))
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        writer.add_tensor(block + "attn_norm.weight", np.ones(HIDDEN, np.float32))
        writer.add_tensor(block + "ffn_norm.weight", np.ones(HIDDEN, np.float32))
        for letter, width in (("q", HIDDEN), ("k", KV_HEADS * head), ("v", KV_HEADS * head)):
            tensor(block + f"attn_{letter}.weight", width, HIDDEN)
            writer.add_tensor(block + f"attn_{letter}.bias", np.zeros(width, np.float32))
        tensor(block + "attn_output.weight", HIDDEN, HIDDEN)
        tensor(block + "ffn_gate.weight", feed_forward, HIDDEN)
        tensor(block + "ffn_up.weight", feed_forward, HIDDEN)
        tensor(block + "ffn_down.weight", HIDDEN, feed_forward, scale=0.15 * (FEED_FORWARD / feed_forward) ** 0.5)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
