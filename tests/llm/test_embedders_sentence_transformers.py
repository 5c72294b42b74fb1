"""sentence-transformers with a real tiny BERT, made here; torch is too large for the development group, see .ci/run."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

if any(importlib.util.find_spec(p) is None for p in ("torch", "sentence_transformers")):
    pytest.skip("torch is not installed: pip install '.[sentence-transformers]'", allow_module_level=True)

from innercouncil.llm.embedders.select import open_folder, parse_embedder
from innercouncil.model.errors import BackendError

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "write", "a", "story", "fix", "the", "test", "plan"]
TEXTS = ["write a story", "fix the test", "the plan the plan the plan", "fix"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    torch.manual_seed(0)
    bert, out = tmp_path_factory.mktemp("bert"), tmp_path_factory.mktemp("model") / "tiny"
    (bert / "vocab.txt").write_text("\n".join(WORDS), "utf-8")
    BertTokenizerFast(vocab_file=str(bert / "vocab.txt")).save_pretrained(bert)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64,
    )  # fmt: skip
    BertModel(config).save_pretrained(bert)
    transformer = Transformer(str(bert), max_seq_length=32)
    SentenceTransformer(modules=[transformer, Pooling(16)], device="cpu").save_pretrained(str(out))
    return out


def test_vectors_are_those_of_the_library_and_a_row_depends_on_its_text_alone(folder):
    from sentence_transformers import SentenceTransformer

    embedder = open_folder(parse_embedder(f"sentence-transformers:{folder}"))
    found = embedder.embed(TEXTS)
    assert (found.shape, found.dtype) == ((4, 16), np.dtype(np.float32))
    theirs = SentenceTransformer(str(folder), device="cpu").encode(TEXTS, normalize_embeddings=True)
    np.testing.assert_allclose(found, theirs, atol=1e-5)
    again = open_folder(parse_embedder(f"sentence-transformers:{folder}"))
    assert np.concatenate([again.embed([t]) for t in TEXTS]).tobytes() == found.tobytes()
    assert (embedder.name, embedder.identity()) == ("sentence-transformers:tiny", again.identity())


@pytest.mark.parametrize("gone", ["config.json", "model.safetensors", "1_Pooling"])
def test_a_file_that_is_missing_is_an_error_and_not_a_download(folder, tmp_path, gone):
    shutil.copytree(folder, tmp_path / "model")
    path = tmp_path / "model" / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(BackendError, match="damaged or of another kind") as told:
        open_folder(parse_embedder(f"sentence-transformers:{tmp_path / 'model'}")).embed(["write"])
    assert "\n" not in str(told.value)
