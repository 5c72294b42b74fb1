"""Vectors that an embedder gave, by model and text: what was embedded once is not embedded again."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from innercouncil.model.errors import WorkspaceError
from innercouncil.store.workspace import disk_errors

FloatArray = npt.NDArray[np.float32]

_SCHEMA: Final = """
    CREATE TABLE IF NOT EXISTS vector (
        model TEXT NOT NULL,
        key BLOB NOT NULL,
        numbers BLOB NOT NULL,
        PRIMARY KEY (model, key)
    ) STRICT, WITHOUT ROWID
"""


class EmbeddingCache:
    """Vectors of one model in an SQLite file; every batch is one transaction, so a kill loses at most the one on its way.

    `model` is the embedder's identity, keys are digests of texts. Use it as a context manager. Raises WorkspaceError.
    """

    def __init__(self, path: Path, model: str) -> None:
        self._path, self._model = path, model
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with self._told():
            self._connection = sqlite3.connect(path)
            try:
                self._connection.execute(_SCHEMA)
            except sqlite3.Error:
                self._connection.close()
                raise

    def __enter__(self) -> EmbeddingCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def keys(self) -> set[bytes]:
        """What is known of this model."""
        with self._told():
            rows = self._connection.execute("SELECT key FROM vector WHERE model = ?", (self._model,))
            return {key for (key,) in rows}

    def keep(self, keys: Sequence[bytes], vectors: FloatArray) -> None:
        """Add a batch: `vectors` is (n, d)."""
        rows = [(self._model, k, v.astype("<f4").tobytes()) for k, v in zip(keys, vectors, strict=True)]
        with self._told(), self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO vector VALUES (?, ?, ?)", rows)

    def vectors(self, keys: Sequence[bytes]) -> FloatArray:
        """The vectors of n known keys, (n, d)."""
        found: list[npt.NDArray[Any]] = []
        with self._told():
            for key in keys:
                query = "SELECT numbers FROM vector WHERE model = ? AND key = ?"
                row = self._connection.execute(query, (self._model, key)).fetchone()
                found.append(np.frombuffer(row[0], dtype="<f4"))
        return np.array(found, dtype=np.float32)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise WorkspaceError(
                f"Cannot use {self._path}: {error}; delete this file, it holds nothing that cannot be computed again."
            ) from error
