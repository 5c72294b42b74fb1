"""Label messages offline: one small linear model a field, calibrated, each label with the spans that led to it."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from scipy import sparse

from innercouncil.discovery.label_features import (
    COUNT_NAMES,
    VIEWS,
    FeatureSpace,
    LabelInput,
    MessageFeatures,
    extract,
    lexicon_lists,
    word_places,
)
from innercouncil.discovery.markers import length_category
from innercouncil.model.conversation import Message
from innercouncil.model.errors import InnerCouncilError
from innercouncil.model.labels import Evidence, LabelledMessage

FIELDS: Final = ("topic_category", "act", "tone")
EVIDENCE_PER_FIELD: Final = 3
EVIDENCE_CHARS: Final = 4000
"""Spans are looked for in the beginning of a message."""

FloatArray = npt.NDArray[np.float32]


class LinearHead(NamedTuple):
    """One field's classifier: softmax((x @ weights + bias) / temperature) over `labels`."""

    labels: tuple[str, ...]
    weights: FloatArray
    """Shape (n_features, n_labels)."""
    bias: FloatArray
    temperature: float

    def logits(self, rows: sparse.csr_matrix) -> npt.NDArray[np.float64]:
        """Uncalibrated scores, shape (n, n_labels)."""
        return np.asarray(rows.astype(np.float64) @ self.weights.astype(np.float64) + self.bias, dtype=np.float64)

    def probabilities(self, logits: npt.NDArray[np.float64]) -> FloatArray:
        """Calibrated probabilities to five places, shape (n, n_labels).

        Rounded, because the last bits of vectorised arithmetic depend on where arrays happen to lie in memory.
        """
        scaled = logits / self.temperature
        scaled -= scaled.max(axis=1, keepdims=True)
        p = np.exp(scaled)
        return np.asarray(np.round(p / p.sum(axis=1, keepdims=True), 5), dtype=np.float32)


class Labelled(NamedTuple):
    """A batch of labelled messages and, row by row, what discovery works on."""

    messages: list[LabelledMessage]
    probabilities: dict[str, FloatArray]
    counts: FloatArray
    """Shape (n, len(COUNT_NAMES)): the readable counts."""


