"""Anthropic's Messages API: what is sent, and its events."""

from __future__ import annotations

import msgspec
import pytest
from wire_server import (
    ANTHROPIC,
    KEY,
    QUESTION,
    REQUEST,
    SCHEMA,
    Answer,
    Naps,
    WireServer,
    ask,
    failure,
    typed,
)

from innercouncil.llm.anthropic import AnthropicModel
from innercouncil.model.errors import BackendBusyError, BackendError, BackendRejectedError, ModelMissingError
from innercouncil.model.ports import ChatRequest, ChatTurn, Usage

SHAPED = msgspec.structs.replace(REQUEST, schema=SCHEMA)


def _refused(words: str) -> Answer:
    return failure(400, {"type": "error", "error": {"type": "invalid_request_error", "message": words}})


def _tool_answer(*parts: str) -> Answer:
    start = typed("content_block_start", index=0, content_block={"type": "tool_use", "name": "answer", "input": {}})
    deltas = [
        typed("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": p}) for p in parts
    ]
    return ANTHROPIC.stream(start, *deltas, typed("content_block_stop", index=0), ANTHROPIC.end("tool_use"))


def test_what_is_sent() -> None:
    with WireServer(ANTHROPIC.answer("Yes")) as server:
        ask(ANTHROPIC.model(server.url))
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/v1/messages")
    assert request.headers["x-api-key"] == KEY
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert request.body == {
        "model": "claude-x",
        "max_tokens": 64,
        "system": "You are the planner.",
        "messages": [{"role": "user", "content": QUESTION}],
        "stream": True,
        "temperature": 0.5,
    }


def test_turns_take_turns() -> None:
    turns = (
        ChatTurn("system", "A"), ChatTurn("assistant", "hello"), ChatTurn("user", "b"), ChatTurn("user", " "),
        ChatTurn("system", "C"), ChatTurn("user", "d"), ChatTurn("assistant", "e"), ChatTurn("user", "f"),
    )  # fmt: skip
    with WireServer(ANTHROPIC.answer("Yes")) as server:
        ask(ANTHROPIC.model(server.url), ChatRequest(turns=turns, temperature=1.4))
        ask(ANTHROPIC.model(server.url), ChatRequest(turns=(ChatTurn("system", "A"),)))
    first, second = (r.body for r in server.requests)
    assert first["system"] == "A\n\nC" and first["temperature"] == 1.0
    assert [(m["role"], m["content"]) for m in first["messages"]] == [
        ("user", "Please begin."), ("assistant", "hello"), ("user", "b\n\nd"), ("assistant", "e"), ("user", "f"),
    ]  # fmt: skip
    assert [m["role"] for m in second["messages"]] == ["user"]


def test_a_schema_goes_into_structured_outputs() -> None:
    with WireServer(ANTHROPIC.answer('{"ranking":', '"A > B"}')) as server:
        assert ask(ANTHROPIC.model(server.url), SHAPED).text == '{"ranking":"A > B"}'
    sent = server.requests[0].body["output_config"]["format"]
    assert sent["type"] == "json_schema"
    assert sent["schema"]["properties"] == {
        "ranking": {"enum": ["A > B", "B > A"]}, "reason": {"type": "string", "description": "(maxLength: 80)"},
    }  # fmt: skip
    assert sent["schema"]["additionalProperties"] is False
    assert "tools" not in server.requests[0].body


def test_nested_schemas_are_made_plain() -> None:
    number = {"type": "integer", "minimum": 0, "description": "n"}
    schema = {
        "type": "object", "properties": {"a": {"type": "array", "minItems": 2, "items": {"oneOf": [number]}}},
        "$defs": {"b": {"type": "object", "properties": {}}},
    }  # fmt: skip
    with WireServer(ANTHROPIC.answer("{}")) as server:
        ask(ANTHROPIC.model(server.url), msgspec.structs.replace(REQUEST, schema=schema))
    assert server.requests[0].body["output_config"]["format"]["schema"] == {
        "type": "object", "additionalProperties": False,
        "properties": {
            "a": {
                "type": "array", "description": "(minItems: 2)",
                "items": {"anyOf": [{"type": "integer", "description": "n (minimum: 0)"}]},
            }
        },
        "$defs": {"b": {"type": "object", "properties": {}, "additionalProperties": False}},
    }  # fmt: skip


