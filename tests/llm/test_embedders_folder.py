"""Embedders in a folder: real tiny models, and folders that hold none."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from innercouncil.llm.embedders.model2vec import Model2VecEmbedder
from innercouncil.llm.embedders.onnx import OnnxEmbedder
from innercouncil.llm.embedders.select import EmbedderSpec, open_folder, parse_embedder
from innercouncil.llm.embedders.sentence_transformers import SentenceTransformersEmbedder
from innercouncil.model.errors import BackendError, InnerCouncilError, UsageError
from innercouncil.model.ports import Embedder
from tiny_embedder import WIDTH, build_tiny_model2vec, build_tiny_onnx, not_a_model, table, tiny_tokenizer

TEXTS = ["the plan of the test", "write a story", "the", "why does the test fail when the plan is good"]
KINDS: list[tuple[str, Callable[[Path], Path]]] = [("onnx", build_tiny_onnx), ("model2vec", build_tiny_model2vec)]


@pytest.fixture(params=KINDS, ids=[kind for kind, _ in KINDS])
def made(request, tmp_path) -> tuple[str, Path]:
    kind, build = request.param
    return kind, build(tmp_path / "model")


def opened(made: tuple[str, Path]) -> Embedder:
    return open_folder(EmbedderSpec(*made))  # type: ignore[arg-type]


def test_rows_are_unit_vectors_of_the_words(made):
    embedder = opened(made)
    assert isinstance(embedder, Embedder)
    found = embedder.embed(TEXTS)
    assert (found.shape, found.dtype) == ((len(TEXTS), WIDTH), np.dtype(np.float32))
    tokenizer = tiny_tokenizer()
    words = table(tokenizer.get_vocab_size())
    unknown = -1 if made[0] == "onnx" else tokenizer.token_to_id("[UNK]")  # model2vec leaves out what it does not know
    means = np.array([words[[i for i in tokenizer.encode(t).ids if i != unknown]].mean(axis=0) for t in TEXTS])
    np.testing.assert_allclose(found, means / np.linalg.norm(means, axis=1, keepdims=True), atol=1e-5)


def test_a_row_depends_on_its_text_alone_and_comes_out_the_same_twice(made):
    whole = opened(made).embed(TEXTS)
    again = opened(made)
    assert np.concatenate([again.embed([t]) for t in TEXTS]).tobytes() == whole.tobytes()


def test_progress_ends_with_all_texts(made):
    told: list[tuple[int, int]] = []
    opened(made).embed(["the plan"] * 70, lambda done, total: told.append((done, total)))
    assert told[-1] == (70, 70)
    assert [d for d, _ in told] == sorted(d for d, _ in told)


def test_a_text_without_end_is_cut_and_one_of_unknown_signs_is_no_error(made):
    found = opened(made).embed(["the plan " * 50_000, "\u2603\ud800".replace("\ud800", "?"), "\x00"])
    assert np.isfinite(found).all()


def test_identity_is_the_content_not_the_place(tmp_path):
    one, same = OnnxEmbedder(build_tiny_onnx(tmp_path / "a")), OnnxEmbedder(build_tiny_onnx(tmp_path / "b"))
    other = OnnxEmbedder(build_tiny_onnx(tmp_path / "c", seed=1))
    assert one.identity() == same.identity() != other.identity()
    (tmp_path / "b" / ".git").write_text("hidden files do not count")
    assert OnnxEmbedder(tmp_path / "b").identity() == one.identity()
    assert one.identity().startswith("onnx:")


def test_a_graph_that_pools_by_itself_gives_the_same(tmp_path):
    plain = OnnxEmbedder(build_tiny_onnx(tmp_path / "a")).embed(TEXTS)
    pooled = OnnxEmbedder(build_tiny_onnx(tmp_path / "b", pooled=True)).embed(TEXTS)
    np.testing.assert_allclose(plain, pooled, atol=1e-6)


@pytest.mark.parametrize("kind", [OnnxEmbedder, Model2VecEmbedder, SentenceTransformersEmbedder])
def test_a_folder_that_is_missing_or_empty_is_told(kind, tmp_path):
    with pytest.raises(UsageError, match="There is no folder"):
        kind(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="holds no "):
        kind(tmp_path)


def sentence(error: InnerCouncilError) -> str:
    text = str(error)
    assert "\n" not in text
    assert text.endswith(".")
    return text


@pytest.mark.parametrize("kind", [OnnxEmbedder, Model2VecEmbedder])
def test_a_damaged_model_is_one_sentence(kind, tmp_path):
    with pytest.raises(BackendError) as told:
        kind(not_a_model(tmp_path / "model")).embed(["the plan"])
    assert "damaged" in sentence(told.value)


def test_a_truncated_model_is_one_sentence(made):
    kind, folder = made
    file = folder / ("model.onnx" if kind == "onnx" else "model.safetensors")
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(BackendError) as told:
        opened(made).embed(["the plan"])
    assert "damaged" in sentence(told.value)


def test_a_tokenizer_with_more_words_than_the_graph_is_one_sentence(tmp_path):
    folder = build_tiny_onnx(tmp_path / "model")
    tiny_tokenizer(900).save(str(folder / "tokenizer.json"))
    rare = next(w for w, n in tiny_tokenizer(900).get_vocab().items() if n > 800)
    with pytest.raises(BackendError) as told:
        OnnxEmbedder(folder).embed([rare])
    assert "damaged or of another kind" in sentence(told.value)


@pytest.mark.parametrize("text", ["", "onnx", "onnx:", "openai:text-embedding", "/models/minilm", "ONNX:dir"])
def test_what_is_no_embedder_lists_the_forms(text):
    with pytest.raises(UsageError, match=r"onnx:DIR"):
        parse_embedder(text)


def test_a_windows_path_keeps_its_drive():
    assert parse_embedder(r"onnx:C:\models\minilm") == EmbedderSpec("onnx", r"C:\models\minilm")


MISSING = """
import importlib.util, sys
from pathlib import Path
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == sys.argv[2] else real(name, *rest)
from innercouncil.llm.embedders.select import open_folder, parse_embedder
try:
    open_folder(parse_embedder(sys.argv[1]))
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(("kind", "package"), [("onnx", "onnxruntime"), ("model2vec", "model2vec"), ("sentence-transformers", "torch")])  # fmt: skip
def test_a_missing_package_says_what_to_install(kind, package, tmp_path):
    folder = not_a_model(tmp_path / "model")
    command = [sys.executable, "-c", MISSING, f"{kind}:{folder}", package]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.startswith("UsageError")
    assert f'uv tool install ".[{kind}]"' in said


def test_nothing_heavy_is_imported_before_an_embedder_is_named():
    check = "import sys, innercouncil.cli.discover; print([m for m in ('onnxruntime', 'tokenizers', 'model2vec', 'torch') if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"
