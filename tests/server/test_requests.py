"""Fields of requests: what the engine gets, and which field an error names."""

from typing import Any

import pytest

from zeropoint.server.http.chat_request import read_chat
from zeropoint.server.http.completions import read_completion
from zeropoint.server.http.errors import ApiError
from zeropoint.server.http.fields import parse_body
from zeropoint.server.http.native import read_infill, read_native

FACTS = {"name": "m.gguf", "slots": 4, "chat_template": "tools <tool_call>", "infill": True}
USER = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def refused(values: dict[str, Any], read: Any = read_chat) -> tuple[int, str | None]:
    with pytest.raises(ApiError) as caught:
        read(values, FACTS)
    assert caught.value.message
    return caught.value.status, caught.value.param


@pytest.mark.parametrize(
    ("values", "param"),
    [
        ({"messages": "hi"}, "messages"),
        ({"messages": []}, "messages"),
        ({}, "messages"),
        ({"messages": [1]}, "messages[0]"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content[0]",
        ),
        ({"messages": [*USER, *[{"role": "assistant", "content": "a"}] * 2]}, "messages"),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "tool_calls": [{"function": {"name": "f", "arguments": "{"}}],
                    }
                ]
            },
            "messages[0].tool_calls[0]",
        ),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": 2}, "top_p"),
        ({"presence_penalty": 3}, "presence_penalty"),
        ({"seed": 1.5}, "seed"),
        ({"max_tokens": -2}, "max_tokens"),
        ({"n": 5}, "n"),
        ({"n": 0}, "n"),
        ({"stream": 1}, "stream"),
        ({"stop": [1]}, "stop"),
        ({"stop": ["x"] * 17}, "stop"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"logit_bias": {"1": 1000}}, "logit_bias"),
        ({"logit_bias": 5}, "logit_bias"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema"),
        ({"tools": [{"type": "function"}]}, "tools[0].function.name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": "sometimes"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"function": {"name": "g"}}}, "tool_choice"),
        ({"functions": []}, "functions"),
    ],
)
def test_a_wrong_field_of_a_chat_is_named(values: dict[str, Any], param: str) -> None:
    assert refused({"messages": USER, **values} if values else {}) == (400, param)


@pytest.mark.parametrize(
    ("values", "param"),
    [
        ({"grammar": "root ::= x"}, "grammar"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"mirostat": 2}, "mirostat"),
    ],
)
def test_what_is_not_supported_is_501_with_the_field(values: dict[str, Any], param: str) -> None:
    assert refused({"messages": USER, **values}) == (501, param)


def test_a_chat_becomes_work() -> None:
    history = [
        {"role": "developer", "content": [{"type": "text", "text": one} for one in "ab"]},
        {"role": "user", "content": "x"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": '{"k": 1}'}}],
        },
        {"role": "tool", "tool_call_id": "1", "content": "7"},
        {"role": "assistant", "content": "It "},
    ]  # fmt: skip
    wanted = read_chat(
        {
            "messages": history, "max_tokens": 5, "max_completion_tokens": 6, "stop": "END",
            "seed": 3, "temperature": 0.5, "top_p": 0, "logit_bias": {"7": -100}, "n": 2,
            "tools": [TOOL], "reasoning_effort": "low", "logprobs": True, "user": "me",
            "unknown": {}, "frequency_penalty": None, "chat_template_kwargs": {"think": False},
        },
        FACTS,
    )  # fmt: skip
    work = wanted.work
    assert work["limit"] == 6 and work["stop"] == ["END"] and work["top"] == 0
    sampling = work["sampling"]
    assert (sampling["seed"], sampling["temperature"], sampling["top_p"]) == (3, 0.5, 1e-9)
    assert sampling["logit_bias"] == [[7, -100.0]] and "frequency_penalty" not in sampling
    prompt = work["prompt"]
    assert [one["role"] for one in prompt["messages"]] == ["system", "user", "assistant", "tool"]
    assert prompt["messages"][0]["content"] == "a\nb"
    assert prompt["messages"][2]["tool_calls"][0]["function"]["arguments"] == {"k": 1}
    assert prompt["begun"] == "It "
    assert prompt["variables"] == {
        "think": False, "reasoning_effort": "low", "add_generation_prompt": True, "tools": [TOOL],
    }  # fmt: skip
    assert wanted.choices == 2 and wanted.tools == {"f": {"type": "object"}}


