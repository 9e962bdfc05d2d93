"""`POST /v1/messages`: Anthropic's API, as a translation of chat completions."""

import json
from collections.abc import Mapping
from typing import Any

from zeropoint.server.http.chat import ChatAnswer
from zeropoint.server.http.chat_request import ChatRequest, read_chat
from zeropoint.server.http.errors import ApiError, bad
from zeropoint.server.http.fields import Fields
from zeropoint.server.http.results import new_id

Event = Mapping[str, Any]
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def read_messages_request(values: Mapping[str, Any], facts: Mapping[str, Any]) -> ChatRequest:
    """Return the chat that a request means. Raises ApiError that names the field."""
    fields = Fields(values)
    if fields.integer("max_tokens", 0) is None:
        raise bad("max_tokens", "max_tokens is missing")
    chat = {
        name: fields.values[name]
        for name in ("model", "max_tokens", "temperature", "top_p", "top_k", "stream")
        if name in fields
    }
    chat["stop"] = fields.texts("stop_sequences", 16)
    chat["messages"] = translate_messages(fields)
    tools = fields.sequence("tools")
    if tools:
        chat["tools"] = [_tool(tool, at) for at, tool in enumerate(tools)]
        choice = fields.mapping("tool_choice") or {"type": "auto"}
        kind = choice.get("type")
        if kind == "tool":
            chat["tool_choice"] = {"type": "function", "function": {"name": choice.get("name")}}
        elif kind in _CHOICES:
            chat["tool_choice"] = _CHOICES[kind]
        else:
            raise bad("tool_choice.type", "tool_choice.type must be auto, any, tool or none")
    return read_chat(chat, facts)


def translate_messages(fields: Fields) -> list[dict[str, Any]]:
    """Return the messages in OpenAI's form, the system's first."""
    messages: list[dict[str, Any]] = []
    system = fields.values.get("system")
    if system is not None:
        messages.append({"role": "system", "content": _text(system, "system")})
    for at, message in enumerate(fields.sequence("messages") or []):
        path = f"messages[{at}]"
        if not isinstance(message, dict) or message.get("role") not in ("user", "assistant"):
            raise bad(f"{path}.role", f"{path}.role must be user or assistant")
        content = message.get("content")
        blocks = content if isinstance(content, list) else [{"type": "text", "text": content}]
        messages += _translated(message["role"], blocks, f"{path}.content")
    return messages


def _translated(role: str, blocks: list[Any], path: str) -> list[dict[str, Any]]:
    """Return one message, after the results of tools that it holds."""
    texts, thoughts, calls = [], [], []
    results: list[dict[str, Any]] = []
    for at, block in enumerate(blocks):
        kind = block.get("type") if isinstance(block, dict) else None
        match kind:
            case "text":
                texts.append(_text(block.get("text"), f"{path}[{at}].text"))
            case "thinking":
                thoughts.append(_text(block.get("thinking"), f"{path}[{at}].thinking"))
            case "redacted_thinking":
                continue
            case "tool_use":
                arguments = json.dumps(block.get("input", {}))
                function = {"name": block.get("name"), "arguments": arguments}
                calls.append({"id": block.get("id"), "type": "function", "function": function})
            case "tool_result":
                content = _text(block.get("content", ""), f"{path}[{at}].content")
                tool = {"role": "tool", "tool_call_id": str(block.get("tool_use_id"))}
                results.append({**tool, "content": content})
            case _:
                raise bad(f"{path}[{at}].type", f"{path}[{at}].type {kind!r} is not supported")
    message: dict[str, Any] = {"role": role, "content": "\n".join(texts)}
    if calls:
        message["tool_calls"] = calls
    if thoughts:
        message["reasoning_content"] = "\n".join(thoughts)
    return [*results, *([message] if texts or calls or thoughts or not results else [])]


