"""A Hugging Face hub of a few repositories on this machine, for the hub's own client."""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
Repositories = Mapping[str, Mapping[str, bytes]]  # "org/name" -> file -> its bytes


class Hub:
    """Where it listens, and which files were asked for in full."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.sent: list[str] = []


@contextmanager
def fake_hub(repositories: Repositories) -> Iterator[Hub]:
    """Serve repositories until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            parts = unquote(urlsplit(self.path).path).strip("/").split("/")
            if parts[:2] == ["api", "models"]:
                files = repositories.get("/".join(parts[2:4]))
                if files is None:
                    return self.send(404, b"", body, {"X-Error-Code": "RepoNotFound"})
                return self.send(200, json.dumps(self.facts(parts, files)).encode(), body)
            repository, name = "/".join(parts[:2]), "/".join(parts[4:])
            data = repositories.get(repository, {}).get(name)
            if parts[2:3] != ["resolve"] or data is None:
                return self.send(404, b"", body, {"X-Error-Code": "EntryNotFound"})
            if body:
                hub.sent.append(name)
            etag = hashlib.sha256(data).hexdigest()
            self.send(200, data, body, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})

        def facts(self, parts: list[str], files: Mapping[str, bytes]) -> object:
            if "tree" in parts:
                return [
                    {"type": "file", "path": name, "size": len(data), "oid": "0" * 40}
                    for name, data in files.items()
                ]
            named = "/".join(parts[2:4])
            siblings = [{"rfilename": name} for name in files]
            return {"id": named, "modelId": named, "sha": COMMIT, "siblings": siblings, "tags": []}

        def send(
            self, code: int, data: bytes, body: bool, headers: Mapping[str, str] | None = None
        ) -> None:
            self.send_response(code)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if body:
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub = Hub(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
