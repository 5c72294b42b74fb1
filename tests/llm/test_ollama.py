"""Ollama's own: what is sent, what it says about its models, downloads."""

from __future__ import annotations

import socket
from typing import Any

import msgspec
import pytest
from wire_server import (
    CUT,
    HANG,
    OLLAMA,
    QUESTION,
    REQUEST,
    SCHEMA,
    Answer,
    Naps,
    WireServer,
    ask,
    failure,
    line,
    run,
)

from innercouncil.llm.ollama import LoadedModel, Ollama, OllamaModel, OllamaModelInfo, PullProgress, default_url
from innercouncil.model.errors import (
    BackendBusyError,
    BackendError,
    BackendGarbageError,
    BackendUnreachableError,
    ModelMissingError,
)

TAGS = {
    "models": [
        {
            "name": "qwen2.5:7b", "model": "qwen2.5:7b", "size": 4683087332, "digest": "845d", "extra": [1],
            "details": {"format": "gguf", "family": "qwen2", "families": None, "parameter_size": "7.6B",
                        "quantization_level": "Q4_K_M"},
        },
        {"name": "gpt-oss:120b-cloud", "size": 384, "remote_host": "https://ollama.com:443", "details": None},
    ]
}  # fmt: skip


def test_what_is_sent() -> None:
    with WireServer(OLLAMA.answer("Yes")) as server:
        model = OllamaModel("qwen2.5:3b", url=server.url, num_ctx=8192, keep_alive="30m")
        ask(model)
        ask(model, msgspec.structs.replace(REQUEST, schema=SCHEMA))
    plain, shaped = server.requests
    assert (plain.method, plain.path) == ("POST", "/api/chat")
    assert plain.headers["content-type"] == "application/json"
    assert "authorization" not in plain.headers
    assert plain.body == {
        "model": "qwen2.5:3b",
        "messages": [{"role": "system", "content": "You are the planner."}, {"role": "user", "content": QUESTION}],
        "stream": True,
        "keep_alive": "30m",
        "options": {"num_ctx": 8192, "temperature": 0.5, "seed": 7, "num_predict": 64},
        "truncate": False,
        "shift": False,
    }
    assert shaped.body == plain.body | {"format": SCHEMA}


def test_thoughts_are_no_answer() -> None:
    thought = line({"message": {"role": "assistant", "content": "", "thinking": "hm"}, "done": False})
    with WireServer(OLLAMA.stream(thought, OLLAMA.text("Yes"), OLLAMA.end())) as server:
        assert ask(OLLAMA.model(server.url)).text == "Yes"


def test_words_in_the_last_line_count() -> None:
    last = line({"message": {"content": "Yes"}, "done": True, "done_reason": "stop"})
    with WireServer(OLLAMA.stream(last.rstrip(b"\n"))) as server:
        reply = ask(OLLAMA.model(server.url))
    assert (reply.text, reply.usage) == ("Yes", None)


def test_a_model_that_was_only_loaded_is_asked_again() -> None:
    naps = Naps()
    with WireServer(OLLAMA.answer(finish="load"), OLLAMA.answer("Yes")) as server:
        assert ask(OLLAMA.model(server.url, sleep=naps)).text == "Yes"
    assert len(naps.seconds) == 1
    with WireServer(OLLAMA.answer(finish="load")) as server, pytest.raises(BackendBusyError, match="loaded"):
        ask(OLLAMA.model(server.url, sleep=naps))


def test_a_missing_model_says_how_to_get_it() -> None:
    with (
        WireServer(failure(404, {"error": "model 'qwen2.5:3b' not found"})) as server,
        pytest.raises(ModelMissingError, match=r"not found; fetch it with `innercouncil models pull qwen2\.5:3b`\."),
    ):
        ask(OLLAMA.model(server.url))


@pytest.mark.parametrize(
    ("name", "remote"), [("qwen2.5:3b", False), ("gpt-oss:120b-cloud", True), ("glm-4.6:cloud", True)]
)
def test_cloud_models_leave_this_machine(name: str, remote: bool) -> None:
    assert OllamaModel(name).is_remote is remote


def test_version() -> None:
    with WireServer(Answer([b'{"version":"0.12.6"}'])) as server:
        assert run(Ollama(server.url).version()) == "0.12.6"
        assert server.requests[0].path == "/api/version"


@pytest.mark.parametrize(
    "answer", [failure(404, "no"), Answer([b"<html>"]), Answer([b"[]"]), Answer([CUT]), Answer([b"{}"])]
)
def test_no_version_where_something_else_listens(answer: Answer) -> None:
    with WireServer(answer) as server:
        assert run(Ollama(server.url).version()) is None


def test_no_version_where_nothing_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        naps = Naps()
        ollama = Ollama(f"http://127.0.0.1:{taken.getsockname()[1]}", sleep=naps)
        assert run(ollama.version()) is None
        assert naps.seconds == []
        with pytest.raises(BackendUnreachableError, match="start it"):
            run(ollama.models())


