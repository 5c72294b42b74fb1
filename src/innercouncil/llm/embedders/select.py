"""How a person names an embedder: its kind, a colon, and where it is."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple, get_args

from innercouncil.model.errors import UsageError
from innercouncil.model.ports import Embedder

Kind = Literal["ollama", "onnx", "model2vec", "sentence-transformers"]
FORMS = "ollama:NAME, onnx:DIR, model2vec:DIR or sentence-transformers:DIR"


class EmbedderSpec(NamedTuple):
    """An embedder as named by a person."""

    kind: Kind
    place: str
    """Name of the model at Ollama, else the folder."""


def parse_embedder(text: str) -> EmbedderSpec:
    """Read an embedder string. Raises UsageError that lists the forms.

    >>> parse_embedder("ollama:nomic-embed-text")
    EmbedderSpec(kind='ollama', place='nomic-embed-text')
    """
    kind, _, place = text.strip().partition(":")
    for known in get_args(Kind):
        if kind == known and place:
            return EmbedderSpec(known, place)
    raise UsageError(f"{text[:60]!r} is not an embedder; write {FORMS}.")


def open_folder(spec: EmbedderSpec) -> Embedder:
    """The embedder of a folder on this disk; the model is read when it is first used.

    Raises UsageError where the folder or the package that reads it is missing, BackendError where the folder is damaged.
    """
    folder = Path(spec.place).expanduser()
    if spec.kind == "onnx":
        from innercouncil.llm.embedders.onnx import OnnxEmbedder

        return OnnxEmbedder(folder)
    if spec.kind == "model2vec":
        from innercouncil.llm.embedders.model2vec import Model2VecEmbedder

        return Model2VecEmbedder(folder)
    from innercouncil.llm.embedders.sentence_transformers import SentenceTransformersEmbedder

    return SentenceTransformersEmbedder(folder)
