"""`POST /v1/chat/completions`: the answer as one message, or as a stream of deltas."""

import secrets
import string
import time
from collections.abc import Mapping
from typing import Any

from zeropoint.server.http.chat_request import ChatRequest
from zeropoint.server.http.results import (
    FINGERPRINT,
    chat_logprobs,
    new_id,
    reason_of,
    timings_of,
    usage_of,
)
from zeropoint.server.tools.calls import ToolCall
from zeropoint.server.tools.pieces import Piece
from zeropoint.server.tools.reply_reader import ReplySplitter, make_reader

Event = Mapping[str, Any]
_DELTA = {"reasoning": "reasoning_content", "content": "content"}
_SHORT_IDS = "[TOOL_CALLS]"  # templates with this mark accept ids of nine characters only


class ChatAnswer:
    """Collects the events of a chat and writes OpenAI's objects."""

    def __init__(self, request: ChatRequest, template: str) -> None:
        self.request = request
        self._template = template
        self._id = new_id("chatcmpl")
        self._created = int(time.time())
        self.choices = [ChatChoice() for _ in range(request.choices)]

    def collect(self, index: int, event: Event) -> None:
        """Take an event of an answer that is sent whole."""
        self.deltas(index, event)

    def body(self) -> dict[str, Any]:
        """Return the `chat.completion` object."""
        ends = [choice.end for choice in self.choices]
        return {
            **self._frame("chat.completion"),
            "choices": [
                {
                    "index": index,
                    "message": choice.message(),
                    "logprobs": {"content": choice.logprobs} if self.request.logprobs else None,
                    "finish_reason": choice.reason,
                }
                for index, choice in enumerate(self.choices)
            ],
            "usage": usage_of(ends),
            "timings": timings_of(ends[0]),
        }

    def chunks(self, index: int, event: Event) -> list[dict[str, Any]]:
        """Return the `chat.completion.chunk` objects of an event."""
        choice, chunks = self.choices[index], []
        if event["type"] == "begin":
            # An empty string and not null: some clients concatenate without looking.
            chunks.append(self._chunk(index, {"role": "assistant", "content": ""}))
        if event["type"] == "progress" and self.request.progress:
            progress = {"processed": event["done"]}
            chunks.append({**self._frame("chat.completion.chunk"), "choices": [],
                           "prompt_progress": progress})  # fmt: skip
        reported = len(choice.logprobs)
        deltas = self.deltas(index, event)
        new = choice.logprobs[reported:]
        for delta in deltas or ([{}] if new else []):
            chunk = self._chunk(index, delta)
            if self.request.logprobs:
                chunk["choices"][0]["logprobs"] = {"content": new}
                new = []
            chunks.append(chunk)
        if event["type"] == "end":
            chunks.append(self._chunk(index, {}, choice.reason))
            if all(one.end for one in self.choices):
                chunks += self._last()
        return chunks

    def _last(self) -> list[dict[str, Any]]:
        if not self.request.include_usage:
            return []
        ends = [choice.end for choice in self.choices]
        return [
            {
                **self._frame("chat.completion.chunk"),
                "choices": [],
                "usage": usage_of(ends),
                "timings": timings_of(ends[0]),
            }
        ]

    def deltas(self, index: int, event: Event) -> list[dict[str, Any]]:
        """Update a choice by an event, and return what it adds to the message."""
        choice = self.choices[index]
        match event["type"]:
            case "begin":
                choice.reader = make_reader(
                    self._template,
                    self.request.tools,
                    event["ending"],
                    split=self.request.split_reasoning,
                )
            case "text":
                choice.logprobs += chat_logprobs(event.get("tokens", ()))
                assert choice.reader is not None
                return choice.add(choice.reader.push(event["text"]))
            case "end":
                assert choice.reader is not None
                choice.end = dict(event)
                pieces, calls = choice.reader.finish()
                deltas = choice.add(pieces)
                choice.calls = [self._call(call) for call in calls]
                choice.reason = "tool_calls" if calls else reason_of(event)
                return [
                    *deltas,
                    *({"tool_calls": [{"index": at, **call}]} for at, call in
                      enumerate(choice.calls)),
                ]  # fmt: skip
        return []

    def _call(self, call: ToolCall) -> dict[str, Any]:
        letters = string.ascii_letters + string.digits
        short = _SHORT_IDS in self._template
        name = "".join(secrets.choice(letters) for _ in range(9 if short else 24))
        return {
            "id": name if short else f"call_{name}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }

    def _frame(self, kind: str) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self.request.model,
            "system_fingerprint": FINGERPRINT,
        }

    def _chunk(
        self, index: int, delta: Mapping[str, Any], reason: str | None = None
    ) -> dict[str, Any]:
        choice = {"index": index, "delta": dict(delta), "finish_reason": reason}
        return {**self._frame("chat.completion.chunk"), "choices": [choice]}


class ChatChoice:
    """One answer of several to the same messages."""

    def __init__(self) -> None:
        self.reader: ReplySplitter | None = None
        self.texts = {"reasoning": "", "content": ""}
        self.calls: list[dict[str, Any]] = []
        self.logprobs: list[dict[str, Any]] = []
        self.end: dict[str, Any] = {}
        self.reason = "stop"

    def add(self, pieces: list[Piece]) -> list[dict[str, Any]]:
        """Add pieces to the message; return them as deltas."""
        for piece in pieces:
            self.texts[piece.kind] += piece.text
        return [{_DELTA[piece.kind]: piece.text} for piece in pieces]

    def message(self) -> dict[str, Any]:
        """Return the whole message."""
        content: str | None = self.texts["content"]
        if self.calls and not content:
            content = None
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
        if self.texts["reasoning"]:
            message["reasoning_content"] = self.texts["reasoning"]
        if self.calls:
            message["tool_calls"] = self.calls
        return message