def test_models() -> None:
    with WireServer(Answer([line(TAGS)])) as server:
        found = run(Ollama(server.url).models())
        assert server.requests[0].path == "/api/tags"
    assert found == [
        OllamaModelInfo("gpt-oss:120b-cloud", 384, "", "", "", "https://ollama.com:443"),
        OllamaModelInfo("qwen2.5:7b", 4683087332, "7.6B", "Q4_K_M", "qwen2", digest="845d"),
    ]


@pytest.mark.parametrize("data", [b'{"models": null}', b'{"models": []}'])
def test_no_models(data: bytes) -> None:
    with WireServer(Answer([data])) as server:
        assert run(Ollama(server.url).models()) == []


@pytest.mark.parametrize("data", [b"[]", b"<html>", b'{"models": [{"size": 1}]}', b"\xff", b""])
def test_a_list_that_is_none(data: bytes) -> None:
    with WireServer(Answer([data] if data else [])) as server, pytest.raises(BackendGarbageError, match="OLLAMA_HOST"):
        run(Ollama(server.url).models())


def test_loaded() -> None:
    model = {"name": "mistral:latest", "size": 5137025024, "size_vram": 4000, "context_length": 4096, "expires_at": "x"}
    with WireServer(Answer([line({"models": [model]})])) as server:
        assert run(Ollama(server.url).loaded()) == [LoadedModel("mistral:latest", 5137025024, 4000, 4096)]
        assert server.requests[0].path == "/api/ps"


async def _pull(ollama: Ollama, seen: list[PullProgress]) -> None:
    async for progress in ollama.pull("qwen2.5:3b"):
        seen.append(progress)


def _steps(*steps: dict[str, Any]) -> Answer:
    return OLLAMA.stream(*map(line, steps))


def test_pull() -> None:
    seen: list[PullProgress] = []
    answer = _steps(
        {"status": "pulling manifest"}, {"status": "pulling 5ee", "digest": "sha256:5ee", "total": 100},
        {"status": "pulling 5ee", "digest": "sha256:5ee", "total": 100, "completed": 60}, {"status": "success"},
    )  # fmt: skip
    with WireServer(answer) as server:
        run(_pull(Ollama(server.url), seen))
    assert server.requests[0].body == {"model": "qwen2.5:3b", "stream": True}
    assert seen == [
        PullProgress("pulling manifest", "", 0, 0), PullProgress("pulling 5ee", "sha256:5ee", 0, 100),
        PullProgress("pulling 5ee", "sha256:5ee", 60, 100), PullProgress("success", "", 0, 0),
    ]  # fmt: skip


def test_a_pull_that_fails() -> None:
    seen: list[PullProgress] = []
    answer = _steps({"status": "pulling manifest"}, {"error": "pull model manifest: file does not exist"})
    with WireServer(answer) as server, pytest.raises(BackendError, match="file does not exist"):
        run(_pull(Ollama(server.url), seen))
    assert [p.status for p in seen] == ["pulling manifest"]


def test_a_pull_that_breaks_off() -> None:
    with (
        WireServer(_steps({"status": "pulling manifest"})) as server,
        pytest.raises(BackendGarbageError, match="before it was complete"),
    ):
        run(_pull(Ollama(server.url), []))


def test_leaving_a_pull_stops_it() -> None:
    async def leave(url: str) -> None:
        pull = Ollama(url).pull("qwen2.5:3b")
        await anext(pull)
        await pull.aclose()

    with WireServer(OLLAMA.stream(line({"status": "pulling manifest"}), HANG)) as server:
        run(leave(server.url))
        assert server.left.wait(10)


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("", "http://127.0.0.1:11434"), ("0.0.0.0", "http://127.0.0.1:11434"), ("box", "http://box:11434"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080"), (":8080", "http://127.0.0.1:8080"), ("box:80", "http://box:80"),
        ("http://box", "http://box:80"), ("https://box", "https://box:443"), ("https://box:1/", "https://box:1"),
        ("https://box/ollama/", "https://box:443/ollama"), (" 'box:5' ", "http://box:5"),
        ("[::1]", "http://[::1]:11434"),
        ("::", "http://[::1]:11434"), ("[::]:99", "http://[::1]:99"), ("fe80::1", "http://[fe80::1]:11434"),
        ("box:seven", "http://box:11434"), ("box:99999", "http://box:11434"), ("[broken", "http://127.0.0.1:11434"),
        ("ftp://box", "http://box:11434"),
    ],
)  # fmt: skip
def test_ollama_host(value: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", value)
    assert default_url() == url
    assert Ollama().url == url


def test_no_ollama_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OLLAMA_HOST", raising=False)
    assert Ollama().url == "http://127.0.0.1:11434"


def test_the_server_itself_can_be_closed_and_shown() -> None:
    ollama = Ollama("http://192.0.2.7:11434")
    assert ollama.is_remote and "192.0.2.7" in repr(ollama)
    run(ollama.aclose())


def test_a_cloud_model_without_an_account() -> None:
    with (
        WireServer(failure(401, {"error": "unauthorized"})) as server,
        pytest.raises(BackendError, match="ollama signin"),
    ):
        ask(OLLAMA.model(server.url))
