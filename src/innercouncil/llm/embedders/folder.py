"""What models in a folder share: the folder is checked, its contents are its identity, rows get length one."""

from __future__ import annotations

import hashlib
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from innercouncil.model.errors import BackendError, BackendGarbageError, UsageError
from innercouncil.model.extras import to_install
from innercouncil.model.ports import Progress

FloatArray = npt.NDArray[np.float32]
STEP = 32
"""Texts between two reports of progress."""


class FolderEmbedder(ABC):
    """An Embedder whose model lies in a folder.

    Raises UsageError where the folder, one of its files or a package is missing.
    """

    kind: ClassVar[str]
    """As in `--embedder`, and the name of the extra."""
    packages: ClassVar[tuple[str, ...]]
    """What is imported."""
    files: ClassVar[tuple[str, ...]]
    """What the folder must hold."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not folder.is_dir():
            raise UsageError(f"There is no folder {folder}; give the folder of a model for --embedder {self.kind}:DIR.")
        for name in self.files:
            if not (folder / name).is_file():
                raise UsageError(
                    f"The folder {folder} holds no {name}, so it is no model for --embedder {self.kind}:DIR."
                )
        if any(importlib.util.find_spec(package) is None for package in self.packages):
            raise UsageError(
                f"--embedder {self.kind}:DIR needs more than the default install; {to_install(self.kind)}."
            )

    @property
    def name(self) -> str:
        """Kind and folder."""
        return f"{self.kind}:{self.folder.resolve().name}"

    def identity(self) -> str:
        """Kind and digest of every file of the folder. Raises BackendError where one cannot be read."""
        return f"{self.kind}:{self._digest}"

    def embed(self, texts: Sequence[str], progress: Progress | None = None) -> FloatArray:
        """Unit vectors of the texts, see Embedder."""
        parts = []
        for start in range(0, len(texts), STEP):
            parts.append(self._checked(list(texts[start : start + STEP])))
            if progress:
                progress(min(start + STEP, len(texts)), len(texts))
        return np.concatenate(parts)

    def _checked(self, texts: list[str]) -> FloatArray:
        model = self._loaded
        try:
            rows = self._encode(model, texts)
        except Exception as error:  # whatever a model file can make a library do
            raise self.damaged("it cannot be run") from error
        return unit_rows(rows, len(texts), self.folder.as_posix())

    def damaged(self, how: str) -> BackendError:
        """An error for a model that is not what it should be."""
        return BackendError(
            f"The model in {self.folder} is damaged or of another kind: {how}; fetch or export it again."
        )

    @cached_property
    def _digest(self) -> str:
        digest = hashlib.sha256()
        files = sorted(p for p in self.folder.rglob("*") if p.is_file() and not _hidden(p.relative_to(self.folder)))
        try:
            for file in files:
                with file.open("rb") as f:
                    content = hashlib.file_digest(f, "sha256").digest()
                digest.update(
                    file.relative_to(self.folder).as_posix().encode("utf-8", "surrogateescape") + b"\0" + content
                )
        except OSError as error:
            raise BackendError(f"The model in {self.folder} cannot be read; check its rights.") from error
        return digest.hexdigest()

    @cached_property
    def _loaded(self) -> Any:
        try:
            return self._load()
        except ImportError as error:
            raise UsageError(
                f"A package for --embedder {self.kind}:DIR cannot be imported; {to_install(self.kind, again=True)}."
            ) from error
        except Exception as error:
            raise self.damaged("it cannot be loaded") from error

    @abstractmethod
    def _load(self) -> Any:
        """Read the model; whatever it raises is told as one sentence."""

    @abstractmethod
    def _encode(self, model: Any, texts: list[str]) -> npt.NDArray[Any]:
        """Vectors of a few texts, of any length."""


def unit_rows(rows: npt.NDArray[Any], count: int, source: str) -> FloatArray:
    """`count` rows scaled to length one; a row of zeros, a text no token of which is known, stays.

    Raises BackendGarbageError where there are not as many, or one holds no numbers.
    """
    vectors = np.asarray(rows, dtype=np.float64)
    if vectors.ndim != 2 or len(vectors) != count or not vectors.shape[1] or not np.isfinite(vectors).all():
        raise BackendGarbageError(f"What {source} gives for a text is no vector of numbers; choose another embedder.")
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1.0), dtype=np.float32)


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
