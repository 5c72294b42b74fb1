"""Everything that goes wrong between a model and us, for each wire format."""

from __future__ import annotations

import asyncio
import json
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from wire_server import (
    CUT,
    DIALECTS,
    HANG,
    KEY,
    OLLAMA,
    QUESTION,
    REQUEST,
    Answer,
    Dialect,
    Naps,
    WireServer,
    ask,
    ask_each,
    event,
    failure,
    gather_until_error,
    line,
    run,
)

from innercouncil.llm.complaints import MAX_WORDS, Complaint, clean, read_complaint, redact
from innercouncil.llm.http import MAX_LINE, Server
from innercouncil.model.errors import (
    BackendBusyError,
    BackendError,
    BackendGarbageError,
    BackendRejectedError,
    BackendStalledError,
    BackendUnreachableError,
    InnerCouncilError,
    ModelMissingError,
)
from innercouncil.model.ports import ChatModel, Usage

each_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)


def test_models_fit_the_port() -> None:
    for dialect in DIALECTS:
        assert isinstance(dialect.model("http://127.0.0.1:1"), ChatModel)


@each_dialect
def test_an_answer_comes_whole_and_is_counted(dialect: Dialect) -> None:
    with WireServer(dialect.answer("Yes, ", "møve — 海.")) as server:
        reply = ask(dialect.model(server.url))
    assert (reply.text, reply.finish, reply.usage) == ("Yes, møve — 海.", "stop", Usage(11, 5))


@each_dialect
def test_a_cut_answer_says_so(dialect: Dialect) -> None:
    with WireServer(dialect.answer("Yes", finish="length")) as server:
        assert ask(dialect.model(server.url)).finish == "length"


@each_dialect
def test_an_empty_answer_is_an_answer(dialect: Dialect) -> None:
    with WireServer(dialect.answer()) as server:
        reply = ask(dialect.model(server.url))
    assert (reply.text, reply.finish) == ("", "stop")


@each_dialect
def test_letters_may_be_split_anywhere(dialect: Dialect) -> None:
    whole = dialect.text("海é😀") + dialect.end()
    with WireServer(dialect.stream(*(whole[i : i + 1] for i in range(len(whole))))) as server:
        assert ask(dialect.model(server.url)).text == "海é😀"


@each_dialect
def test_carriage_returns_end_lines_too(dialect: Dialect) -> None:
    with WireServer(dialect.stream(dialect.text("a").replace(b"\n", b"\r\n"), dialect.end())) as server:
        assert ask(dialect.model(server.url)).text == "a"


@each_dialect
def test_bytes_that_are_no_text_spoil_only_themselves(dialect: Dialect) -> None:
    with WireServer(dialect.stream(dialect.text("a#b").replace(b"#", b"\xff"), dialect.end())) as server:
        assert ask(dialect.model(server.url)).text == "a\ufffdb"


@each_dialect
def test_silence_before_the_first_word(dialect: Dialect) -> None:
    with WireServer(Answer([HANG], status=0)) as server:
        model = dialect.model(server.url, first_token_s=0.2)
        with pytest.raises(BackendStalledError, match=rf"{model.name}.* 0\.2 seconds"):
            ask(model)
        assert len(server.requests) == 1


@each_dialect
def test_silence_between_headers_and_the_first_word(dialect: Dialect) -> None:
    with WireServer(dialect.stream(HANG)) as server, pytest.raises(BackendStalledError, match=r"0\.2 seconds"):
        ask(dialect.model(server.url, first_token_s=0.2))


@each_dialect
def test_silence_in_the_middle_keeps_what_came(dialect: Dialect) -> None:
    with WireServer(dialect.stream(dialect.text("Well"), HANG)) as server:
        chunks, error = run(gather_until_error(dialect.model(server.url, stall_s=0.2)))
        assert server.left.wait(10)
    assert "".join(c.text for c in chunks) == "Well"
    assert isinstance(error, BackendStalledError) and "0.2 seconds" in str(error)
    assert len(server.requests) == 1


