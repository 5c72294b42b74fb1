"""Tokens of rows: llama.cpp with the model's own file and the tokenizers package agree; an estimate says that it is one."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from innercouncil.llm.token_counts import DEFAULT_SYSTEM, open_counter
from innercouncil.model.errors import BackendError, UsageError
from innercouncil.model.ports import ChatTurn
from tiny_model import WORDS, _byte_names, build_tiny_model

ROW = (
    ChatTurn("system", "the plan"),
    ChatTurn("user", "measure the test, 12 times"),
    ChatTurn("assistant", "größe 三 the the"),
)


@pytest.fixture(scope="module")
def gguf(tmp_path_factory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("tokens") / "tiny.gguf")


@pytest.fixture
def tokenizer_json(tmp_path) -> Path:
    """The tiny model's vocabulary as Hugging Face writes it."""
    names = [*_byte_names(), *("Ġ" + w for w in WORDS)]
    names += [t for t in ("Ġt", "th") if t not in names]
    tokenizer = Tokenizer(models.BPE({t: n for n, t in enumerate(names)}, [("Ġ", "t"), ("t", "h")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


def test_both_exact_ways_give_the_same_number(gguf, tokenizer_json):
    by_file, by_model = open_counter(tokenizer_json, "tiny"), open_counter(gguf, "tiny")
    try:
        assert not by_file.estimated
        assert not by_model.estimated
        short = (ChatTurn("system", "a"), ChatTurn("user", "b"), ChatTurn("assistant", "c"))
        marks, bytes_of_roles, bytes_of_texts = 3 * (1 + 1 + 1 + 1), 6 + 4 + 9, 3
        assert by_model.count(short) == by_file.count(short) == marks + bytes_of_roles + bytes_of_texts
    finally:
        by_model.close()


def test_an_estimate_is_marked_and_counts_the_templates_own_system_turn():
    counter = open_counter(None, "qwen2.5:3b")
    assert counter.estimated
    with_default = counter.count((ChatTurn("system", DEFAULT_SYSTEM), *ROW[1:]))
    assert counter.count(ROW[1:]) == with_default


def test_a_file_that_is_no_tokenizer_is_said_plainly(tmp_path):
    with pytest.raises(UsageError, match="no file"):
        open_counter(tmp_path / "none.gguf", "")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UsageError, match="can be read"):
        open_counter(tmp_path / "tokenizer.json", "")
    (tmp_path / "bad.gguf").write_bytes(b"GGUF not really")
    counter = open_counter(tmp_path / "bad.gguf", "")
    try:
        with pytest.raises(BackendError, match="could not load"):
            counter.count(ROW)
    finally:
        counter.close()
