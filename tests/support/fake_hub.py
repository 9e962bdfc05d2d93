"""A Hugging Face hub of a few repositories on this machine, for the hub's own client."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
Repositories = Mapping[str, Mapping[str, bytes]]  # "org/name" -> file -> its bytes


class Hub(ThreadingHTTPServer):
    """Serves repositories, and records which files were requested in full."""

    def __init__(self, repositories: Repositories) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories = repositories
        self.sent: list[str] = []
        self.ranges: dict[str, int] = {}  # how many bytes of a file were asked for by range

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """Handles the client's requests for listings and downloads."""

    protocol_version = "HTTP/1.1"
    server: Hub

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            files = self.server.repositories.get("/".join(parts[2:4]))
            if files is None:
                return self.send(404, b"", {"X-Error-Code": "RepoNotFound"})
            return self.send(200, json.dumps(facts(parts, files)).encode())
        repository, name = "/".join(parts[:2]), "/".join(parts[4:])
        data = self.server.repositories.get(repository, {}).get(name)
        if parts[2:3] != ["resolve"] or data is None:
            return self.send(404, b"", {"X-Error-Code": "EntryNotFound"})
        asked = self.headers.get("Range", "")
        if self.command == "GET" and not asked:
            self.server.sent.append(name)
        etag = hashlib.sha256(data).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}
        if not asked or self.command != "GET":
            return self.send(200, data, headers)
        first, last = map(int, asked.removeprefix("bytes=").split("-"))
        self.server.ranges[name] = self.server.ranges.get(name, 0) + last + 1 - first
        self.send(206, data[first : last + 1], headers)

    def send(self, code: int, data: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def facts(parts: list[str], files: Mapping[str, bytes]) -> object:
    """Return the response of the hub's API: the facts of a repository, or the list of its files."""
    if "tree" in parts:
        return [
            {"type": "file", "path": name, "size": len(data), "oid": "0" * 40}
            for name, data in files.items()
        ]
    named = "/".join(parts[2:4])
    siblings = [{"rfilename": name} for name in files]
    return {"id": named, "modelId": named, "sha": COMMIT, "siblings": siblings, "tags": []}


@contextmanager
def fake_hub(repositories: Repositories) -> Iterator[Hub]:
    """Serve repositories until the block ends."""
    hub = Hub(repositories)
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()


NOWHERE = "http://127.0.0.1:9"  # nobody listens


class Machine:
    """Somebody's machine: its cache, and the command run there."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def zeropoint(self, *words: str, hub: str) -> subprocess.CompletedProcess[str]:
        settings = {"HF_HOME": str(self.home), "HF_ENDPOINT": hub, "HF_HUB_DISABLE_XET": "1"}
        kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        return subprocess.run(
            [sys.executable, "-m", "zeropoint", *words],
            capture_output=True,
            text=True,
            timeout=120,
            env=kept | settings,
        )
