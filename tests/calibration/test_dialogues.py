"""Dialogues as chat templates of all sorts write them."""

from pathlib import Path

import pytest

from support.vocabularies import byte_pairs, checkpoint_with
from zeropoint.calibration.dialogues import Dialogue, encode_dialogues, plain_text

CALL = {"name": "add", "arguments": {"a": 1, "b": 2}}
TOOL = {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": {}}}
DIALOGUE = Dialogue(
    (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "1+2?"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "call00001", "type": "function", "function": CALL}],
        },
        {"role": "tool", "name": "add", "tool_call_id": "call00001", "content": "3"},
        {"role": "assistant", "content": "It is 3."},
    ),
    (TOOL,),
)
FLAT_CALL = '<tool_call>{"name": "add", "arguments": {"a": 1, "b": 2}}</tool_call>'

WITH_TOOLS = (
    "{% for t in tools or [] %}[{{ t.function.name }}: {{ t.function.description }}]{% endfor %}"
    "{% for m in messages %}<|a|>{{ m.role }}={{ m.content }}"
    "{% for c in m.tool_calls or [] %}{{ c.function | tojson }}{% endfor %}{% endfor %}"
)
WITHOUT_TOOLS = "{% for m in messages %}<|a|>{{ m.role }}={{ m.content }};{% endfor %}"
WITHOUT_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    + WITHOUT_TOOLS
)
REFUSES_ALL = "{{ raise_exception('never') }}"


def rendered(folder: Path, template: str | None) -> str:
    keys = {"chat_template": template} if template else {}
    tokenizer = byte_pairs(folder / "v.gguf", [], **keys)
    checkpoint = checkpoint_with(folder / "c.gguf", **keys)
    ids = encode_dialogues(checkpoint, tokenizer, [DIALOGUE])
    return tokenizer.decode(ids, special=True)


def test_a_template_with_tools_gets_the_dialogue_as_it_is(tmp_path: Path) -> None:
    assert rendered(tmp_path, WITH_TOOLS) == (
        "[add: Adds.]<|a|>system=Be brief.<|a|>user=1+2?<|a|>assistant="
        '{"name": "add", "arguments": {"a": 1, "b": 2}}<|a|>tool=3<|a|>assistant=It is 3.'
    )


def test_a_template_that_leaves_tools_out_gets_them_in_messages(tmp_path: Path) -> None:
    text = rendered(tmp_path, WITHOUT_TOOLS)
    assert text.startswith("<|a|>system=Be brief.\n\nYou can call these tools:\n{")
    assert f"<|a|>assistant={FLAT_CALL};<|a|>user=<tool_response>3</tool_response>;" in text


def test_a_template_that_refuses_a_system_message_gets_it_in_the_first(tmp_path: Path) -> None:
    text = rendered(tmp_path, WITHOUT_SYSTEM)
    assert text.startswith("<|a|>user=Be brief.\n\nYou can call these tools:\n{")
    assert "}\n\n1+2?;<|a|>assistant=" in text


@pytest.mark.parametrize("template", [None, REFUSES_ALL])
def test_without_a_template_that_works_the_dialogue_is_plain_text(
    tmp_path: Path, template: str | None
) -> None:
    text = rendered(tmp_path, template)
    assert text == plain_text(DIALOGUE)
    assert text.startswith("System: Be brief.\n\nYou can call these tools:\n{")
    assert f"User: 1+2?\n\nAssistant: {FLAT_CALL}\n\nUser: <tool_response>3" in text