class Labeller:
    """The trained labeller; `load()` gives the one in the package.

    Trained by scripts/train_labeller.py on hand-made labels (docs/labelling.md).
    """

    def __init__(self, space: FeatureSpace, heads: Mapping[str, LinearHead], version: str) -> None:
        self.space = space
        self.heads = dict(heads)
        self.version = version

    def label(self, batch: Sequence[tuple[Message, str]]) -> Labelled:
        """Label messages given as `(message, history)`; rows come back in the same order.

        All messages of a conversation must be in the batch: they share their topic.
        """
        inputs = [label_input(m, history) for m, history in batch]
        features = [extract(item) for item in inputs]
        rows = self.space.transform(features)
        logits = {name: head.logits(rows) for name, head in self.heads.items()}
        logits["topic_category"] = share_topic(logits["topic_category"], [m.conversation_id for m, _ in batch])
        probabilities = {name: head.probabilities(logits[name]) for name, head in self.heads.items()}
        messages = [
            self._one(message, item, feature, {f: p[i] for f, p in probabilities.items()})
            for i, ((message, _), item, feature) in enumerate(zip(batch, inputs, features, strict=True))
        ]
        counts = np.array([f.counts for f in features], dtype=np.float32).reshape(len(features), len(COUNT_NAMES))
        return Labelled(messages, probabilities, counts)

    def _one(
        self, message: Message, item: LabelInput, feature: MessageFeatures, p: Mapping[str, FloatArray]
    ) -> LabelledMessage:
        chosen = {f: self.heads[f].labels[int(p[f].argmax())] for f in FIELDS}
        return LabelledMessage(
            id=message.id,
            conversation_id=message.conversation_id,
            title=message.title,
            position=message.position,
            time=message.time,
            branch=message.branch,
            language=message.language,
            source=message.source,
            text=message.text,
            context=message.context,
            reply=message.reply,
            voice=item.voice,
            pasted_chars=message.pasted_chars,
            attachments=message.attachments,
            topic_category=chosen["topic_category"],
            act=chosen["act"],
            tone=chosen["tone"],
            confidence={f: round(float(p[f].max()), 4) for f in FIELDS},
            reasoning_markers=dict(sorted(feature.markers.items())),
            question_types=tuple(sorted(feature.questions)),
            length_category=length_category(len(item.voice.split())),
            evidence=tuple(self._evidence(message, feature, chosen)),
        )

    def _evidence(self, message: Message, feature: MessageFeatures, chosen: Mapping[str, str]) -> Iterator[Evidence]:
        """The person's own words with the largest pull towards each chosen label, where they stand in the text."""
        text = message.text[:EVIDENCE_CHARS]
        for span in message.spans:
            if span.kind != "voice":
                text = text[: span.start] + " " * (min(span.end, len(text)) - span.start) + text[span.end :]
        low = text.lower()
        if len(low) != len(text):
            return
        vocabulary = self.space.vocabulary["w"]
        terms = [(t, vocabulary[t]) for t in feature.views["w"] if t in vocabulary and "?" not in t and "!" not in t]
        if not terms:
            return
        columns = np.array([j for _, j in terms])
        idf = self.space.idf[columns]
        places = word_places(low)
        for field, label in chosen.items():
            head = self.heads[field]
            pulls = head.weights[columns, head.labels.index(label)] * idf
            for i in np.argsort(-pulls, kind="stable")[:EVIDENCE_PER_FIELD].tolist():
                if pulls[i] <= 0:
                    break
                where = places.get(terms[i][0])
                # Two words with something pasted between them are no pair.
                if where and where[1] - where[0] <= len(terms[i][0]) + 4:
                    yield Evidence(field, label, where[0], where[1], round(float(pulls[i]), 3))

    def save(self) -> bytes:
        """The labeller as a compressed npz (no pickle), the same bytes for the same labeller."""
        arrays: dict[str, npt.NDArray[np.generic]] = {
            "idf": self.space.idf.astype(np.float16),
            "mean": self.space.mean,
            "scale": self.space.scale,
        }
        meta = {
            "version": self.version,
            "vocabulary": {v: list(self.space.vocabulary[v]) for v in VIEWS},
            "heads": {f: {"labels": h.labels, "temperature": h.temperature} for f, h in self.heads.items()},
        }
        arrays["meta"] = np.frombuffer(msgspec.json.encode(meta), dtype=np.uint8)
        for field, head in self.heads.items():
            arrays[f"weights_{field}"] = head.weights.astype(np.float16)
            arrays[f"bias_{field}"] = head.bias.astype(np.float32)
        out = io.BytesIO()
        np.savez_compressed(out, **arrays)  # type: ignore[arg-type]
        return out.getvalue()

    @classmethod
    def restore(cls, data: bytes) -> Labeller:
        """The labeller that `save` wrote. Raises InnerCouncilError where it knows other counts than are made now."""
        with np.load(io.BytesIO(data), allow_pickle=False) as z:
            meta = msgspec.json.decode(z["meta"].tobytes())
            vocabulary: dict[str, dict[str, int]] = {}
            at = 0
            for view in VIEWS:
                terms = meta["vocabulary"][view]
                vocabulary[view] = {t: at + i for i, t in enumerate(terms)}
                at += len(terms)
            lists = [name for name, _, _ in lexicon_lists()]
            counted = len(COUNT_NAMES) + len(lists) + sum(name.startswith("topic_") for name in lists)
            if len(z["mean"]) != counted:
                raise InnerCouncilError(
                    f"The labeller was trained on {len(z['mean'])} counts of a message, but {counted} are made now; take the change"
                    " of label_features.py, markers.py or lexicon.toml back, or train it again with scripts/train_labeller.py."
                )
            space = FeatureSpace(vocabulary, z["idf"].astype(np.float32), z["mean"], z["scale"])
            heads = {
                f: LinearHead(
                    tuple(h["labels"]), z[f"weights_{f}"].astype(np.float32), z[f"bias_{f}"], float(h["temperature"])
                )
                for f, h in meta["heads"].items()
            }
        return cls(space, heads, meta["version"])

    @classmethod
    @cache
    def load(cls) -> Labeller:
        """The labeller shipped with the package."""
        return cls.restore(resources.files("innercouncil.discovery").joinpath("weights/labeller.npz").read_bytes())


def share_topic(logits: npt.NDArray[Any], conversations: Sequence[str]) -> npt.NDArray[Any]:
    """Add to each message's topic scores the mean of the other messages of its conversation: topics last, acts change."""
    groups: dict[str, list[int]] = {}
    for i, conversation in enumerate(conversations):
        groups.setdefault(conversation, []).append(i)
    shared = logits.copy()
    for rows in groups.values():
        if len(rows) > 1:
            shared[rows] += (logits[rows].sum(axis=0) - logits[rows]) / (len(rows) - 1)
    return shared


def label_input(message: Message, history: str) -> LabelInput:
    """What the labeller looks at of a message."""
    pasted = "\n".join(message.text[s.start : s.start + 2000] for s in message.spans if s.kind != "voice")
    return LabelInput(message.voice, pasted, message.context, message.reply, history, message.position)


def with_history(messages: Sequence[Message], *, chars: int = 700) -> list[tuple[Message, str]]:
    """Pair each message of a stream with its title and the person's earlier words in the conversation, newest first.

    Messages of one conversation must follow each other.
    """
    out: list[tuple[Message, str]] = []
    earlier: list[str] = []
    current: str | None = None
    for message in messages:
        if message.conversation_id != current:
            current, earlier = message.conversation_id, []
        out.append((message, "\n".join([*reversed(earlier[-4:]), message.title])[:chars]))
        earlier.append(message.voice[:300])
    return out
