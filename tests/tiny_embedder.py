"""Tiny real embedders: an ONNX graph and a model2vec table over the words of the bundled example."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordLevel

from conftest import EXAMPLE

WIDTH = 12


def tiny_tokenizer(words: int = 400) -> Tokenizer:
    """Whole words of the example, lower case; all others are one unknown word."""
    counted = Counter(re.findall(r"[a-z]+", EXAMPLE.read_text("utf-8").lower()))
    vocabulary = {"[PAD]": 0, "[UNK]": 1} | {w: n + 2 for n, (w, _) in enumerate(counted.most_common(words))}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def build_tiny_onnx(folder: Path, *, pooled: bool = False, seed: int = 0) -> Path:
    """A folder with a graph that looks every token up in a table; with `pooled` it takes the mean by itself."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = tiny_tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["tokens"])]
    if pooled:
        nodes.append(helper.make_node("ReduceMean", ["tokens"], ["out"], axes=[1], keepdims=0))
    whole = ["texts", "length"]
    graph = helper.make_graph(
        nodes, "tiny",
        [helper.make_tensor_value_info(n, TensorProto.INT64, whole) for n in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info("out" if pooled else "tokens", TensorProto.FLOAT, ["texts", WIDTH] if pooled else [*whole, WIDTH])],
        [numpy_helper.from_array(table(tokenizer.get_vocab_size(), seed), "table")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(folder / "model.onnx"))
    return folder


def build_tiny_model2vec(folder: Path) -> Path:
    """A folder as model2vec itself saves it."""
    from model2vec import StaticModel

    tokenizer = tiny_tokenizer()
    StaticModel(table(tokenizer.get_vocab_size()), tokenizer, normalize=True).save_pretrained(str(folder))
    return folder


def table(words: int, seed: int = 0) -> np.ndarray:
    """One random vector a word."""
    return np.random.default_rng(seed).standard_normal((words, WIDTH)).astype(np.float32)


def not_a_model(folder: Path) -> Path:
    """A folder with files of the right names and nothing in them."""
    folder.mkdir(parents=True)
    for name in ("model.onnx", "model.safetensors", "tokenizer.json", "config.json", "modules.json"):
        (folder / name).write_text(json.dumps({"no": "model"}), "utf-8")
    return folder
