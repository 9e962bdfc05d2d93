"""Reads `POST /v1/chat/completions`: messages, tools and their choice."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zeropoint.server.http.errors import bad, unsupported
from zeropoint.server.http.fields import Fields
from zeropoint.server.http.settings import MAX_TOP_TOKENS, read_format, read_settings
from zeropoint.server.tools.forms import form_of
from zeropoint.server.tools.reply_reader import shows_control_tokens

ROLES = ("system", "developer", "user", "assistant", "tool")
MAX_TOOLS = 256


@dataclass
class ChatRequest:
    """A chat as the engine takes it, and what the answer needs to know."""

    work: dict[str, Any]
    model: str
    choices: int = 1
    stream: bool = False
    include_usage: bool = False
    logprobs: bool = False
    tools: dict[str, Mapping[str, Any]] | None = None  # None: calls are not read
    split_reasoning: bool = True
    progress: bool = False


def read_chat(values: Mapping[str, Any], facts: Mapping[str, Any]) -> ChatRequest:
    """Return a checked request. `facts` are the engine's. Raises ApiError that names the field."""
    fields = Fields(values)
    for name in ("functions", "function_call"):
        if name in fields:
            raise bad(name, f"{name} is not supported; use tools and tool_choice")
    if fields.values.get("audio") or "audio" in (fields.sequence("modalities") or []):
        raise unsupported("modalities", 'audio is not supported; modalities must be ["text"]')
    if "web_search_options" in fields:
        raise unsupported("web_search_options", "web_search_options is not supported")
    messages, begun = read_messages(fields)
    variables = dict(fields.mapping("chat_template_kwargs") or {})
    effort = fields.text("reasoning_effort")
    if effort is not None:
        variables.setdefault("reasoning_effort", effort)
    variables["add_generation_prompt"] = fields.boolean("add_generation_prompt", True)
    work = read_settings(fields)
    work["limit"] = _limit(fields)
    template = str(facts["chat_template"])
    tools = _read_tools(fields)
    forced = _forced(fields, tools, template)
    if tools and fields.values.get("tool_choice") != "none":
        variables["tools"] = fields.values["tools"]
        if "tools" not in template:
            messages = describe_tools(messages, fields.values["tools"])
    else:
        tools = None
    grammar = read_format(fields)
    if grammar and forced:
        raise bad("response_format", "response_format cannot be combined with a required tool")
    logprobs = fields.boolean("logprobs")
    top = fields.integer("top_logprobs", 0, MAX_TOP_TOKENS)
    if top is not None and not logprobs:
        raise bad("top_logprobs", "top_logprobs needs logprobs to be true")
    work |= {
        "prompt": {"kind": "chat", "messages": messages, "variables": variables, "begun": begun},
        "grammar": forced or grammar,
        "top": (top or 0) if logprobs else None,
        "special": shows_control_tokens(template, tools=tools is not None),
    }
    options = Fields(fields.mapping("stream_options") or {}, "stream_options.")
    return ChatRequest(
        work=work,
        model=fields.text("model") or str(facts["name"]),
        choices=fields.integer("n", 1, int(facts["slots"])) or 1,
        stream=fields.boolean("stream"),
        include_usage=options.boolean("include_usage"),
        logprobs=logprobs,
        tools=tools,
        split_reasoning=fields.text("reasoning_format") != "none",
        progress=fields.boolean("return_progress"),
    )


def _limit(fields: Fields) -> int:
    """Return the tokens to generate: `max_completion_tokens`, or `max_tokens`; −1: no limit."""
    limits = [
        fields.integer(name, -1) for name in ("max_completion_tokens", "max_tokens", "n_predict")
    ]
    return next((one for one in limits if one is not None), -1)


def read_messages(fields: Fields) -> tuple[list[dict[str, Any]], str]:
    """Return the messages, and the beginning of the answer: a last message of the assistant.

    Contents become strings, and the arguments of calls objects, as chat templates expect them.
    """
    values = fields.sequence("messages")
    if not values:
        raise bad("messages", "messages must be an array with at least one message")
    messages = [_message(value, f"messages[{at}]") for at, value in enumerate(values)]
    last = messages[-1]
    if last["role"] != "assistant" or last.get("tool_calls"):
        return messages, ""
    if len(messages) > 1 and messages[-2]["role"] == "assistant":
        raise bad("messages", "messages may end with one message of the assistant, not with two")
    if len(messages) == 1:
        raise bad("messages", "messages must have a message before that of the assistant")
    return messages[:-1], str(last["content"] or "")