def test_tools_are_not_shown_to_the_model_if_none_is_chosen() -> None:
    wanted = read_chat({"messages": USER, "tools": [TOOL], "tool_choice": "none"}, FACTS)
    assert wanted.tools is None and "tools" not in wanted.work["prompt"]["variables"]


def test_a_required_tool_becomes_a_grammar_in_the_form_of_the_model() -> None:
    wanted = read_chat({"messages": USER, "tools": [TOOL], "tool_choice": "required"}, FACTS)
    lark = wanted.work["grammar"]["lark"]
    assert '"<tool_call>\\n" call "\\n</tool_call>"' in lark and '{"const": "f"}' in lark


def test_a_template_without_tools_gets_them_in_the_system_message() -> None:
    facts = {**FACTS, "chat_template": "{{ messages }}"}
    for before in ([], [{"role": "system", "content": "Be brief."}]):
        wanted = read_chat({"messages": [*before, *USER], "tools": [TOOL]}, facts)
        first, last = wanted.work["prompt"]["messages"]
        assert first["role"] == "system" and '{"name": "f"' in first["content"]
        assert first["content"].startswith("Be brief." if before else "You can call")
        assert last == USER[0]


def test_completions_take_every_form_of_a_prompt() -> None:
    def prompts(prompt: object, **more: object) -> list[Any]:
        works = read_completion({"prompt": prompt, **more}, FACTS).works
        return [work["prompt"] for work in works]

    assert prompts("a") == [{"kind": "text", "text": "a"}]
    assert prompts(["a", "b"]) == [{"kind": "text", "text": "a"}, {"kind": "text", "text": "b"}]
    assert prompts([1, 2]) == [{"kind": "tokens", "ids": [1, 2]}]
    assert prompts([[1], [2]]) == [{"kind": "tokens", "ids": [1]}, {"kind": "tokens", "ids": [2]}]
    assert prompts("a", suffix="b") == [{"kind": "infill", "prefix": "a", "suffix": "b"}]
    works = read_completion({"prompt": ["a", "b"], "n": 2, "seed": 5}, FACTS).works
    assert [work["sampling"]["seed"] for work in works] == [5, 6, 5, 6]
    assert works[0]["limit"] == 16
    for values, param in (
        ({}, "prompt"), ({"prompt": []}, "prompt"), ({"prompt": [1, "a"]}, "prompt"),
        ({"prompt": [-1]}, "prompt"), ({"prompt": ["a"] * 5}, "prompt"),
        ({"prompt": "a", "best_of": 3}, "best_of"), ({"prompt": "a", "logprobs": 6}, "logprobs"),
    ):  # fmt: skip
        assert refused(values, read_completion) == (400, param)


def test_native_requests_become_work() -> None:
    assert read_native({"prompt": "a"})["limit"] == -1
    work = read_infill(
        {"input_prefix": "a", "input_suffix": "b", "input_extra": [{"filename": "f", "text": "t"}],
         "prompt": "c", "n_predict": 0}, FACTS,
    )  # fmt: skip
    assert work["limit"] == 0
    assert work["prompt"] == {
        "kind": "infill", "prefix": "a", "suffix": "b", "begun": "c",
        "extra": [{"filename": "f", "text": "t"}],
    }  # fmt: skip
    assert refused({"input_prefix": "a", "input_extra": [{}]}, read_infill)[0] == 400
    assert refused({}, read_infill) == (400, "input_prefix")


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"a": NaN}', b'{"a": ' + b"[" * 70 + b"]" * 70 + b"}", b"[" * 100_000,
     b"\xff\xfe"],
)  # fmt: skip
def test_a_body_that_is_no_shallow_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        parse_body(body)
    assert caught.value.status == 400
