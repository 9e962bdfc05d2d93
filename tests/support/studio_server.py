"""A studio that listens on this machine, for the tests, and a client that sends any request."""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from uvicorn.protocols.http.h11_impl import H11Protocol

from zeropoint.server.http.connections import TimeoutProtocol
from zeropoint.studio.data.library import Library
from zeropoint.studio.http.app import StudioRoutes
from zeropoint.studio.http.guard import AccessKeys
from zeropoint.studio.http.timeouts import listen, make_server, new_keys

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Answer:
    status: int  # 0: the connection was closed without one
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Studio:
    root: Path
    library: Library
    routes: StudioRoutes
    keys: AccessKeys

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.keys.port}"

    @property
    def cookie(self) -> tuple[str, str]:
        return ("Cookie", f"{self.keys.cookie_name}={self.keys.cookie}")

    def id_of(self, name: str, kind: str = "model") -> str:
        return next(
            entry.id for entry in self.library._look().entries.values()
            if entry.name == name and entry.kind == kind
        )  # fmt: skip

    def get(self, path: str) -> Answer:
        """Ask as the browser does that has opened the link."""
        return self.ask("GET", path, [("Host", self.host), self.cookie])

    def post(self, path: str, body: bytes) -> Answer:
        """Ask as the studio's own pages do."""
        origin, length = ("Origin", f"http://{self.host}"), ("Content-Length", str(len(body)))
        return self.ask("POST", path, [("Host", self.host), self.cookie, origin, length], body)

    def ask(
        self, method: str, path: str, headers: Pairs, body: bytes = b"", http: str = "1.1"
    ) -> Answer:
        lines = [f"{method} {path} HTTP/{http}", *(f"{k}: {v}" for k, v in headers)]
        head = "\r\n".join([*lines, "Connection: close", "", ""])
        return self.send(head.encode("latin-1") + body)

    def send(self, data: bytes) -> Answer:
        with self.connect() as opened:
            try:
                opened.sendall(data)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before all was said: the answer is there
            return parsed(read_all(opened))

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.keys.port), timeout=10)


def read_all(opened: socket.socket) -> bytes:
    """Everything until the server closes."""
    found = b""
    try:
        while more := opened.recv(1 << 16):
            found += more
    except ConnectionResetError:
        pass
    return found


def parsed(data: bytes) -> Answer:
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    if not lines[0]:
        return Answer(0, {}, b"")
    pairs = (line.partition(": ") for line in lines[1:])
    return Answer(int(lines[0].split()[1]), {k.lower(): v for k, _, v in pairs}, body)


@contextmanager
def running(root: Path, protocol: type[H11Protocol] = TimeoutProtocol) -> Iterator[Studio]:
    library = Library(root)
    routes = StudioRoutes(library)
    opened = listen(0)
    keys = new_keys(opened)
    ready = threading.Event()
    server = make_server(routes.app(), keys, ready=ready.set, protocol=protocol)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]})
    thread.start()
    assert ready.wait(20)
    try:
        yield Studio(root, library, routes, keys)
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()
