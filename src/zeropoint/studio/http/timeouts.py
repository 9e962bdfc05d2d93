"""The studio's server: uvicorn on the loopback address, with request timeouts.

Above MAX_CONNECTIONS, further requests are answered with status 503.
"""

import contextlib
import secrets
import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from zeropoint.errors import CheckpointError
from zeropoint.server.http.connections import TimeoutProtocol
from zeropoint.server.http.request_limits import MAX_HEADER_BYTES
from zeropoint.studio.http.guard import AccessGuard, AccessKeys

MAX_CONNECTIONS = 64  # connections


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
