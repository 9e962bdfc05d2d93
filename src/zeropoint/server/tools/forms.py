"""The forms in which models write tool calls: each is a pure function from text to calls.

A form has markers that begin its calls, and `parse`, which takes the text from the first marker to
the end of the reply. It returns the text that belongs to no call and the calls, or None if the text
is not in this form.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from zeropoint.server.tools.calls import ToolCall, Tools, calls_of, read_object

Parsed = tuple[str, list[ToolCall]] | None


class ToolForm(Protocol):
    """One written form of tool calls."""

    @property
    def markers(self) -> tuple[str, ...]:
        """What begins a call."""

    @property
    def special(self) -> bool:
        """Whether a marker is a control token, which has to be shown then."""

    def parse(self, text: str, tools: Tools) -> Parsed:
        """Return the remaining text and the calls, or None."""

    def forced(self, schema: Mapping[str, Any]) -> str:
        """Return a Lark grammar of one call {"name", "arguments"} that follows a schema."""


@dataclass(frozen=True)
class TaggedJson:
    """`<tool_call>{"name": …, "arguments": …}</tool_call>`, any number of times."""

    opening: str = "<tool_call>"
    closing: str = "</tool_call>"
    special: bool = False

    @property
    def markers(self) -> tuple[str, ...]:
        """The opening tag."""
        return (self.opening,)

    def parse(self, text: str, tools: Tools) -> Parsed:
        """Read calls until the text ends; the last closing tag may be missing."""
        calls: list[ToolCall] = []
        kept, at = "", 0
        while (start := text.find(self.opening, at)) >= 0:
            kept += text[at:start]
            found = read_object(text, start + len(self.opening))
            several = calls_of(found[0], tools) if found else None
            if found is None or several is None:
                return None
            calls += several
            at = found[1]
            rest = text[at:].lstrip()
            if rest.startswith(self.closing):
                at = text.index(self.closing, at) + len(self.closing)
        return (kept + text[at:]).strip(), calls

    def forced(self, schema: Mapping[str, Any]) -> str:
        """Return the grammar: the JSON object between its tags."""
        opening, closing = json.dumps(self.opening + "\n"), json.dumps("\n" + self.closing)
        return f"start: {opening} call {closing}\ncall: %json {json.dumps(schema)}\n"


@dataclass(frozen=True)
class TaggedXml:
    """`<function=NAME><parameter=KEY>value</parameter></function>`, inside of optional tags.

    Values are raw text, which becomes what the tool's schema says.
    """

    markers: tuple[str, ...] = ("<tool_call>", "<function=")
    special: bool = False

    def parse(self, text: str, tools: Tools) -> Parsed:
        """Read every function; its closing tags may be missing at the end."""
        calls = []
        for match in _FUNCTION.finditer(text):
            name, body = match["name"].strip(), match["body"]
            properties = _properties(tools.get(name, {}))
            arguments = {
                one["key"].strip(): _cast(
                    _unwrapped(one["value"]), properties.get(one["key"].strip())
                )
                for one in _PARAMETER.finditer(body)
            }
            calls.append(ToolCall(name, json.dumps(arguments, ensure_ascii=False)))
        rest = _FUNCTION.sub("", text).replace("<tool_call>", "").replace("</tool_call>", "")
        return (rest.strip(), calls) if calls else None

    def forced(self, schema: Mapping[str, Any]) -> str:
        """Return the grammar of a JSON object, which every form accepts."""
        return f"start: call\ncall: %json {json.dumps(schema)}\n"


_FUNCTION = re.compile(
    r"(?:<tool_call>\s*)?<function=(?P<name>[^>\n]+)>(?P<body>.*?)"
    r"(?:</function>\s*(?:</tool_call>)?|</tool_call>|\Z)",
    re.DOTALL,
)
_PARAMETER = re.compile(
    r"<parameter=(?P<key>[^>\n]+)>(?P<value>.*?)(?:</parameter>|(?=<parameter=)|\Z)", re.DOTALL
)


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = schema.get("properties")
    return properties if isinstance(properties, Mapping) else {}


def _unwrapped(value: str) -> str:
    return value.removeprefix("\n").removesuffix("\n")


def _cast(text: str, schema: Any) -> Any:
    """Return a value as the type in its schema; text that is none stays text."""
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    if kind in (None, "string"):
        return text
    found = read_object(text)
    if found is not None and not text[found[1] :].strip():
        return found[0]
    words = {"true": True, "false": False, "null": None, "none": None}
    return words.get(text.strip().lower(), text)


@dataclass(frozen=True)
class BareJson:
    """`{"name": …, "parameters": …}` as the whole reply, perhaps after a control token."""

    markers: tuple[str, ...] = ("<|python_tag|>",)
    special: bool = True

    def parse(self, text: str, tools: Tools) -> Parsed:
        """Read objects that are separated by semicolons, blanks or nothing."""
        calls: list[ToolCall] = []
        rest = text.replace("<|python_tag|>", "").strip()
        while rest:
            found = read_object(rest)
            several = calls_of(found[0], tools) if found else None
            if found is None or several is None:
                return None
            calls += several
            rest = rest[found[1] :].lstrip(" ;\n\t")
            rest = re.sub(r"^(<\|eom_id\|>|<\|eot_id\|>)", "", rest).strip()
        return ("", calls) if calls else None

    def forced(self, schema: Mapping[str, Any]) -> str:
        """Return the grammar of the object, whose arguments are called parameters."""
        renamed = json.loads(json.dumps(schema).replace('"arguments"', '"parameters"'))
        return f"start: call\ncall: %json {json.dumps(renamed)}\n"


@dataclass(frozen=True)
class MarkedList:
    """`[TOOL_CALLS][{…}, …]`, or `[TOOL_CALLS]name[ARGS]{…}` any number of times."""

    marker: str = "[TOOL_CALLS]"
    special: bool = True

    @property
    def markers(self) -> tuple[str, ...]:
        """The control token."""
        return (self.marker,)

    def parse(self, text: str, tools: Tools) -> Parsed:
        """Read the list, or each named call."""
        calls: list[ToolCall] = []
        for part in text.split(self.marker)[1:]:
            name, found_arguments, rest = part.partition("[ARGS]")
            found = read_object(rest if found_arguments else part)
            if found is None:
                return None
            value = {"name": name.strip(), "arguments": found[0]} if found_arguments else found[0]
            several = calls_of(value, tools)
            if several is None:
                return None
            calls += several
        return text.split(self.marker)[0].strip(), calls

    def forced(self, schema: Mapping[str, Any]) -> str:
        """Return the grammar of a JSON object, which every form accepts."""
        return f"start: call\ncall: %json {json.dumps(schema)}\n"


@dataclass(frozen=True)
class PlainJson:
    """For models whose template has no form: a JSON object or a fence of JSON is the reply."""

    markers: tuple[str, ...] = ()
    special: bool = False

    def parse(self, text: str, tools: Tools) -> Parsed:
        """Return the calls of `parse_plain`."""
        return parse_plain(text, tools)

    def forced(self, schema: Mapping[str, Any]) -> str:
        """Return the grammar of the object."""
        return f"start: call\ncall: %json {json.dumps(schema)}\n"


def parse_plain(text: str, tools: Tools) -> Parsed:
    """Read a reply that is one JSON object, or a fence of JSON, and calls an offered tool.

    Models that were taught tags often leave them out.

    >>> parse_plain('```json\\n{"name": "f", "arguments": {}}\\n```', {"f": {}})
    ('', [ToolCall(name='f', arguments='{}')])
    """
    body = text.strip()
    fence = re.fullmatch(r"```(?:json)?\s*(.*?)\s*(?:```)?", body, re.DOTALL)
    found = read_object(fence[1] if fence else body)
    if found is None:
        return None
    calls = calls_of(found[0], tools, only_offered=True)
    rest = (fence[1] if fence else body)[found[1] :].strip()
    if calls is None or rest:
        return None
    return "", calls


def form_of(template: str) -> ToolForm:
    """Return the form that a chat template teaches, found by the marks that it writes."""
    if "<function=" in template and "<parameter=" in template:
        return TaggedXml()
    if "<tool_call>" in template:
        return TaggedJson()
    if "[TOOL_CALLS]" in template:
        return MarkedList()
    if "<|python_tag|>" in template or '"parameters": ' in template:
        return BareJson()
    return PlainJson()
