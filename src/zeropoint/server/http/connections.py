"""Connections of zeropoint's HTTP servers: request timeouts, headers and secrets.

uvicorn has no timeout for a request that does not end, nor for a client that does not read its
answer. `TimeoutProtocol` adds both, so slow or idle connections occupy the server only for that
long.
"""

import asyncio
from hmac import compare_digest
from typing import Any

import h11
from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
BODY_SECONDS = 30.0
READ_SECONDS = 30.0


class TimeoutProtocol(H11Protocol):
    """One connection, with timeouts for the headers, the body and reading the response."""

    head_seconds = HEAD_SECONDS
    body_seconds = BODY_SECONDS
    read_seconds = READ_SECONDS

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._deadlines: dict[str, asyncio.TimerHandle] = {}

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._await("head", self.head_seconds)
        transport.set_write_buffer_limits(high=1 << 16)

    def connection_lost(self, exc: Exception | None) -> None:
        for name in list(self._deadlines):
            self._arrived(name)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.conn.their_state is h11.IDLE:
            self._await("head", self.head_seconds)  # no later byte moves a deadline
        super().data_received(data)
        state = self.conn.their_state
        if state is not h11.IDLE:
            self._arrived("head")
        if state is h11.SEND_BODY:
            self._await("body", self.body_seconds)
        else:
            self._arrived("body")

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await("reader", self.read_seconds)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._arrived("reader")

    def _await(self, name: str, seconds: float) -> None:
        if name not in self._deadlines:
            self._deadlines[name] = self.loop.call_later(seconds, self.transport.abort)

    def _arrived(self, name: str) -> None:
        deadline = self._deadlines.pop(name, None)
        if deadline is not None:
            deadline.cancel()


def same(given: str, known: str) -> bool:
    """Return whether two secrets are equal, in constant time."""
    return compare_digest(given.encode("utf-8", "replace"), known.encode())


def values(scope: Scope, name: bytes) -> list[str]:
    """Return all values of a header, which may occur more than once."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]
