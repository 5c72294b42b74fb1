"""Embeddings at Ollama: what is sent, what is believed of the answer, and what a person is told."""

from __future__ import annotations

import json
import socket

import numpy as np
import pytest

from embed_server import MODEL, EmbedServer, vector
from innercouncil.llm.embedders.ollama import BATCH, OllamaEmbedder
from innercouncil.model.errors import (
    BackendBusyError,
    BackendError,
    BackendGarbageError,
    BackendRejectedError,
    BackendUnreachableError,
    ModelMissingError,
)
from innercouncil.model.ports import Embedder
from llm.wire_server import CUT, Answer, Naps, WireServer, failure

SECRET = "my sister moves to the coast with her dog"


def answer(*vectors: object) -> Answer:
    return Answer([json.dumps({"model": MODEL, "embeddings": vectors}).encode()])


def embedder(server: WireServer) -> OllamaEmbedder:
    return OllamaEmbedder(MODEL, url=server.url, sleep=Naps())


def test_what_is_sent_and_what_comes_back() -> None:
    texts = [f"text {n} ü" for n in range(BATCH + 2)]
    told: list[tuple[int, int]] = []
    with EmbedServer() as server:
        model = embedder(server)
        assert isinstance(model, Embedder)
        found = model.embed(texts, lambda done, total: told.append((done, total)))
    first, second = server.requests
    assert (first.method, first.path) == ("POST", "/api/embed")
    assert first.body == {"model": MODEL, "input": texts[:BATCH], "truncate": True, "keep_alive": "10m"}
    assert second.body["input"] == texts[BATCH:]
    assert told == [(BATCH, BATCH + 2), (BATCH + 2, BATCH + 2)]
    expected = np.array([vector(t) for t in texts])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_identity_is_the_digest_ollama_gives() -> None:
    with EmbedServer(digest="abc") as server:
        assert embedder(server).identity() == f"ollama:{MODEL}:abc"
        with pytest.raises(ModelMissingError, match="innercouncil models pull other"):
            OllamaEmbedder("other", url=server.url).identity()


@pytest.mark.parametrize(
    "broken",
    [
        answer(), answer([1.0, 2.0]), answer([1.0, 2.0], [1.0], [2.0]), answer([1.0, 2.0], [1.0]), answer([], []),
        answer([1.0, None], [1.0, 2.0]), answer(["a", "b"], ["c", "d"]), answer([1e999, 1.0], [1.0, 1.0]), answer(1.0, 2.0),
        Answer([b'{"embeddings": [[NaN, 1.0], [1.0, 1.0]]}']), Answer([b"{}"]), Answer([b"[]"]),
        Answer([b"<html>"]), Answer([b'{"embeddings": [[1.0, 2.0], [1.']), Answer([b"\xff\xfe"]), Answer([b""]),
        Answer([b'{"embedding": [1.0, 2.0]}']),
    ],
)  # fmt: skip
def test_an_answer_that_is_not_a_vector_a_text_is_not_believed(broken: Answer) -> None:
    with WireServer(broken) as server, pytest.raises(BackendGarbageError) as told:
        embedder(server).embed([SECRET, "two"])
    assert "tiny-embed" in str(told.value)
    assert "sister" not in str(told.value)
    assert "\n" not in str(told.value)


def test_vectors_of_another_length_in_a_later_answer_are_not_believed() -> None:
    with WireServer(answer([1.0, 2.0]), answer([1.0, 2.0, 3.0])) as server:
        model = embedder(server)
        model.embed(["one"])
        with pytest.raises(BackendGarbageError, match="different lengths"):
            model.embed(["two"])


def test_a_missing_model_says_how_to_get_it() -> None:
    with (
        EmbedServer() as server,
        pytest.raises(ModelMissingError, match=r"fetch it with `innercouncil models pull gone`"),
    ):
        OllamaEmbedder("gone", url=server.url).embed(["one"])


def test_a_model_that_cannot_embed_is_told_and_no_text_is_repeated() -> None:
    refusal = failure(400, {"error": f"this model does not support embeddings: {SECRET}"})
    with (
        WireServer(refusal) as server,
        pytest.raises(BackendRejectedError, match="does not support embeddings") as told,
    ):
        embedder(server).embed([SECRET])
    assert "sister" not in str(told.value)


def test_a_busy_server_is_asked_again_and_one_that_stays_busy_is_told() -> None:
    busy = failure(503, {"error": "server busy"})
    with WireServer(busy, answer([3.0, 4.0])) as server:
        np.testing.assert_allclose(embedder(server).embed(["one"]), [[0.6, 0.8]], atol=1e-6)
    with WireServer(busy) as server, pytest.raises(BackendBusyError):
        embedder(server).embed(["one"])
    assert len(server.requests) == 3


def test_a_connection_that_breaks_is_told() -> None:
    with WireServer(Answer([b'{"embeddings": [[1.0', CUT])) as server, pytest.raises(BackendError):
        embedder(server).embed(["one"])


def test_where_nothing_listens_it_says_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        model = OllamaEmbedder(MODEL, url=f"http://127.0.0.1:{taken.getsockname()[1]}", sleep=Naps())
        for ask in (model.identity, lambda: model.embed(["one"])):
            with pytest.raises(BackendUnreachableError, match="start it"):
                ask()
