"""Replies in channels: `<|channel|>NAME to=RECIPIENT<|message|>text<|end|>`, one after another.

The channel `analysis` is reasoning, `final` is the answer, and a message to `functions.NAME` is a
call (https://github.com/openai/harmony, docs/format.md).
"""

import re

from zeropoint.server.tools.calls import ToolCall, read_object
from zeropoint.server.tools.pieces import Piece, held_suffix

MESSAGE = "<|message|>"
ENDS = ("<|end|>", "<|call|>", "<|return|>", "<|start|>")


class ChannelReader:
    """Splits such a reply while it is written; the text must show control tokens."""

    def __init__(self) -> None:
        self._text = ""
        self._kind = ""  # of the message that is being read: reasoning, content or call
        self._name = ""
        self._arguments = ""
        self._calls: list[ToolCall] = []

    def push(self, text: str) -> list[Piece]:
        """Return what the text adds to the reasoning and to the answer."""
        self._text += text
        pieces: list[Piece] = []
        while self._advance(pieces):
            pass
        return pieces

    def finish(self) -> tuple[list[Piece], list[ToolCall]]:
        """Return what is left, and the calls."""
        pieces: list[Piece] = []
        if self._kind:
            self._body(self._text, pieces)
            self._close(pieces)
        elif self._text and "<|" not in self._text:
            pieces.append(Piece("content", self._text))  # a reply without channels
        self._text = ""
        return pieces, self._calls

    def _advance(self, pieces: list[Piece]) -> bool:
        if not self._kind:
            header, found, rest = self._text.partition(MESSAGE)
            if not found:
                return False
            self._open(header)
            self._text = rest
            return True
        ends = [(at, end) for end in ENDS if (at := self._text.find(end)) >= 0]
        if ends:
            at, end = min(ends)
            self._body(self._text[:at], pieces)
            self._close(pieces)
            self._text = self._text[at + len(end) :]
            return True
        shown = len(self._text) - held_suffix(self._text, ENDS)
        self._body(self._text[:shown], pieces)
        self._text = self._text[shown:]
        return False

    def _open(self, header: str) -> None:
        channel = re.search(r"<\|channel\|>\s*(\w+)", header)
        recipient = re.search(r"to=functions\.([\w.-]+)", header)
        self._name = recipient[1] if recipient else ""
        if recipient:
            self._kind = "call"
        else:
            self._kind = "reasoning" if channel and channel[1] == "analysis" else "content"
        self._arguments = ""

    def _body(self, text: str, pieces: list[Piece]) -> None:
        if self._kind == "call":
            self._arguments += text
        elif text:
            pieces.append(Piece(self._kind, text))

    def _close(self, pieces: list[Piece]) -> None:
        if self._kind == "call":
            found = read_object(self._arguments or "{}")
            if found and isinstance(found[0], dict):
                self._calls.append(ToolCall(self._name, self._arguments.strip() or "{}"))
            else:  # never dropped: the reader sees what was written
                pieces.append(Piece("content", self._arguments))
        self._kind = ""
