"""The studio's server: uvicorn on the loopback address, with request timeouts.

uvicorn has no timeout for a request that does not end, nor for a client that does not read its
answer. `TimeoutProtocol` adds both, so slow or idle connections occupy the server only for that
long. Above MAX_CONNECTIONS, further requests are answered with status 503.
"""

import asyncio
import contextlib
import secrets
import socket
from collections.abc import Callable
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from zeropoint.errors import CheckpointError
from zeropoint.studio.http.guard import MAX_HEADER_BYTES, AccessGuard, AccessKeys

HEAD_SECONDS = 10.0
BODY_SECONDS = 30.0
READ_SECONDS = 30.0
MAX_CONNECTIONS = 64  # connections


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


def listen(port: int) -> socket.socket:
    """Return a socket that listens on the loopback address. Port 0 selects a free port.

    Raises CheckpointError if the port is taken.
    """
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind(("127.0.0.1", port))
    except OSError as error:
        opened.close()
        reason = f"port {port} is not available ({error.strerror}); --port 0 selects a free port"
        raise CheckpointError("127.0.0.1", reason) from None
    return opened


def new_keys(opened: socket.socket) -> AccessKeys:
    """Return fresh secrets for a server on this socket."""
    port = int(opened.getsockname()[1])
    return AccessKeys(port, token=secrets.token_urlsafe(32), cookie=secrets.token_urlsafe(32))


def serve(server: "StudioServer", opened: socket.socket) -> None:
    """Serve until Ctrl-C."""
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[opened])


def make_server(
    app: ASGIApp,
    keys: AccessKeys,
    *,
    ready: Callable[[], None] = lambda: None,
    protocol: type[H11Protocol] = TimeoutProtocol,
) -> "StudioServer":
    """Return a server of `app` behind its guard. It logs nothing: URLs may hold the token.

    `ready` is called as soon as the server accepts requests.
    """
    config = uvicorn.Config(
        AccessGuard(app, keys),
        http=protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=2 * MAX_HEADER_BYTES,
    )
    return StudioServer(config, ready)


class StudioServer(uvicorn.Server):
    """A server that reports when it accepts requests."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()
