"""Dialogues with tool calls, rendered by the chat template of the model that reads them.

Many templates have no place for tools: they raise an error, or leave them out. Then the tools are
written into the messages: their definitions into the system message, a call into the assistant's
message as <tool_call>JSON</tool_call>, and a result into a message of the user. A template that
refuses a system message gets its text in front of the first message of the user.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from zeropoint.checkpoints import Checkpoint
from zeropoint.errors import UnsupportedModel
from zeropoint.models.chat import has_template, render_messages
from zeropoint.models.tokenizer import Tokenizer

Message = Mapping[str, Any]


@dataclass(frozen=True)
class Dialogue:
    """Messages, and the tools that the assistant may call, as chat templates take them."""

    messages: Sequence[Message]
    tools: Sequence[Mapping[str, Any]] = ()


def parse_dialogue(line: str) -> Dialogue:
    """Return the dialogue of one line of JSON with the keys `messages` and `tools`."""
    fields = json.loads(line)
    return Dialogue(tuple(fields["messages"]), tuple(fields["tools"]))


def plain_text(dialogue: Dialogue) -> str:
    """Return a dialogue as text for a model without a chat template.

    >>> print(plain_text(Dialogue([{"role": "user", "content": "Hi"}])))
    User: Hi
    """
    messages = _without_tools(dialogue).messages
    return "\n\n".join(f"{m['role'].capitalize()}: {m['content']}" for m in messages)


def encode_dialogues(
    checkpoint: Checkpoint, tokenizer: Tokenizer, dialogues: Sequence[Dialogue]
) -> list[int]:
    """Return the tokens of dialogues, one after the other; control tokens are parsed.

    They are rendered by the model's own chat template, and as plain text if it has none, or one
    that renders none of the forms (see the top of this file).
    """
    if has_template(checkpoint):
        for form in (_as_they_are, _without_tools, _without_system):
            texts = _render(checkpoint, tokenizer, [form(dialogue) for dialogue in dialogues])
            if texts and all(map(_is_complete, texts, dialogues)):
                return tokenizer.encode("".join(texts), special=True)
    return tokenizer.encode("\n\n".join(map(plain_text, dialogues)), ends=True)


def _render(
    checkpoint: Checkpoint, tokenizer: Tokenizer, dialogues: Sequence[Dialogue]
) -> list[str] | None:
    conversations = [
        {"messages": dialogue.messages, "tools": dialogue.tools or None} for dialogue in dialogues
    ]
    try:
        return render_messages(checkpoint, tokenizer, conversations)
    except UnsupportedModel:
        return None


def _is_complete(text: str, dialogue: Dialogue) -> bool:
    """Return whether a rendered dialogue has every message, tool, call and result."""
    calls = [call["function"] for m in dialogue.messages for call in m.get("tool_calls", ())]
    names = [tool["function"]["name"] for tool in dialogue.tools] + [c["name"] for c in calls]
    words = [word for m in dialogue.messages for word in str(m["content"]).split()[-1:]]
    words += [tool["function"]["description"] for tool in dialogue.tools]
    return all(word in text for word in words) and all(
        text.count(name) >= names.count(name) for name in names
    )


def _as_they_are(dialogue: Dialogue) -> Dialogue:
    return dialogue


def _without_tools(dialogue: Dialogue) -> Dialogue:
    """Write the tools of a dialogue into its messages."""
    messages: list[dict[str, str]] = []
    if dialogue.tools:
        definitions = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in dialogue.tools)
        messages.append({"role": "system", "content": f"You can call these tools:\n{definitions}"})
    for message in dialogue.messages:
        role, content = message["role"], str(message["content"])
        for call in message.get("tool_calls", ()):
            function = json.dumps(call["function"], ensure_ascii=False)
            content += f"<tool_call>{function}</tool_call>"
        if role == "tool":
            role, content = "user", f"<tool_response>{content}</tool_response>"
        if role == "system" and messages:
            messages[0]["content"] = f"{content}\n\n{messages[0]['content']}"
        else:
            messages.append({"role": role, "content": content})
    return Dialogue(messages)


def _without_system(dialogue: Dialogue) -> Dialogue:
    """Write the system message of a dialogue in front of the first message of the user."""
    flat = _without_tools(dialogue)
    first, *rest = flat.messages
    if first["role"] != "system":
        return flat
    content = f"{first['content']}\n\n{rest[0]['content']}"
    return replace(flat, messages=({**rest[0], "content": content}, *rest[1:]))
