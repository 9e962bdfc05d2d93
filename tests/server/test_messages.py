"""Anthropic's messages: translated there, and the answer back, whole and as a stream."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from support.api_server import ApiServer, api_server
from zeropoint.server.http.errors import ApiError
from zeropoint.server.http.messages import read_messages_request

FACTS = {
    "name": "m.gguf",
    "slots": 4,
    "chat_template": "tools <tool_call></think>",
    "infill": False,
}
TOOL = {"name": "f", "description": "d", "input_schema": {"type": "object"}}
REPLY = ["<think>hm</think>", "Ok ", '<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>']


@pytest.fixture(scope="module")
def tool_server() -> Iterator[ApiServer]:
    with api_server(facts={"chat_template": FACTS["chat_template"]}) as running:
        yield running


def script(**values: Any) -> dict[str, Any]:
    return {"max_tokens": 9, "messages": [{"role": "user", "content": json.dumps(values)}]}


def test_a_conversation_with_tools_is_translated() -> None:
    use = {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}
    result = {
        "type": "tool_result",
        "tool_use_id": "t1",
        "content": [{"type": "text", "text": "7"}],
    }
    request = read_messages_request(
        {
            "model": "m", "max_tokens": 5, "system": [{"type": "text", "text": "Be brief."}],
            "stop_sequences": ["END"], "tools": [TOOL], "tool_choice": {"type": "any"},
            "messages": [
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": [{"type": "text", "text": "Look"}, use]},
                {"role": "user", "content": [result, {"type": "text", "text": "and?"}]},
            ],
        },
        FACTS,
    )  # fmt: skip
    prompt = request.work["prompt"]
    call = {"type": "function", "id": "t1", "function": {"name": "f", "arguments": {"a": 1}}}
    assert prompt["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "Look", "tool_calls": [call]},
        {"role": "tool", "content": "7", "tool_call_id": "t1"},
        {"role": "user", "content": "and?"},
    ]
    assert request.work["limit"] == 5 and request.work["stop"] == ["END"]
    assert request.tools == {"f": {"type": "object"}} and request.work["grammar"]


@pytest.mark.parametrize(
    ("values", "status", "param"),
    [
        ({"messages": []}, 400, "max_tokens"),
        ({"max_tokens": 1}, 400, "messages"),
        ({"max_tokens": 1, "messages": [{"role": "system"}]}, 400, "messages[0].role"),
        (
            {"max_tokens": 1, "messages": [{"role": "user", "content": [{"type": "image"}]}]},
            400,
            "messages[0].content[0].type",
        ),
        (
            {**script(), "tools": [{"type": "web_search_20250305"}]}, 501, "tools[0].type",
        ),
        ({**script(), "tools": [TOOL], "tool_choice": {"type": "x"}}, 400, "tool_choice.type"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named(values: dict[str, Any], status: int, param: str) -> None:
    with pytest.raises(ApiError) as caught:
        read_messages_request(values, FACTS)
    assert (caught.value.status, caught.value.param) == (status, param)


def test_an_answer_has_blocks(tool_server: ApiServer) -> None:
    status, body = tool_server.post("/v1/messages", {**script(pieces=REPLY), "tools": [TOOL]})
    assert status == 200
    assert (body["type"], body["role"], body["stop_reason"]) == ("message", "assistant", "tool_use")
    thought, text, use = body["content"]
    assert (thought["type"], thought["thinking"]) == ("thinking", "hm")
    assert text == {"type": "text", "text": "Ok "}
    assert (use["type"], use["name"], use["input"]) == ("tool_use", "f", {"a": 1})
    assert body["usage"] == {"input_tokens": 4, "cache_read_input_tokens": 3, "output_tokens": 3}
    for reason, stop, wanted in (
        ("limit", "", ("max_tokens", None)), ("stop", "", ("end_turn", None)),
        ("word", "END", ("stop_sequence", "END")),
    ):  # fmt: skip
        _, body = tool_server.post(
            "/v1/messages", script(pieces=["x"], reason=reason, stop=stop)
        )  # fmt: skip
        assert (body["stop_reason"], body["stop_sequence"]) == wanted


def test_a_stream_has_the_events_of_anthropic(tool_server: ApiServer) -> None:
    request = {**script(pieces=REPLY), "tools": [TOOL], "stream": True}
    status, _, data = tool_server.request("POST", "/v1/messages", request)
    assert status == 200
    lines = [one.split("\n") for one in data.decode().strip().split("\n\n")]
    events = [json.loads(line[1].removeprefix("data: ")) for line in lines]
    assert [line[0] for line in lines] == [f"event: {event['type']}" for event in events]
    kinds = [event["type"].removeprefix("content_") for event in events]
    block = ["block_start", "block_delta", "block_stop"]
    assert kinds == ["message_start", *block * 3, "message_delta", "message_stop"]
    assert [event["index"] for event in events[1:-2]] == [0] * 3 + [1] * 3 + [2] * 3
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    assert deltas == [
        {"type": "thinking_delta", "thinking": "hm"}, {"type": "text_delta", "text": "Ok "},
        {"type": "input_json_delta", "partial_json": '{"a": 1}'},
    ]  # fmt: skip
    assert events[-2]["delta"]["stop_reason"] == "tool_use"


def test_tokens_are_counted(tool_server: ApiServer) -> None:
    body = {"messages": [{"role": "user", "content": "hi"}]}
    assert tool_server.post("/v1/messages/count_tokens", body) == (200, {"input_tokens": 7})
