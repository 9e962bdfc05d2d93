"""Splits a reply, while it is written, into reasoning, content and tool calls.

Text from the first mark of a call on is held back until the reply ends; then it is parsed. If it
cannot be parsed, it is content: nothing that a model wrote is dropped. The result does not depend
on how the reply is cut into pieces.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from zeropoint.server.tools.calls import ToolCall, Tools
from zeropoint.server.tools.channels import ChannelReader
from zeropoint.server.tools.forms import ToolForm, form_of, parse_plain
from zeropoint.server.tools.pieces import Piece, held_suffix

THINK, UNTHINK = "<think>", "</think>"
CHANNEL = "<|channel|>"


class ReplySplitter(Protocol):
    """Reads one reply."""

    def push(self, text: str) -> list[Piece]:
        """Return what more text adds."""

    def finish(self) -> tuple[list[Piece], list[ToolCall]]:
        """Return what was held back, and the calls."""


class ReplyReader:
    """Reads a reply with optional reasoning in tags, and calls in one form."""

    def __init__(self, form: ToolForm | None, tools: Tools, *, reasoning: str) -> None:
        """`form` None reads no calls. `reasoning` is "off", "tagged", or "open" if the prompt has
        opened it already.
        """
        self._form = form
        self._tools = tools
        self._reasoning = {"off": "after", "tagged": "before", "open": "inside"}[reasoning]
        self._thoughts = ""  # text that is not yet known to be reasoning or not
        self._begun = False  # whether reasoning has shown anything yet
        self._closed = False  # whether reasoning has ended; blanks may follow
        self._answer = ""  # text of the answer that is held back
        self._shown = False  # whether the answer has shown anything yet
        self._calling = False

    def push(self, text: str) -> list[Piece]:
        """Return what may be shown now."""
        pieces, rest = self._think(text)
        return [*pieces, *self._say(rest)]

    def finish(self) -> tuple[list[Piece], list[ToolCall]]:
        """Return what was held back, and the calls."""
        pieces: list[Piece] = []
        if self._reasoning == "inside":
            pieces += self._thought(self._thoughts)
        else:
            pieces += self._say(self._thoughts)
        held, self._answer, self._thoughts = self._answer, "", ""
        parsed = self._parse(held) if self._form and held else None
        if parsed is None:
            return pieces + _content(held), []
        content, calls = parsed
        return pieces + _content(content), calls

    def _parse(self, text: str) -> tuple[str, list[ToolCall]] | None:
        assert self._form is not None
        if self._calling and self._form.markers:
            parsed = self._form.parse(text, self._tools)
            if parsed is not None:
                return parsed
        if not self._shown:
            parsed = parse_plain(text, self._tools) or self._form.parse(text, self._tools)
            return parsed if parsed and parsed[1] else None
        return None

    def _think(self, text: str) -> tuple[list[Piece], str]:
        if self._reasoning == "after":
            return [], text
        self._thoughts += text
        if self._reasoning == "before":
            begun = self._thoughts.lstrip()
            if not begun.startswith(THINK):
                if THINK.startswith(begun):
                    return [], ""
                self._reasoning, rest, self._thoughts = "after", self._thoughts, ""
                return [], rest
            self._reasoning, self._thoughts = "inside", begun.removeprefix(THINK)
        thought, closed, rest = self._thoughts.partition(UNTHINK)
        if closed:
            self._reasoning, self._thoughts, self._closed = "after", "", True
            return self._thought(thought.rstrip()), rest.lstrip()
        # Blanks before the closing tag belong to no thought.
        keep = held_suffix(thought, [UNTHINK])
        shown = thought[: len(thought) - keep].rstrip()
        self._thoughts = thought[len(shown) :]
        return self._thought(shown), ""

    def _thought(self, text: str) -> list[Piece]:
        if not self._begun:
            text = text.lstrip()
        self._begun = self._begun or bool(text)
        return [Piece("reasoning", text)] if text else []

    def _say(self, text: str) -> list[Piece]:
        """Return text of the answer that belongs to no call."""
        if not self._shown and not self._answer and self._closed:
            text = text.lstrip()
        self._answer += text
        if self._form is None:
            return self._show(len(self._answer))
        if self._calling:
            return []
        starts = [at for mark in self._form.markers if (at := self._answer.find(mark)) >= 0]
        if starts:
            self._calling = True
            return self._show(min(starts))
        if not self._shown and self._may_be_plain():
            return []
        return self._show(len(self._answer) - held_suffix(self._answer, self._form.markers))

    def _may_be_plain(self) -> bool:
        """Whether the whole reply may be a call without marks."""
        begun = self._answer.lstrip()
        return begun.startswith(("{", "[{", "```json", "```\n{")) or any(
            mark.startswith(begun) for mark in ("```json", "```\n{", "[{")
        )

    def _show(self, size: int) -> list[Piece]:
        shown, self._answer = self._answer[:size], self._answer[size:]
        self._shown = self._shown or bool(shown.strip())
        return _content(shown)


def _content(text: str) -> list[Piece]:
    return [Piece("content", text)] if text else []


def make_reader(
    template: str, tools: Mapping[str, Mapping[str, Any]] | None, ending: str, *, split: bool
) -> ReplySplitter:
    """Return the reader of a reply.

    `template` is the model's chat template, `tools` None reads no calls, `ending` is the end of the
    prompt, and `split` tells whether reasoning is separated.
    """
    if CHANNEL in template:
        return ChannelReader()
    reasoning = "off"
    if split and UNTHINK in template:
        reasoning = "open" if ending.rstrip().endswith(THINK) else "tagged"
    form = None if tools is None else form_of(template)
    return ReplyReader(form, tools or {}, reasoning=reasoning)


def shows_control_tokens(template: str, *, tools: bool) -> bool:
    """Return whether a reply can only be read with its control tokens shown."""
    return CHANNEL in template or (tools and form_of(template).special)
