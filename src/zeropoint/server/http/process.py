"""The HTTP process: it listens, starts the engine, and ends both without losing an answer."""

import asyncio
import ipaddress
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import uvicorn

from zeropoint.errors import MeasurementError, UnsupportedModel
from zeropoint.server.http.api_guard import AccessRules, ApiGuard
from zeropoint.server.http.app import ApiRoutes, RouteOptions
from zeropoint.server.http.connections import TimeoutProtocol
from zeropoint.server.http.engine_client import EngineClient
from zeropoint.server.http.request_limits import MAX_HEADER_BYTES

KEEP_ALIVE_SECONDS = 75  # longer than clients keep connections in their pools
SPARE_CONNECTIONS = 64  # besides those of texts: health checks, metrics, idle ones


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """How the HTTP process serves."""

    rules: AccessRules
    routes: RouteOptions
    drain_seconds: int = 10  # for texts that are being generated when the server is told to stop


def listen_on(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address. Port 0 selects a free port.

    Raises MeasurementError if the address or the port is not available.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((host, port))
        # A second server on this port is an error now, and not when a request comes.
        opened.listen(128)
    except OSError as error:
        opened.close()
        raise MeasurementError(
            f"{host}:{port} is not available ({error.strerror}); choose another --port, or 0 for a"
            " free one"
        ) from None
    return opened


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_names(host: str, port: int, allowed: Sequence[str]) -> frozenset[str]:
    """Return the values of the Host header that a server accepts; none: any.

    On an address that others reach, a key is needed anyway, and only `allowed` limits the names.
    """
    names = {name if _has_port(name) else f"{name}:{port}" for name in allowed}
    names |= {name for name in allowed if not _has_port(name)}
    if names or is_loopback(host):
        names |= {f"{name}:{port}" for name in ("localhost", "127.0.0.1", "[::1]")}
    return frozenset(name.lower() for name in names)


def _has_port(name: str) -> bool:
    return name.rpartition(":")[2].isdigit() and not name.endswith("]")


def make_http_server(
    client: EngineClient, options: ServeOptions, connections: int
) -> uvicorn.Server:
    """Return the HTTP server in front of an engine. It logs nothing about requests."""
    app = ApiRoutes(client, options.routes).app()
    config = uvicorn.Config(
        ApiGuard(app, options.rules),
        http=TimeoutProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=connections + SPARE_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=options.drain_seconds,
        h11_max_incomplete_event_size=2 * MAX_HEADER_BYTES,
    )
    return _DrainingServer(config, client)


class _DrainingServer(uvicorn.Server):
    """A server that refuses new texts as soon as it is told to stop."""

    def __init__(self, config: uvicorn.Config, client: EngineClient) -> None:
        super().__init__(config)
        self._client = client

    def handle_exit(self, sig: int, frame: object) -> None:
        self._client.draining = True
        super().handle_exit(sig, frame)  # type: ignore[arg-type]


def serve(
    client: EngineClient,
    opened: socket.socket,
    options: ServeOptions,
    *,
    connections: int,
    ready: Callable[[], None],
) -> None:
    """Serve until SIGINT or SIGTERM; `ready` is called when the model is loaded.

    Raises UnsupportedModel with the engine's reason if it cannot start.
    """
    # uvicorn sends the signal again when it has finished; the exit status is 0 then.
    before = {
        number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        with suppress(KeyboardInterrupt):
            asyncio.run(_serve(client, opened, options, connections, ready))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if client.failure and not client.facts:
        raise UnsupportedModel(client.failure)


async def _serve(
    client: EngineClient,
    opened: socket.socket,
    options: ServeOptions,
    connections: int,
    ready: Callable[[], None],
) -> None:
    server = make_http_server(client, options, connections)
    engine = asyncio.create_task(client.run())

    async def watch() -> None:
        await client.ready.wait()
        if client.facts:
            ready()
        else:
            server.should_exit = True

    watcher = asyncio.create_task(watch())
    try:
        await server.serve(sockets=[opened])
    finally:
        watcher.cancel()
        await client.stop()
        await engine
