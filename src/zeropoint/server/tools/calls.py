"""Tool calls, and JSON objects inside of text."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Tools = Mapping[str, Mapping[str, Any]]  # the JSON schema of each tool's arguments, by name


@dataclass(frozen=True)
class ToolCall:
    """A call that a model wrote; `arguments` is the text of a JSON object."""

    name: str
    arguments: str


def read_object(text: str, at: int = 0) -> tuple[Any, int] | None:
    """Return the JSON value that begins at a place of a text, and its end; None if there is none.

    >>> read_object('x {"a": 1} y', 1)
    ({'a': 1}, 10)
    """
    while at < len(text) and text[at].isspace():
        at += 1
    try:
        return json.JSONDecoder(strict=False).raw_decode(text, at)
    except (ValueError, RecursionError):
        return None


def call_of(value: Any, tools: Tools, *, only_offered: bool = False) -> ToolCall | None:
    """Return the call of a JSON object {"name", "arguments" or "parameters"}; None for others."""
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return None
    arguments = value.get("arguments", value.get("parameters", {}))
    if isinstance(arguments, str):  # written twice: a text that holds JSON
        found = read_object(arguments)
        arguments = found[0] if found else None
    if not isinstance(arguments, dict) or (only_offered and value["name"] not in tools):
        return None
    return ToolCall(value["name"], json.dumps(arguments, ensure_ascii=False))


def calls_of(value: Any, tools: Tools, *, only_offered: bool = False) -> list[ToolCall] | None:
    """Return the calls of one JSON object or of a list of them; None if one is no call."""
    values: Sequence[Any] = value if isinstance(value, list) else [value]
    calls = [call_of(one, tools, only_offered=only_offered) for one in values]
    return [call for call in calls if call] if calls and all(calls) else None