@each_dialect
def test_a_connection_that_breaks_in_the_middle(dialect: Dialect) -> None:
    with WireServer(dialect.stream(dialect.text("Well"), CUT)) as server:
        chunks, error = run(gather_until_error(dialect.model(server.url)))
    assert "".join(c.text for c in chunks) == "Well"
    assert isinstance(error, BackendGarbageError)
    assert len(server.requests) == 1


@each_dialect
def test_a_connection_that_breaks_before_the_first_word_is_tried_again(dialect: Dialect) -> None:
    naps = Naps()
    with WireServer(Answer([CUT]), dialect.stream(CUT), dialect.answer("Yes")) as server:
        assert ask(dialect.model(server.url, sleep=naps)).text == "Yes"
    assert len(server.requests) == 3
    assert len(naps.seconds) == 2 and all(0 < s < 3 for s in naps.seconds)


@each_dialect
def test_an_answer_without_an_end_is_not_whole(dialect: Dialect) -> None:
    with WireServer(dialect.stream(dialect.text("Well"))) as server:
        chunks, error = run(gather_until_error(dialect.model(server.url)))
    assert "".join(c.text for c in chunks) == "Well"
    assert isinstance(error, BackendGarbageError)


@each_dialect
@pytest.mark.parametrize("damage", [b"{not json", b"[1, 2]", b'"text"', b"{}" * 9, b"[" * 100_000])
def test_a_damaged_line(dialect: Dialect, damage: bytes) -> None:
    prefix = b"" if dialect is OLLAMA else b"data: "
    with WireServer(dialect.stream(dialect.text("Well"), prefix + damage + b"\n\n")) as server:
        _, error = run(gather_until_error(dialect.model(server.url)))
    assert isinstance(error, BackendGarbageError) and "JSON" in str(error)


@each_dialect
@pytest.mark.parametrize(
    "odd",
    [
        {}, {"choices": None}, {"choices": [None]}, {"choices": [{"index": 0, "delta": None}]}, {"message": 3},
        {"message": {"content": 5}}, {"type": "content_block_delta", "delta": []},
        {"type": "message_delta", "delta": 1},
        {"type": "message_start", "message": None}, {"type": "ping"}, {"usage": 7}, {"done": "yes"},
        {"choices": [{"index": 0, "delta": {"content": ["x"]}, "finish_reason": 4}]}, {"unknown": {"a": [1]}},
    ],
)  # fmt: skip
def test_odd_objects_are_passed_over(dialect: Dialect, odd: dict[str, object]) -> None:
    strange = line(odd) if dialect is OLLAMA else event(odd)
    with WireServer(dialect.stream(strange, dialect.text("ok"), strange, dialect.end())) as server:
        assert ask(dialect.model(server.url)).text == "ok"


