"""The server's HTTP process in a thread of the test, in front of a scripted engine.

with api_server() as server:
    status, body = server.post("/v1/chat/completions", {"messages": […]})
"""

import asyncio
import http.client
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zeropoint.server.http.api_guard import AccessRules
from zeropoint.server.http.app import RouteOptions
from zeropoint.server.http.engine_client import EngineClient
from zeropoint.server.http.process import ServeOptions, host_names, listen_on, make_http_server

ENGINE = (sys.executable, str(Path(__file__).with_name("scripted_engine.py")))
SECONDS = 30.0  # for anything that a test waits for
Answer = tuple[int, dict[str, str], bytes]


class ApiServer:
    """A running server, and requests to it."""

    def __init__(self, port: int, client: EngineClient) -> None:
        self.port = port
        self.client = client

    def request(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request; a body that is not bytes becomes JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json"} if data is not None else {}
        try:
            connection.request(method, path, data, {**sent, **(headers or {})})
            answer = connection.getresponse()
            names = {key.lower(): value for key, value in answer.getheaders()}
            return answer.status, names, answer.read()
        finally:
            connection.close()

    def post(self, path: str, body: object, **headers: str) -> tuple[int, Any]:
        """Return the status and the JSON body."""
        status, _, data = self.request("POST", path, body, headers)
        return status, json.loads(data)

    def get(self, path: str) -> tuple[int, Any]:
        """Return the status and the JSON body."""
        status, _, data = self.request("GET", path)
        return status, json.loads(data)

    def stream(self, path: str, body: Mapping[str, Any]) -> list[Any]:
        """Return the values of a stream's events; the last one may be "[DONE]"."""
        status, headers, data = self.request("POST", path, {**body, "stream": True})
        assert status == 200, data
        assert headers["content-type"].startswith("text/event-stream")
        lines = [line for line in data.decode().split("\n\n") if line.startswith("data: ")]
        values = [line.removeprefix("data: ") for line in lines]
        return [value if value == "[DONE]" else json.loads(value) for value in values]

    def open(self, path: str, body: object) -> socket.socket:
        """Send a request and return its socket, without waiting for the answer."""
        data = json.dumps(body).encode()
        opened = socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS)
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        opened.sendall(head.encode() + data)
        return opened

    def busy_slots(self) -> int:
        """Return how many slots work on a text."""
        status, slots = self.get("/slots")
        assert status == 200
        return sum(slot["is_processing"] for slot in slots)


@contextmanager
def api_server(
    *,
    rules: AccessRules | None = None,
    queue_limit: int = 8,
    command: tuple[str, ...] = ENGINE,
    wait: bool = True,
    **options: Any,
) -> Iterator[ApiServer]:
    """Run a server; `options` are the engine's. `wait` False returns before the engine is ready."""
    client = EngineClient(options, queue_limit=queue_limit, command=command)
    opened = listen_on("127.0.0.1", 0)
    port = int(opened.getsockname()[1])
    rules = rules or AccessRules(hosts=host_names("127.0.0.1", port, ()))
    routes = RouteOptions(metrics=True, slots=True)
    http_server = make_http_server(
        client, ServeOptions(rules=rules, routes=routes, drain_seconds=1), connections=64
    )

    async def run() -> None:
        engine = asyncio.create_task(client.run())
        await http_server.serve(sockets=[opened])
        await client.stop()
        await engine

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    server = ApiServer(port, client)
    try:
        until(lambda: http_server.started)
        if wait:
            until(lambda: client.is_up or bool(client.failure))
        yield server
    finally:
        http_server.should_exit = True
        thread.join(SECONDS)
        assert not thread.is_alive()


def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds. Raises AssertionError after SECONDS."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