def _message(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise bad(path, f"{path} must be an object")
    fields = Fields(value, f"{path}.")
    role = fields.text("role")
    if role not in ROLES:
        raise bad(f"{path}.role", f"{path}.role must be one of {', '.join(ROLES)}")
    content = _content(fields.values.get("content"), f"{path}.content")
    calls = fields.sequence("tool_calls")
    if content is None and not calls and "reasoning_content" not in fields:
        raise bad(f"{path}.content", f"{path}.content is missing")
    message: dict[str, Any] = {"role": "system" if role == "developer" else role}
    message["content"] = "" if content is None else content
    for name in ("name", "tool_call_id", "reasoning_content"):
        if name in fields:
            message[name] = fields.text(name)
    if calls:
        message["tool_calls"] = [
            _past_call(one, f"{path}.tool_calls[{at}]") for at, one in enumerate(calls)
        ]
    return message


def _content(value: Any, path: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise bad(path, f"{path} must be a string or an array of parts")
    texts = []
    for at, part in enumerate(value):
        kind = part.get("type") if isinstance(part, dict) else None
        text = part.get("text") if isinstance(part, dict) else None
        if kind not in ("text", "input_text", "output_text") or not isinstance(text, str):
            shown = kind if isinstance(kind, str) else "unknown"
            raise bad(f"{path}[{at}]", f"{path}[{at}] is of the type {shown!r}; only text is read")
        texts.append(text)
    return "\n".join(texts)


def _past_call(value: Any, path: str) -> dict[str, Any]:
    """Return an earlier call of the assistant; its arguments arrive as the text of an object."""
    function = value.get("function") if isinstance(value, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise bad(path, f"{path}.function.name must be a string")
    arguments = function.get("arguments", "{}")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except (ValueError, RecursionError):
            arguments = None
    if not isinstance(arguments, dict):
        raise bad(path, f"{path}.function.arguments must be the text of a JSON object")
    call = {"type": "function", "function": {"name": function["name"], "arguments": arguments}}
    return {**call, "id": value["id"]} if isinstance(value.get("id"), str) else call


def _read_tools(fields: Fields) -> dict[str, Mapping[str, Any]] | None:
    """Return the schema of the arguments of each tool, or None."""
    values = fields.sequence("tools")
    if not values:
        return None
    if len(values) > MAX_TOOLS:
        raise bad("tools", f"tools may have at most {MAX_TOOLS} items")
    tools: dict[str, Mapping[str, Any]] = {}
    for at, value in enumerate(values):
        function = value.get("function") if isinstance(value, dict) else None
        if not isinstance(value, dict) or value.get("type", "function") != "function":
            raise unsupported(f"tools[{at}].type", f"tools[{at}].type must be function")
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise bad(f"tools[{at}].function.name", f"tools[{at}].function.name must be a string")
        schema = function.get("parameters") or {}
        if not isinstance(schema, dict):
            raise bad(
                f"tools[{at}].function.parameters",
                f"tools[{at}].function.parameters must be an object",
            )
        tools[function["name"]] = schema
    return tools


def _forced(
    fields: Fields, tools: dict[str, Mapping[str, Any]] | None, template: str
) -> dict[str, Any] | None:
    """Return the grammar of a required call, or None if the model may choose."""
    choice = fields.values.get("tool_choice", "auto")
    if choice in ("auto", "none"):
        return None
    if not tools:
        raise bad("tool_choice", "tool_choice needs tools")
    names = list(tools)
    if isinstance(choice, dict):
        function = choice.get("function")
        name = function.get("name") if isinstance(function, dict) else None
        if name not in tools:
            raise bad("tool_choice", "tool_choice names a function that is not in tools")
        names = [name]
    elif choice != "required":
        raise bad("tool_choice", "tool_choice must be none, auto, required or a function")
    one_of = [
        {
            "type": "object",
            "properties": {"name": {"const": name}, "arguments": _arguments(tools[name])},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for name in names
    ]
    schema = one_of[0] if len(one_of) == 1 else {"anyOf": one_of}
    return {"lark": form_of(template).forced(schema)}


def describe_tools(messages: list[dict[str, Any]], tools: list[Any]) -> list[dict[str, Any]]:
    """Return messages whose system message describes tools, for templates that do not."""
    listed = json.dumps([tool["function"] for tool in tools], ensure_ascii=False)
    text = (
        "You can call a function by answering with nothing but one JSON object:"
        f' {{"name": NAME, "arguments": OBJECT}}. The functions are: {listed}'
    )
    if messages[0]["role"] == "system":
        first = {**messages[0], "content": f"{messages[0]['content']}\n\n{text}"}
        return [first, *messages[1:]]
    return [{"role": "system", "content": text}, *messages]


def _arguments(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    return schema if schema else {"type": "object"}