@each_dialect
def test_a_line_that_does_not_end(dialect: Dialect) -> None:
    with (
        WireServer(dialect.stream(*[b"x" * 2**20] * (MAX_LINE // 2**20 + 2))) as server,
        pytest.raises(BackendGarbageError, match="longer than 8 MB"),
    ):
        ask(dialect.model(server.url))


@each_dialect
def test_a_long_line_within_bounds(dialect: Dialect) -> None:
    with WireServer(dialect.answer("y" * 2**20)) as server:
        assert len(ask(dialect.model(server.url)).text) == 2**20


@each_dialect
def test_an_error_told_in_the_middle(dialect: Dialect) -> None:
    with WireServer(
        dialect.stream(dialect.text("Well"), dialect.error(f"runner died\x1b[31m on {QUESTION}"))
    ) as server:
        chunks, error = run(gather_until_error(dialect.model(server.url)))
    assert "".join(c.text for c in chunks) == "Well"
    assert isinstance(error, BackendError) and "runner died [31m on …" in str(error)
    assert len(server.requests) == 1


@each_dialect
def test_a_busy_server_is_tried_again_when_it_says(dialect: Dialect) -> None:
    naps = Naps()
    busy = failure(429, {"error": {"message": "slow down"}}, retry_after="7")
    with WireServer(busy, dialect.answer("Yes")) as server:
        assert ask(dialect.model(server.url, sleep=naps)).text == "Yes"
    assert len(server.requests) == 2
    assert len(naps.seconds) == 1 and 7 <= naps.seconds[0] < 8


def test_a_date_in_retry_after() -> None:
    naps = Naps()
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    with WireServer(failure(503, "", retry_after=soon), OLLAMA.answer("Yes")) as server:
        ask(OLLAMA.model(server.url, sleep=naps))
    assert 20 < naps.seconds[0] <= 40


@pytest.mark.parametrize("value", ["soon", "-5", "nan", "1e99", ""])
def test_a_senseless_retry_after(value: str) -> None:
    naps = Naps()
    with WireServer(failure(503, "", retry_after=value), OLLAMA.answer("Yes")) as server:
        assert ask(OLLAMA.model(server.url, sleep=naps)).text == "Yes"
    assert 0 < naps.seconds[0] < 3


def test_a_wait_that_is_too_long_is_left_to_the_person() -> None:
    naps = Naps()
    with (
        WireServer(failure(429, {"error": "quota"}, retry_after="3600")) as server,
        pytest.raises(BackendBusyError, match="3600 seconds"),
    ):
        ask(OLLAMA.model(server.url, sleep=naps))
    assert naps.seconds == [] and len(server.requests) == 1


@each_dialect
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 529])
def test_a_server_that_stays_busy(dialect: Dialect, status: int) -> None:
    naps = Naps()
    with (
        WireServer(failure(status, {"error": {"message": "server is overloaded"}})) as server,
        pytest.raises(BackendBusyError, match="server is overloaded") as caught,
    ):
        ask(dialect.model(server.url, sleep=naps))
    assert caught.value.retryable
    assert len(server.requests) == 3
    assert naps.seconds[1] > 0


@each_dialect
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, BackendRejectedError), (400, BackendRejectedError), (401, BackendRejectedError),
        (403, BackendRejectedError), (404, ModelMissingError), (413, BackendRejectedError), (501, BackendRejectedError),
    ],
)  # fmt: skip
def test_what_no_second_try_helps(dialect: Dialect, status: int, kind: type[BackendError]) -> None:
    naps = Naps()
    with (
        WireServer(failure(status, {"error": {"message": "no"}}, location="http://192.0.2.1/")) as server,
        pytest.raises(kind) as caught,
    ):
        ask(dialect.model(server.url, sleep=naps))
    assert len(server.requests) == 1 and naps.seconds == []
    assert not caught.value.retryable
    assert str(caught.value).endswith(".")


def test_too_little_memory_is_not_tried_again() -> None:
    words = "model requires more system memory (5.6 GiB) than is available (3.1 GiB)"
    for answer in (failure(500, {"error": words}), OLLAMA.stream(OLLAMA.error(words))):
        with WireServer(answer) as server, pytest.raises(BackendRejectedError, match=r"5\.6 GiB.*smaller model"):
            ask(OLLAMA.model(server.url, sleep=Naps()))
        assert len(server.requests) == 1


@each_dialect
def test_nothing_listens(dialect: Dialect) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: refuses
        naps = Naps()
        with pytest.raises(BackendUnreachableError):
            ask(dialect.model(f"http://127.0.0.1:{taken.getsockname()[1]}", sleep=naps))
    assert len(naps.seconds) == 2


