"""OpenAI's chat completions: what is sent, and what servers make of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from wire_server import (
    CUT,
    DONE,
    HANG,
    KEY,
    OPENAI,
    QUESTION,
    REQUEST,
    SCHEMA,
    Answer,
    Naps,
    WireServer,
    ask,
    ask_each,
    event,
    failure,
    run,
)

from innercouncil.llm.openai_compatible import OpenAIModel
from innercouncil.model.errors import (
    BackendBusyError,
    BackendError,
    BackendGarbageError,
    BackendRejectedError,
    ModelMissingError,
)
from innercouncil.model.ports import ChatRequest, ChatTurn, Usage

SHAPED = msgspec.structs.replace(REQUEST, schema=SCHEMA)


def _delta(finish: str | None = None, **delta: Any) -> bytes:
    return event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def _unsupported(field: str, words: str = "") -> Answer:
    words = words or f"Unsupported parameter: '{field}' is not supported with this model."
    return failure(400, {"error": {"message": words, "type": "invalid_request_error", "param": field, "code": "x"}})


def test_what_is_sent() -> None:
    with WireServer(OPENAI.answer("Yes")) as server:
        model = OPENAI.model(server.url)
        ask(model)
        ask(model, SHAPED)
    plain, shaped = server.requests
    assert (plain.method, plain.path) == ("POST", "/v1/chat/completions")
    assert plain.headers["authorization"] == f"Bearer {KEY}"
    assert plain.body == {
        "model": "gpt-x",
        "messages": [{"role": "system", "content": "You are the planner."}, {"role": "user", "content": QUESTION}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "max_tokens": 64,
        "seed": 7,
    }
    shape = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA}}
    assert shaped.body == plain.body | {"response_format": shape}


@pytest.mark.parametrize("key", [None, "", "  \n"])
def test_no_key_no_header(key: str | None) -> None:
    with WireServer(OPENAI.answer("Yes")) as server:
        ask(OpenAIModel("m", url=server.url, key=key))
    assert "authorization" not in server.requests[0].headers


def test_an_address_may_be_given_with_the_path_of_the_endpoint() -> None:
    with WireServer(OPENAI.answer("Yes")) as server:
        ask(OpenAIModel("m", url=server.url + "/v1/chat/completions/"))
    assert server.requests[0].path == "/v1/chat/completions"


def test_hosted_newer_models_know_max_tokens_by_another_name() -> None:
    words = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    with WireServer(_unsupported("max_tokens", words), OPENAI.answer("Yes")) as server:
        model = OPENAI.model(server.url)
        assert ask(model).text == "Yes"
        ask(model)
    assert len(server.requests) == 3
    for request in server.requests[1:]:
        assert "max_tokens" not in request.body and request.body["max_completion_tokens"] == 64


@pytest.mark.parametrize("field", ["stream_options", "seed", "temperature", "response_format"])
def test_what_a_server_refuses_is_left_out_from_then_on(field: str) -> None:
    with WireServer(_unsupported(field), OPENAI.answer("Yes")) as server:
        model = OPENAI.model(server.url)
        assert ask(model, SHAPED).text == "Yes"
        ask(model, SHAPED)
    assert [field in r.body for r in server.requests] == [True, False, False]


@pytest.mark.parametrize(
    "refusal",
    [
        failure(400, {"error": "unknown field `stream_options`"}),
        failure(
            422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": "Extra inputs"}]}
        ),
        failure(400, {"object": "error", "message": "stream_options: extra fields not permitted", "code": 40001}),
    ],
)
def test_refusals_in_other_words(refusal: Answer) -> None:
    with WireServer(refusal, OPENAI.answer("Yes")) as server:
        assert ask(OPENAI.model(server.url)).text == "Yes"
    assert "stream_options" not in server.requests[1].body


def test_several_refusals_one_after_the_other() -> None:
    fields = ["stream_options", "seed", "max_tokens", "max_completion_tokens", "temperature"]
    with WireServer(*map(_unsupported, fields), OPENAI.answer("Yes")) as server:
        assert ask(OPENAI.model(server.url)).text == "Yes"
    assert set(server.requests[-1].body) == {"model", "messages", "stream"}


def test_many_at_once_learn_the_same() -> None:
    refusals = [_unsupported("seed")] * 6
    with WireServer(*refusals, OPENAI.answer("Yes")) as server:
        assert {r.text for r in ask_each(OPENAI.model(server.url), [REQUEST] * 6)} == {"Yes"}


def test_a_refusal_that_does_not_end_is_given_up() -> None:
    with WireServer(_unsupported("seed")) as server, pytest.raises(BackendRejectedError, match="seed"):
        ask(OPENAI.model(server.url))
    assert len(server.requests) == 2


def test_a_context_that_is_too_small_is_told() -> None:
    words = "max_tokens is too large: 64. This model's maximum context length is 32 tokens."
    with (
        WireServer(failure(400, {"error": {"message": words, "param": "max_tokens"}})) as server,
        pytest.raises(BackendRejectedError, match="maximum context length is 32"),
    ):
        ask(OPENAI.model(server.url))
    assert len(server.requests) == 1


def test_a_schema_that_cannot_be_enforced_is_told_in_words() -> None:
    with WireServer(_unsupported("response_format"), OPENAI.answer("{}")) as server:
        ask(OPENAI.model(server.url), SHAPED)
    told = server.requests[1].body["messages"]
    assert told[0]["content"] == "You are the planner."
    assert told[-1]["content"].startswith(QUESTION) and '"ranking"' in told[-1]["content"]


def test_usage_in_the_chunk_that_finishes() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    last = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage})
    with WireServer(OPENAI.stream(_delta(content="a"), last, DONE)) as server:
        assert ask(OPENAI.model(server.url)).usage == Usage(3, 2)


def test_an_answer_without_usage() -> None:
    with WireServer(OPENAI.stream(_delta(content="a"), _delta("stop"), DONE)) as server:
        reply = ask(OPENAI.model(server.url))
    assert (reply.text, reply.finish, reply.usage) == ("a", "stop", None)


@pytest.mark.parametrize("end", [DONE, _delta("stop"), _delta("eos") + DONE, b"data:[DONE]\n\n"])
def test_ends_of_all_kinds(end: bytes) -> None:
    with WireServer(OPENAI.stream(_delta(content="a"), end)) as server:
        assert ask(OPENAI.model(server.url)).finish == "stop"


@pytest.mark.parametrize("step", [HANG, CUT])
def test_after_the_finish_nothing_must_come(step: str) -> None:
    with WireServer(OPENAI.stream(_delta(content="a"), _delta("stop"), step)) as server:
        assert ask(OPENAI.model(server.url, stall_s=0.2)).text == "a"


def test_keep_alives_and_thoughts_are_no_text() -> None:
    steps = [b": keep-alive\n\n", b":\n\n", _delta(reasoning_content="hm"), _delta(role="assistant", content=None)]
    with WireServer(OPENAI.stream(*steps, _delta(content="Yes"), b": ping\n\n", OPENAI.end())) as server:
        assert ask(OPENAI.model(server.url)).text == "Yes"


def test_other_choices_are_left_out() -> None:
    other = event({"choices": [{"index": 1, "delta": {"content": "No"}, "finish_reason": "stop"}]})
    with WireServer(OPENAI.stream(other, _delta(content="Yes"), OPENAI.end())) as server:
        assert ask(OPENAI.model(server.url)).text == "Yes"


@pytest.mark.parametrize("steps", [[_delta("content_filter")], [_delta(refusal="I cannot."), _delta("stop")]])
def test_refusals(steps: list[bytes]) -> None:
    with WireServer(OPENAI.stream(*steps, DONE)) as server:
        assert ask(OPENAI.model(server.url)).finish == "refusal"


@pytest.mark.parametrize(
    ("error", "kind", "requests"),
    [
        ({"message": "boom", "type": "server_error"}, BackendBusyError, 3),
        ({"message": "boom", "code": 502}, BackendBusyError, 3),
        ({"message": "boom", "code": "rate_limit_exceeded"}, BackendBusyError, 3),
        ({"message": "boom", "code": "insufficient_quota"}, BackendRejectedError, 1),
        ({"message": "boom", "code": 404}, ModelMissingError, 1),
        ("boom", BackendError, 1),
    ],
)
def test_errors_told_in_a_stream(error: object, kind: type[BackendError], requests: int) -> None:
    with WireServer(OPENAI.stream(event({"error": error}))) as server, pytest.raises(kind):
        ask(OPENAI.model(server.url, sleep=Naps()))
    assert len(server.requests) == requests


def test_no_credit_is_not_tried_again() -> None:
    with (
        WireServer(failure(429, {"error": {"message": "You exceeded", "code": "insufficient_quota"}})) as server,
        pytest.raises(BackendRejectedError, match="no credit"),
    ):
        ask(OPENAI.model(server.url))
    assert len(server.requests) == 1


def test_a_refused_key_says_which() -> None:
    with (
        WireServer(failure(401, {"error": {"message": "Incorrect API key"}})) as server,
        pytest.raises(BackendRejectedError, match="INNERCOUNCIL_API_KEY"),
    ):
        ask(OPENAI.model(server.url))


def test_a_whole_document_is_no_stream() -> None:
    with (
        WireServer(Answer([b'{"choices": []}'])) as server,
        pytest.raises(BackendGarbageError, match="application/json"),
    ):
        ask(OPENAI.model(server.url))


def test_list_of_models() -> None:
    with WireServer(Answer([b'{"object":"list","data":[{"id":"b"},{"id":"a","owned_by":"x"}]}'])) as server:
        model = OpenAIModel("a", url=server.url + "/v1", key=KEY)
        assert run(model.list_models()) == ["a", "b"]
        assert (server.requests[0].method, server.requests[0].path) == ("GET", "/v1/models")
        assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("data", [b"{}", b"<html>", b'{"data": [1]}'])
def test_a_list_of_models_that_is_none(data: bytes) -> None:
    with WireServer(Answer([data])) as server, pytest.raises(BackendGarbageError, match="list of models"):
        run(OpenAIModel("a", url=server.url).list_models())


def test_a_request_without_words() -> None:
    with WireServer(OPENAI.answer("Yes")) as server:
        assert ask(OPENAI.model(server.url), ChatRequest(turns=())).text == "Yes"


def test_a_long_schema_is_not_told_in_words() -> None:
    schema = {"type": "object", "properties": {"x": {"enum": [f"{i} > {i + 1}" for i in range(400)]}}}
    request = ChatRequest(turns=(ChatTurn("system", "s"),), schema=schema)
    with WireServer(_unsupported("response_format"), OPENAI.answer("{}")) as server:
        ask(OPENAI.model(server.url), request)
    assert server.requests[1].body["messages"] == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "Answer with one JSON object and nothing else."},
    ]


def test_a_finish_that_is_an_error() -> None:
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error", "error": {"code": 502, "message": "gone"}}
    with (
        WireServer(OPENAI.stream(b"data:\n\n", event({"choices": [choice]}))) as server,
        pytest.raises(BackendBusyError, match="gone"),
    ):
        ask(OPENAI.model(server.url, sleep=Naps()))
