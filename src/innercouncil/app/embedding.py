"""The embed stage: the person's own words through the embedder they chose, each text once, into a block of the evidence."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from innercouncil.app.labelling import Scores, read_messages
from innercouncil.discovery.embedding import TEXT_CHARS, reduce_vectors
from innercouncil.discovery.evidence import Evidence, build_evidence
from innercouncil.discovery.redaction import Redactor
from innercouncil.llm.embedders.select import open_folder, parse_embedder
from innercouncil.model.duplicates import near_key
from innercouncil.model.ports import Embedder
from innercouncil.store.embeddings import EmbeddingCache
from innercouncil.store.workspace import Workspace, writing

BATCH: Final = 32
"""Texts that a kill loses at most."""


class ChosenEmbedder(NamedTuple):
    """The embedder a person named with `--embedder`."""

    embedder: Embedder
    identity: str
    remote: bool
    """Whether texts leave this machine; then they are redacted."""


def open_embedder(workspace: Workspace, text: str) -> ChosenEmbedder:
    """The embedder that `text` names, checked as far as it can be without embedding anything.

    Raises UsageError for a folder or a package that is missing and without consent for another host, BackendError.
    """
    spec = parse_embedder(text)
    if spec.kind == "ollama":
        return _open_ollama(workspace, spec.place)
    embedder = open_folder(spec)
    return ChosenEmbedder(embedder, embedder.identity(), remote=False)


def _open_ollama(workspace: Workspace, name: str) -> ChosenEmbedder:
    from innercouncil.app.backends import Backends
    from innercouncil.llm.embedders.ollama import OllamaEmbedder
    from innercouncil.store.database import Database

    workspace.prepare()
    database = Database(workspace.database)
    try:
        backends = Backends(database, workspace.root)
        spec = asyncio.run(backends.resolve(f"ollama:{name}"))
        backends.consented(spec)
        embedder = OllamaEmbedder(spec.name, url=backends.ollama.url)
        return ChosenEmbedder(embedder, embedder.identity(), remote=bool(spec.host))
    finally:
        database.close()


class _Wanted(NamedTuple):
    """Which texts are embedded: `keys` of m texts; `owners` (n,) is the row in `keys` of every message, -1 without words."""

    keys: list[bytes]
    owners: npt.NDArray[np.int_]


def embed_messages(workspace: Workspace, chosen: ChosenEmbedder, progress: Callable[[int, int], None]) -> None:
    """Write the block of all messages, row-aligned with all_messages.jsonl; what was embedded before is not again.

    Raises BackendError, UsageError, WorkspaceError.
    """
    wanted = _choose(workspace, chosen)
    with EmbeddingCache(workspace.embedding_cache, chosen.identity) as cache:
        _fill(workspace, chosen, wanted, cache, progress)
        vectors = cache.vectors(wanted.keys) if wanted.keys else np.zeros((0, 1), dtype=np.float32)
    with threadpool_limits(limits=1):
        block = reduce_vectors(vectors, wanted.owners)
    with writing(workspace.embeddings) as f:
        np.savez(f, block=block)


def load_block(workspace: Workspace) -> npt.NDArray[np.float32]:
    """What `embed_messages` wrote, (n, r)."""
    with np.load(workspace.embeddings, allow_pickle=False) as z:
        return np.asarray(z["block"], dtype=np.float32)


def load_evidence(workspace: Workspace, scores: Scores, *, embedded: bool) -> Evidence:
    """The evidence of all messages, with the embedder's block where the modes were found with one."""
    block = load_block(workspace) if embedded else None
    return build_evidence(scores.probabilities, scores.counts, scores.conversations.tolist(), embedding=block)


def _own_words(workspace: Workspace, chosen: ChosenEmbedder) -> Iterator[str]:
    """What of every message is embedded: its own words from the beginning, "" where it has none."""
    redactor = Redactor() if chosen.remote else None
    for message in read_messages(workspace.all_messages):
        text = message.voice
        if redactor is not None:  # before it is cut: half a key is not recognised
            text = redactor.redact(text, message.id)
        yield text[:TEXT_CHARS].strip()


def _choose(workspace: Workspace, chosen: ChosenEmbedder) -> _Wanted:
    """Near-duplicates share the vector of the first of them."""
    rows: dict[bytes, int] = {}
    keys: list[bytes] = []
    owners: list[int] = []
    for text in _own_words(workspace, chosen):
        if not text:
            owners.append(-1)
            continue
        row = rows.setdefault(near_key(text), len(keys))
        if row == len(keys):
            keys.append(_exact_key(text))
        owners.append(row)
    return _Wanted(keys, np.array(owners, dtype=np.int_))


def _exact_key(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()


def _fill(
    workspace: Workspace, chosen: ChosenEmbedder, wanted: _Wanted, cache: EmbeddingCache,
    progress: Callable[[int, int], None],
) -> None:  # fmt: skip
    """Embed what the cache does not hold; the texts are read once more rather than kept."""
    missing = set(wanted.keys) - cache.keys()
    done, total = len(wanted.keys) - len(missing), len(wanted.keys)
    batch: dict[bytes, str] = {}

    def flush() -> None:
        nonlocal done
        cache.keep(list(batch), chosen.embedder.embed(list(batch.values())))
        done += len(batch)
        batch.clear()
        progress(done, total)

    if not missing:
        return
    for text in _own_words(workspace, chosen):
        key = _exact_key(text)
        if key in missing:
            missing.remove(key)
            batch[key] = text
        if len(batch) == BATCH:
            flush()
    if batch:
        flush()