@each_dialect
@pytest.mark.parametrize("status", [200, 400, 401, 404, 418, 429, 500])
def test_errors_tell_no_secrets(dialect: Dialect, status: int) -> None:
    key = "" if dialect is OLLAMA else KEY  # Ollama has none
    echo = f"bad key {key} in {{'content': '{QUESTION}'}} after {QUESTION[10:40]}"
    for body in ({"error": {"message": echo}}, {"error": echo}, {"detail": [{"msg": "no", "input": echo}]}, echo):
        with WireServer(failure(status, body)) as server, pytest.raises(InnerCouncilError) as caught:
            ask(dialect.model(server.url, sleep=Naps()))
        said = str(caught.value) + repr(caught.value)
        assert KEY not in said and "sister" not in said and "coast" not in said
    assert KEY not in repr(dialect.model(server.url)) and KEY not in str(dialect.model(server.url))


@each_dialect
@pytest.mark.parametrize(
    "body", ["<html><h1>Bad gateway</h1></html>", "", "\x00\x1b]0;title\x07", "word " * 50_000, "[1]"]
)
def test_errors_in_odd_shapes_stay_short(dialect: Dialect, body: str) -> None:
    with WireServer(failure(400, body)) as server, pytest.raises(BackendRejectedError) as caught:
        ask(dialect.model(server.url))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < MAX_WORDS + 200
    assert "<html>" not in str(caught.value)


@each_dialect
def test_leaving_closes_the_connection(dialect: Dialect) -> None:
    async def leave(url: str) -> str:
        stream = dialect.model(url).stream(REQUEST)
        async for chunk in stream:
            if chunk.text:
                break
        await stream.aclose()
        return chunk.text

    with WireServer(dialect.stream(dialect.text("Well"), HANG)) as server:
        assert run(leave(server.url)) == "Well"
        assert server.left.wait(10)


@each_dialect
@pytest.mark.parametrize("steps", [0, 1])
def test_cancelling_closes_the_connection(dialect: Dialect, steps: int) -> None:
    """Before the first word (the server has the request) and after it."""
    began: list[str] = []

    async def cancel(server: WireServer) -> bool:
        async def follow() -> None:
            async for chunk in dialect.model(server.url).stream(REQUEST):
                began.append(chunk.text)

        task = asyncio.create_task(follow())
        while not server.requests or len(began) < steps:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # The loop still runs: the connection must not need its end to be closed.
        return await asyncio.to_thread(server.left.wait, 10)

    with WireServer(dialect.stream(*[dialect.text("Well")] * steps, HANG)) as server:
        assert run(cancel(server))


def test_cancelling_a_wait_between_tries() -> None:
    async def cancel(url: str) -> None:
        waiting = asyncio.Event()

        async def nap(_: float) -> None:
            waiting.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(anext(OLLAMA.model(url, sleep=nap).stream(REQUEST)))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with WireServer(failure(503, "")) as server:
        run(cancel(server.url))
        assert len(server.requests) == 1


@each_dialect
def test_a_model_serves_several_at_once_and_several_event_loops(dialect: Dialect) -> None:
    with WireServer(dialect.answer("Yes")) as server:
        model = dialect.model(server.url)
        assert [r.text for r in ask_each(model, [REQUEST] * 12)] == ["Yes"] * 12
        assert ask(model).text == "Yes"

        async def closed() -> str:
            await model.aclose()
            text = "".join([c.text async for c in model.stream(REQUEST)])
            await model.aclose()
            await model.aclose()
            return text

        assert run(closed()) == "Yes"


def test_proxies_are_not_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with WireServer(OLLAMA.answer("Yes")) as server:
        assert ask(OLLAMA.model(server.url)).text == "Yes"


@pytest.mark.parametrize(
    ("url", "remote"),
    [
        ("http://127.0.0.1:1", False), ("http://localhost:1", False), ("http://[::1]:1", False),
        ("http://192.0.2.7:1", True), ("https://models.example.org/v1", True), ("http://localhost.example.org", True),
    ],
)  # fmt: skip
def test_what_leaves_this_machine(url: str, remote: bool) -> None:
    assert Server(url).is_remote is remote
    assert [d.model(url).is_remote for d in DIALECTS] == [remote] * 3


