"""Reasoning and tool calls in replies: every form, and every cut into pieces."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeropoint.server.tools.calls import ToolCall
from zeropoint.server.tools.reply_reader import make_reader, shows_control_tokens

TOOLS = {
    "weather": {"properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
    "now": {},
}
TAGGED = '… <tool_call>\n{"name": … </tool_call> </think>'
XML = "<tool_call> <function=…> <parameter=…>"
MARKED = "[TOOL_CALLS]"
BARE = "<|python_tag|>"
CHANNELS = "<|channel|>analysis<|message|>"
CALL = '{"name": "weather", "arguments": {"city": "Rome", "days": 2}}'
ROME = ToolCall("weather", '{"city": "Rome", "days": 2}')
NOW = ToolCall("now", "{}")

# Template, reply, reasoning, content, calls.
CASES = [
    (TAGGED, "plain text", "", "plain text", []),
    (TAGGED, f"<tool_call>\n{CALL}\n</tool_call>", "", "", [ROME]),
    (TAGGED, f"Let me look.\n<tool_call>{CALL}", "", "Let me look.\n", [ROME]),
    (
        TAGGED,
        f'<tool_call>{CALL}</tool_call>\n<tool_call>{{"name": "now"}}</tool_call>',
        "",
        "",
        [ROME, NOW],
    ),
    (TAGGED, "<think>\nWhich city?\n</think>\n\nRome.", "Which city?", "Rome.", []),
    (TAGGED, f"<think>x</think>\n<tool_call>{CALL}</tool_call>", "x", "", [ROME]),
    (TAGGED, "<think>\n\n</think>\n\nHi", "", "Hi", []),
    (TAGGED, f"```json\n{CALL}\n```", "", "", [ROME]),
    (TAGGED, CALL, "", "", [ROME]),
    (TAGGED, '{"name": "other", "arguments": {}}', "", '{"name": "other", "arguments": {}}', []),
    (TAGGED, "```json\n{}\n```", "", "```json\n{}\n```", []),
    (TAGGED, "<tool_call>{broken", "", "<tool_call>{broken", []),
    (TAGGED, "a < b and <tool", "", "a < b and <tool", []),
    (
        XML,
        "Looking.\n<tool_call>\n<function=weather>\n<parameter=city>\nRome\n</parameter>\n"
        "<parameter=days>\n2\n</parameter>\n</function>\n</tool_call>",
        "",
        "Looking.\n",
        [ROME],
    ),
    (
        XML,
        "<function=weather><parameter=city>Rome</parameter><parameter=days>2</parameter>",
        "",
        "",
        [ROME],
    ),
    (MARKED, f'[TOOL_CALLS][{CALL}, {{"name": "now"}}]', "", "", [ROME, NOW]),
    (MARKED, '[TOOL_CALLS]weather[ARGS]{"city": "Rome", "days": 2}', "", "", [ROME]),
    (BARE, '{"name": "weather", "parameters": {"city": "Rome", "days": 2}}', "", "", [ROME]),
    (BARE, '<|python_tag|>{"name": "now", "parameters": {}}', "", "", [NOW]),
    (
        CHANNELS,
        "<|channel|>analysis<|message|>Think.<|end|><|start|>assistant<|channel|>commentary"
        ' to=functions.weather <|constrain|>json<|message|>{"city": "Rome", "days": 2}',
        "Think.",
        "",
        [ROME],
    ),
    (
        CHANNELS,
        "<|channel|>analysis<|message|>T<|end|><|start|>assistant<|channel|>final<|message|>Hi.",
        "T",
        "Hi.",
        [],
    ),
]


def read(template: str, pieces: list[str], ending: str = "") -> tuple[str, str, list[ToolCall]]:
    reader = make_reader(template, TOOLS, ending, split=True)
    found = {"reasoning": "", "content": ""}
    for piece in pieces:
        for part in reader.push(piece):
            found[part.kind] += part.text
    rest, calls = reader.finish()
    for part in rest:
        found[part.kind] += part.text
    return found["reasoning"], found["content"], calls


@pytest.mark.parametrize(("template", "reply", "reasoning", "content", "calls"), CASES)
def test_a_reply_is_read(
    template: str, reply: str, reasoning: str, content: str, calls: list[ToolCall]
) -> None:
    assert read(template, [reply]) == (reasoning, content, calls)
    assert read(template, list(reply)) == (reasoning, content, calls)


@given(st.sampled_from(CASES), st.data())
def test_the_cut_into_pieces_changes_nothing(
    case: tuple[str, str, str, str, list[ToolCall]], data: st.DataObject
) -> None:
    template, reply = case[:2]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(reply)), max_size=6)))
    bounds = [0, *cuts, len(reply)]
    pieces = [reply[a:b] for a, b in pairwise(bounds)]
    assert read(template, pieces) == read(template, [reply])


@given(st.text('<>{}[]tolhink_c/ \n"|', max_size=60), st.sampled_from([TAGGED, XML, MARKED, BARE]))
def test_text_without_a_call_is_never_lost(text: str, template: str) -> None:
    reasoning, content, calls = read(template, list(text))
    if not calls and not reasoning and "</think>" not in text:
        assert content == text


def test_reasoning_that_the_prompt_opened_is_read() -> None:
    assert read(TAGGED, ["so ", "…</thi", "nk>\n\nyes"], "<think>\n") == ("so …", "yes", [])
    assert read(TAGGED, ["never closed"], "<think>\n") == ("never closed", "", [])


def test_without_tools_nothing_is_a_call_and_without_splitting_nothing_is_reasoning() -> None:
    reader = make_reader(TAGGED, None, "", split=False)
    text = f"<think>a</think><tool_call>{CALL}</tool_call>"
    assert "".join(piece.text for piece in reader.push(text)) == text
    assert reader.finish() == ([], [])


def test_values_of_xml_have_the_types_of_the_schema() -> None:
    schema = {
        "properties": {
            "a": {"type": "number"}, "b": {"type": "boolean"}, "c": {"type": "array"},
            "d": {"type": "string"}, "e": {"type": "integer"},
        }
    }  # fmt: skip
    reply = "<function=f>" + "".join(
        f"<parameter={key}>\n{value}\n</parameter>"
        for key, value in {"a": "1.5", "b": "True", "c": "[1]", "d": "12", "e": "many"}.items()
    )
    reader = make_reader(XML, {"f": schema}, "", split=True)
    reader.push(reply)
    (call,) = reader.finish()[1]
    assert json.loads(call.arguments) == {"a": 1.5, "b": True, "c": [1], "d": "12", "e": "many"}


def test_control_tokens_are_shown_only_where_calls_are_written_with_them() -> None:
    assert [shows_control_tokens(one, tools=True) for one in (TAGGED, XML, MARKED, BARE)] == [
        False, False, True, True,
    ]  # fmt: skip
    assert not shows_control_tokens(MARKED, tools=False)
    assert shows_control_tokens(CHANNELS, tools=False)
