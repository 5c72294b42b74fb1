"""An ONNX model in a folder: a transformer's graph and its tokenizer, run by onnxruntime."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from innercouncil.llm.embedders.folder import FolderEmbedder

MAX_TOKENS: Final = 256
"""Tokens of a text that are read where the tokenizer itself names no number."""
MOST_TOKENS: Final = 512


class _Model(NamedTuple):
    session: Any
    tokenizer: Any
    inputs: frozenset[str]


class OnnxEmbedder(FolderEmbedder):
    """Texts are run one by one and each on one thread: padding and several threads would change the last digits, and
    with weights of eight bits more than those.
    """

    kind = "onnx"
    packages = ("onnxruntime", "tokenizers")
    files = ("model.onnx", "tokenizer.json")

    def _load(self) -> _Model:
        import onnxruntime
        from tokenizers import Tokenizer

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.use_deterministic_compute = True
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(
            str(self.folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        tokenizer = Tokenizer.from_file(str(self.folder / "tokenizer.json"))
        tokenizer.no_padding()
        asked = (tokenizer.truncation or {}).get("max_length", MAX_TOKENS)
        tokenizer.enable_truncation(min(asked, MOST_TOKENS))
        return _Model(session, tokenizer, frozenset(i.name for i in session.get_inputs()))

    def _encode(self, model: _Model, texts: list[str]) -> npt.NDArray[Any]:
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            return np.stack(list(pool.map(lambda text: _one(model, text), texts)))


def _one(model: _Model, text: str) -> npt.NDArray[np.float32]:
    """Mean of the token vectors under the attention mask; a graph that pools by itself is taken at its word."""
    encoding = model.tokenizer.encode(text)
    mask = np.array([encoding.attention_mask], dtype=np.int64)
    known = {
        "input_ids": np.array([encoding.ids], dtype=np.int64),
        "attention_mask": mask,
        "token_type_ids": np.array([encoding.type_ids], dtype=np.int64),
    }
    found = model.session.run(None, {name: value for name, value in known.items() if name in model.inputs})[0]
    if found.ndim == 2:
        return np.asarray(found[0], dtype=np.float32)
    weight = mask[0].astype(np.float32)
    return np.asarray(weight @ found[0] / max(float(weight.sum()), 1.0), dtype=np.float32)