@pytest.mark.parametrize("url", ["", "localhost:11434", "ftp://a", "http://", "file:///etc/passwd", "http://[::1"])
def test_addresses_that_are_none(url: str) -> None:
    for dialect in DIALECTS:
        with pytest.raises(BackendRejectedError, match="http"):
            type(dialect.model("http://127.0.0.1:1"))("m", url=url, **({} if dialect is OLLAMA else {"key": "k"}))  # type: ignore[arg-type, call-arg]


def test_an_address_is_shown_without_what_it_hides() -> None:
    server = Server("https://me:hunter2@models.example.org/v1?token=abc")
    assert "hunter2" not in repr(server) and "abc" not in repr(server) and "models.example.org" in repr(server)


@pytest.mark.parametrize("dialect", DIALECTS[1:], ids=lambda d: d.name)
@pytest.mark.parametrize("key", ["sk-a\nb", "sk-ключ", "two words"])
def test_keys_that_are_none(dialect: Dialect, key: str) -> None:
    kind = type(dialect.model("http://127.0.0.1:1"))
    with pytest.raises(BackendRejectedError) as caught:
        kind("m", url="http://127.0.0.1:1", key=key)  # type: ignore[call-arg]
    assert key not in str(caught.value)


def test_compressed_answers_that_are_damaged() -> None:
    answer = Answer([b"not gzip at all"], headers={"Content-Encoding": "gzip"})
    with WireServer(answer) as server, pytest.raises(BackendGarbageError, match="unpacked"):
        ask(OLLAMA.model(server.url))


def test_a_document_that_stalls() -> None:
    async def fetch(url: str) -> None:
        await Server(url, quick_s=0.2).fetch("/x")

    with WireServer(Answer([b"[", HANG])) as server, pytest.raises(BackendStalledError, match=r"0\.2 seconds"):
        run(fetch(server.url))


def test_a_path_that_is_none() -> None:
    with pytest.raises(BackendRejectedError, match="address"):
        ask(OLLAMA.model("http://127.0.0.1:port"))


def test_a_key_among_the_headers_is_not_quoted() -> None:
    async def fetch() -> None:
        await Server(server.url, headers={"x-api-key": KEY + "\n"}).fetch("/x")

    with WireServer(Answer([])) as server, pytest.raises(BackendRejectedError) as caught:
        run(fetch())
    assert KEY not in str(caught.value) and caught.value.__cause__ is None


def test_words_are_cleaned_and_cut() -> None:
    assert clean("a\x1b[2Jb\u202ec\r\n\td  e") == "a [2Jb c d e"
    assert len(clean("x" * 1000)) == MAX_WORDS


def test_words_are_redacted_wholly_and_in_runs() -> None:
    private = ["the quick brown fox jumps", "abcd", "no"]
    assert redact("see: quick brown fox jump! abcd no", private) == "see:…! … no"
    assert redact("nothing of it", private) == "nothing of it"


def test_complaints_in_every_shape() -> None:
    shapes = [
        {"error": "x"}, {"error": {"message": "x"}}, {"message": "x", "object": "error"}, {"detail": "x"}, "x",
        {"error": {"message": "x", "code": None, "type": None, "param": None}},
    ]  # fmt: skip
    for shape in shapes:
        assert read_complaint(json.dumps(shape).encode()).words == "x", shape
    fastapi = read_complaint(
        b'{"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra", "input": 7}]}'
    )
    assert fastapi == Complaint("body.seed: Extra", "extra_forbidden", "body.seed")
    assert fastapi.names("seed") and not fastapi.names("stream_options")


def test_a_value_that_is_too_large_is_not_an_unknown_field() -> None:
    assert not Complaint("max_tokens is too large: 9000").names("max_tokens")
    assert not Complaint("maximum context length is 4096, lower max_tokens", "", "max_tokens").names("max_tokens")
    assert Complaint("Unsupported parameter: 'max_tokens'").names("max_tokens")
    assert not Complaint("max_completion_tokens").names("max_tokens")
