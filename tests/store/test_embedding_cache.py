"""The cache of vectors: per model, exact, and told in one sentence where its file is damaged."""

from __future__ import annotations

import numpy as np
import pytest

from innercouncil.model.errors import WorkspaceError
from innercouncil.store.embeddings import EmbeddingCache

ROWS = np.array([[0.1, -1.0], [3e-39, 1.0]], dtype=np.float32)


def test_what_was_kept_comes_back_bit_for_bit_in_the_order_asked(tmp_path):
    path = tmp_path / "new" / "cache.db"
    with EmbeddingCache(path, "m") as cache:
        cache.keep([b"a", b"b"], ROWS)
    with EmbeddingCache(path, "m") as cache:
        assert cache.keys() == {b"a", b"b"}
        assert cache.vectors([b"b", b"a", b"b"]).tobytes() == ROWS[[1, 0, 1]].tobytes()


def test_models_do_not_share_vectors(tmp_path):
    with EmbeddingCache(tmp_path / "c.db", "one") as cache:
        cache.keep([b"a"], ROWS[:1])
    with EmbeddingCache(tmp_path / "c.db", "two") as cache:
        assert cache.keys() == set()


def test_half_a_batch_is_not_kept(tmp_path):
    with EmbeddingCache(tmp_path / "c.db", "m") as cache:
        with pytest.raises(ValueError, match="shorter"):
            cache.keep([b"a", b"b", b"c"], ROWS)
        assert cache.keys() == set()


@pytest.mark.parametrize("content", [b"not a database at all" * 100, None])
def test_a_damaged_file_is_one_sentence(tmp_path, content):
    path = tmp_path / "c.db"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(WorkspaceError, match="delete this file"):
        EmbeddingCache(path, "m")