def _text(value: Any, path: str) -> str:
    """Return a string, or the joined text blocks of a list."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        parts = [one.get("text") if isinstance(one, dict) else None for one in value]
        if all(isinstance(part, str) for part in parts):
            return "\n".join(map(str, parts))
    raise bad(path, f"{path} must be a string or an array of text blocks")


def _tool(tool: Any, at: int) -> dict[str, Any]:
    if not isinstance(tool, dict) or "input_schema" not in tool:
        raise ApiError(
            501,
            f"tools[{at}] has no input_schema; tools that run on a server are not supported",
            param=f"tools[{at}].type",
        )
    function = {"name": tool.get("name"), "parameters": tool["input_schema"]}
    if isinstance(tool.get("description"), str):
        function["description"] = tool["description"]
    return {"type": "function", "function": function}


class MessagesAnswer:
    """Writes the events of a chat in Anthropic's form."""

    def __init__(self, request: ChatRequest, template: str) -> None:
        self._request = request
        self._chat = ChatAnswer(request, template)
        self._id = new_id("msg")
        self._open = ""  # kind of the block that is open
        self._blocks = 0

    def collect(self, index: int, event: Event) -> None:
        """Take an event of an answer that is sent whole."""
        self._chat.collect(index, event)

    def body(self) -> dict[str, Any]:
        """Return the `message` object."""
        choice = self._chat.choices[0]
        message = choice.message()
        content: list[dict[str, Any]] = []
        if "reasoning_content" in message:
            thought = message["reasoning_content"]
            content.append({"type": "thinking", "thinking": thought, "signature": ""})
        if message["content"]:
            content.append({"type": "text", "text": message["content"]})
        for call in choice.calls:
            arguments = json.loads(call["function"]["arguments"])
            content.append({**_call_block(call), "input": arguments})
        return {**self._frame(), "content": content, **self._stop(), "usage": self._usage()}

    def chunks(self, index: int, event: Event) -> list[dict[str, Any]]:
        """Return the events of the stream for an event of the engine."""
        deltas = self._chat.deltas(index, event)
        chunks: list[dict[str, Any]] = []
        if event["type"] == "begin":
            usage = {"input_tokens": event["prompt_tokens"], "output_tokens": 0}
            message = {**self._frame(), "content": [], "stop_reason": None, "stop_sequence": None}
            chunks.append({"type": "message_start", "message": {**message, "usage": usage}})
        for delta in deltas:
            chunks += self._block(delta)
        if event["type"] == "end":
            chunks += self._close()
            usage = {"output_tokens": self._usage()["output_tokens"]}
            chunks.append({"type": "message_delta", "delta": self._stop(), "usage": usage})
            chunks.append({"type": "message_stop"})
        return chunks

    def _block(self, delta: Mapping[str, Any]) -> list[dict[str, Any]]:
        if "tool_calls" in delta:
            (call,) = delta["tool_calls"]
            block = {**_call_block(call), "input": {}}
            arguments = {"type": "input_json_delta", "partial_json": call["function"]["arguments"]}
            return [*self._begin("tool_use", block), self._delta(arguments), *self._close()]
        if "reasoning_content" in delta:
            opened = {"type": "thinking", "thinking": "", "signature": ""}
            part = {"type": "thinking_delta", "thinking": delta["reasoning_content"]}
        else:
            opened = {"type": "text", "text": ""}
            part = {"type": "text_delta", "text": delta["content"]}
        kind = opened["type"]
        return [*([] if kind == self._open else self._begin(kind, opened)), self._delta(part)]

    def _begin(self, kind: str, block: Mapping[str, Any]) -> list[dict[str, Any]]:
        closed = self._close()
        self._open = kind
        start = {"type": "content_block_start", "index": self._blocks, "content_block": block}
        return [*closed, start]

    def _delta(self, delta: Mapping[str, Any]) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": self._blocks, "delta": delta}

    def _close(self) -> list[dict[str, Any]]:
        if not self._open:
            return []
        self._open = ""
        self._blocks += 1
        return [{"type": "content_block_stop", "index": self._blocks - 1}]

    def _frame(self) -> dict[str, Any]:
        frame = {"id": self._id, "type": "message", "role": "assistant"}
        return {**frame, "model": self._request.model}

    def _stop(self) -> dict[str, Any]:
        choice = self._chat.choices[0]
        stop = choice.end["stop"] if choice.end["reason"] == "word" else None
        reasons = {"tool_calls": "tool_use", "length": "max_tokens", "stop": "end_turn"}
        reason = "stop_sequence" if stop else reasons[choice.reason]
        return {"stop_reason": reason, "stop_sequence": stop}

    def _usage(self) -> dict[str, Any]:
        end = self._chat.choices[0].end
        cached = end["cached_tokens"]
        return {
            "input_tokens": end["prompt_tokens"] - cached,
            "cache_read_input_tokens": cached,
            "output_tokens": end["tokens"],
        }


def _call_block(call: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "tool_use", "id": call["id"], "name": call["function"]["name"]}


def event_line(value: Mapping[str, Any]) -> str:
    """Return a server-sent event with its name, as Anthropic's clients expect it."""
    kind = value.get("type", "error")
    data = dict(value) if "type" in value else {"type": "error", **value}
    return f"event: {kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
