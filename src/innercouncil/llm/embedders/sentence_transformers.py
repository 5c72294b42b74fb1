"""A sentence-transformers model in a folder, run by torch on the CPU."""

from __future__ import annotations

import os
from typing import Any

import numpy.typing as npt

from innercouncil.llm.embedders.folder import FolderEmbedder


class SentenceTransformersEmbedder(FolderEmbedder):
    """Reads a folder as `SentenceTransformer.save_pretrained` writes it; never runs code that the folder brings along."""

    kind = "sentence-transformers"
    packages = ("sentence_transformers", "torch")
    files = ("modules.json",)

    def _load(self) -> Any:
        os.environ["HF_HUB_OFFLINE"] = (
            "1"  # read once, at the import: a file that is missing is an error, not a download
        )
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(str(self.folder), device="cpu", local_files_only=True, trust_remote_code=False)

    def _encode(self, model: Any, texts: list[str]) -> npt.NDArray[Any]:
        # One by one: padding would change the last digits with whatever else is in the batch.
        found: npt.NDArray[Any] = model.encode(texts, batch_size=1, show_progress_bar=False, convert_to_numpy=True)
        return found