@pytest.mark.parametrize(
    "words", ["output_config: Extra inputs are not permitted", "This model does not support structured outputs"]
)
def test_models_without_structured_outputs_call_a_tool(words: str) -> None:
    with WireServer(_refused(words), _tool_answer("", '{"ranking"', ': "A > B"}')) as server:
        model = ANTHROPIC.model(server.url)
        reply = ask(model, SHAPED)
        ask(model, SHAPED)
    assert (reply.text, reply.finish) == ('{"ranking": "A > B"}', "stop")
    for request in server.requests[1:]:
        assert "output_config" not in request.body
        assert request.body["tools"][0]["input_schema"] == SCHEMA
        assert request.body["tool_choice"] == {"type": "tool", "name": "answer"}
    assert len(server.requests) == 3


def test_newer_models_have_no_temperature() -> None:
    with WireServer(_refused("`temperature` is deprecated for this model."), ANTHROPIC.answer("Yes")) as server:
        model = ANTHROPIC.model(server.url)
        assert ask(model).text == "Yes"
        ask(model)
    assert ["temperature" in r.body for r in server.requests] == [True, False, False]


def test_pings_thoughts_and_unknown_events_are_no_text() -> None:
    thought = typed("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "hm"})
    steps = [typed("ping"), thought, typed("something_new", x=1), ANTHROPIC.text("Yes"), typed("ping"), ANTHROPIC.end()]
    with WireServer(ANTHROPIC.stream(*steps)) as server:
        assert ask(ANTHROPIC.model(server.url)).text == "Yes"


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"), ("stop_sequence", "stop"), ("max_tokens", "length"), ("refusal", "refusal"),
        ("model_context_window_exceeded", "length"), ("something_new", "stop"),
    ],
)  # fmt: skip
def test_ends_of_all_kinds(reason: str, finish: str) -> None:
    with WireServer(ANTHROPIC.answer("Yes", finish=reason)) as server:
        assert ask(ANTHROPIC.model(server.url)).finish == finish


def test_cached_tokens_count() -> None:
    usage = {"input_tokens": 5, "cache_read_input_tokens": 100, "cache_creation_input_tokens": None, "output_tokens": 1}
    answer = Answer(
        [typed("message_start", message={"usage": usage}), ANTHROPIC.text("Yes"), ANTHROPIC.end()], "text/event-stream"
    )
    with WireServer(answer) as server:
        assert ask(ANTHROPIC.model(server.url)).usage == Usage(105, 5)


@pytest.mark.parametrize(
    ("kind", "error", "requests"),
    [
        ("overloaded_error", BackendBusyError, 3), ("api_error", BackendBusyError, 3),
        ("rate_limit_error", BackendBusyError, 3), ("authentication_error", BackendRejectedError, 1),
        ("not_found_error", ModelMissingError, 1), ("something_new", BackendRejectedError, 1),
    ],
)  # fmt: skip
def test_errors_told_in_a_stream(kind: str, error: type[BackendError], requests: int) -> None:
    with (
        WireServer(ANTHROPIC.stream(typed("error", error={"type": kind, "message": "boom"}))) as server,
        pytest.raises(error, match="boom"),
    ):
        ask(ANTHROPIC.model(server.url, sleep=Naps()))
    assert len(server.requests) == requests


def test_an_overload_that_passes() -> None:
    overloaded = ANTHROPIC.stream(typed("error", error={"type": "overloaded_error", "message": "Overloaded"}))
    with WireServer(overloaded, ANTHROPIC.answer("Yes")) as server:
        assert ask(ANTHROPIC.model(server.url, sleep=Naps())).text == "Yes"


def test_a_refused_key_says_which() -> None:
    body = {"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}}
    with (
        WireServer(failure(401, body)) as server,
        pytest.raises(BackendRejectedError, match="invalid x-api-key; set ANTHROPIC_API_KEY"),
    ):
        ask(ANTHROPIC.model(server.url))


def test_the_usual_address() -> None:
    model = AnthropicModel("claude-x", key=f" {KEY}\n")
    assert model.is_remote and "api.anthropic.com" in repr(model) and KEY not in repr(model)
