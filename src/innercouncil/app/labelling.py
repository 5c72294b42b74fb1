"""The label stage: messages in, categorized messages and score arrays out, in one or several processes."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from innercouncil.discovery.label_features import COUNT_NAMES
from innercouncil.discovery.labeller import Labeller, with_history
from innercouncil.model.conversation import Message
from innercouncil.model.labels import LabelledMessage
from innercouncil.store.workspace import writing

FloatArray = npt.NDArray[np.float32]


class Scores(NamedTuple):
    """Row-aligned arrays of all messages."""

    ids: list[str]
    conversations: npt.NDArray[np.int32]
    probabilities: dict[str, FloatArray]
    counts: FloatArray
    labels: dict[str, list[str]]
    """`topic`, `act`, `tone` -> the label of each message."""
    languages: list[str]


class _Batch(NamedTuple):
    lines: bytes
    ids: list[str]
    conversation_ids: list[str]
    probabilities: dict[str, FloatArray]
    counts: FloatArray
    labels: dict[str, list[str]]
    languages: list[str]


def read_messages(path: Path) -> Iterator[Message]:
    """The messages of all_messages.jsonl, in order."""
    decoder = msgspec.json.Decoder(Message)
    with path.open("rb") as f:
        for line in f:
            yield decoder.decode(line)


def read_labelled(path: Path) -> Iterator[LabelledMessage]:
    """The messages of categorized_messages.jsonl, in order."""
    decoder = msgspec.json.Decoder(LabelledMessage)
    with path.open("rb") as f:
        for line in f:
            yield decoder.decode(line)


def label_file(
    source: Path, target: Path, scores: Path, *, workers: int, batch: int, total: int,
    progress: Callable[[int, int], None],
) -> None:  # fmt: skip
    """Label every message of `source` into `target` (JSONL) and `scores` (npz). The bytes do not depend on `workers`."""
    parts: list[_Batch] = []
    done = 0
    workers = workers if total > 2 * batch else 1
    with writing(target) as out, contextlib.closing(_labelled_batches(source, workers, batch)) as batches:
        for part in batches:
            out.write(part.lines)
            parts.append(part._replace(lines=b""))
            done += len(part.ids)
            progress(done, total)
    with writing(scores) as f:
        _save_scores(f, parts)
    progress(total, total)


def save_merged(target: Path, path: Path, messages: Sequence[LabelledMessage], scores: Scores) -> None:
    """Write messages and their scores again, with other labels."""
    encoder = msgspec.json.Encoder()
    with writing(target) as out:
        for message in messages:
            out.write(encoder.encode(message) + b"\n")
    codes = [str(c) for c in scores.conversations.tolist()]
    labels = {
        "topic": [m.topic_category for m in messages], "act": [m.act for m in messages], "tone": [m.tone for m in messages],
    }  # fmt: skip
    probabilities: dict[str, Any] = {f: p.astype(np.float16) for f, p in scores.probabilities.items()}
    with writing(path) as f:
        _save_scores(f, [_Batch(b"", scores.ids, codes, probabilities, scores.counts, labels, scores.languages)])


def load_scores(path: Path) -> Scores:
    """What `label_file` wrote beside the messages."""
    with np.load(path, allow_pickle=False) as z:
        meta = msgspec.json.decode(z["meta"].tobytes())
        probabilities = {name[2:]: z[name].astype(np.float32) for name in z.files if name.startswith("p_")}
        return Scores(
            meta["ids"],
            z["conversations"],
            probabilities,
            z["counts"].astype(np.float32),
            meta["labels"],
            meta["languages"],
        )


def _batches(source: Path, size: int) -> Iterator[list[Message]]:
    """Whole conversations, at least `size` messages at a time."""
    pending: list[Message] = []
    for message in read_messages(source):
        if len(pending) >= size and message.conversation_id != pending[-1].conversation_id:
            yield pending
            pending = []
        pending.append(message)
    if pending:
        yield pending


def _label_batch(data: bytes) -> _Batch:
    """Label one encoded batch (runs in a worker process)."""
    messages = msgspec.msgpack.decode(data, type=list[Message])
    labelled = Labeller.load().label(with_history(messages))
    encoder = msgspec.json.Encoder()
    return _Batch(
        b"".join(encoder.encode(m) + b"\n" for m in labelled.messages),
        [m.id for m in messages],
        [m.conversation_id for m in messages],
        {f: p.astype(np.float16) for f, p in labelled.probabilities.items()},
        labelled.counts,
        {
            "topic": [m.topic_category for m in labelled.messages],
            "act": [m.act for m in labelled.messages],
            "tone": [m.tone for m in labelled.messages],
        },
        [m.language or "" for m in messages],
    )


def _labelled_batches(source: Path, workers: int, size: int) -> Generator[_Batch]:
    encoded = (msgspec.msgpack.encode(b) for b in _batches(source, size))
    if workers == 1:
        yield from map(_label_batch, encoded)
        return
    context = multiprocessing.get_context("spawn")
    # Ctrl-C in a terminal reaches the workers too; they end with the pool, and say nothing.
    with ProcessPoolExecutor(
        workers, mp_context=context, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)
    ) as pool:
        waiting: list[Future[_Batch]] = []
        try:
            for data in encoded:
                waiting.append(pool.submit(_label_batch, data))
                if len(waiting) >= 2 * workers:
                    yield waiting.pop(0).result()
            for future in waiting:
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _save_scores(f: IO[bytes], parts: Sequence[_Batch]) -> None:
    names: dict[str, int] = {}
    codes = [names.setdefault(c, len(names)) for p in parts for c in p.conversation_ids]
    meta = {
        "ids": [i for p in parts for i in p.ids],
        "labels": {f: [v for p in parts for v in p.labels[f]] for f in ("topic", "act", "tone")},
        "languages": [v for p in parts for v in p.languages],
    }
    arrays: dict[str, npt.NDArray[Any]] = {
        "conversations": np.array(codes, dtype=np.int32),
        "counts": np.concatenate([p.counts for p in parts]) if parts else np.zeros((0, len(COUNT_NAMES)), np.float32),
        "meta": np.frombuffer(msgspec.json.encode(meta), dtype=np.uint8),
    }
    for field in parts[0].probabilities if parts else ():
        arrays[f"p_{field}"] = np.concatenate([p.probabilities[field] for p in parts])
    np.savez(f, **arrays)  # type: ignore[arg-type]
