"""Slow, idle and vanishing clients hold nothing for long; the command starts and ends cleanly."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.studio_server import Studio, parsed, read_all, running
from support.tiny_models import write_model
from zeropoint.server.http.connections import TimeoutProtocol
from zeropoint.studio.http.timeouts import MAX_CONNECTIONS


class Hasty(TimeoutProtocol):
    head_seconds = 0.4
    body_seconds = 0.4
    read_seconds = 0.4


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    root = tmp_path_factory.mktemp("hasty")
    write_model(root / "tiny.gguf")
    with running(root, Hasty) as found:
        yield found


def closed_after(opened: socket.socket, trickle: bytes = b"") -> float:
    """Seconds until the server closes, while the client sends a byte every 0.1 s."""
    started = time.monotonic()
    opened.settimeout(0.1)
    rest = iter(trickle)
    while time.monotonic() - started < 8:
        try:
            if not opened.recv(1 << 16):
                break
        except TimeoutError:
            byte = next(rest, None)
            if byte is not None:
                try:
                    opened.sendall(bytes([byte]))
                except OSError:
                    break
        except ConnectionResetError:
            break
    return time.monotonic() - started


def test_a_client_that_says_nothing_is_left(studio: Studio) -> None:
    with studio.connect() as opened:
        assert closed_after(opened) < 4


def test_a_head_that_comes_byte_by_byte_has_a_deadline(studio: Studio) -> None:
    with studio.connect() as opened:
        assert closed_after(opened, b"GET / HTTP/1.1\r\nX: " + b"a" * 100) < 4


def test_so_has_a_second_head_on_the_same_connection(studio: Studio) -> None:
    with studio.connect() as opened:
        opened.sendall(f"GET / HTTP/1.1\r\nHost: {studio.host}\r\n\r\n".encode())
        assert opened.recv(1 << 16).startswith(b"HTTP/1.1 403")
        opened.sendall(b"GE")
        assert closed_after(opened, b"T / HTTP/1.1\r\nX: " + b"a" * 100) < 4


def test_a_body_that_comes_byte_by_byte_has_a_deadline(studio: Studio) -> None:
    origin = f"Origin: http://{studio.host}\r\nContent-Length: 1000\r\n\r\n"
    head = f"POST / HTTP/1.1\r\nHost: {studio.host}\r\nCookie: {studio.cookie[1]}\r\n{origin}"
    with studio.connect() as opened:
        opened.sendall(head.encode())
        assert closed_after(opened, b"a" * 100) < 4


def test_a_reader_that_does_not_read_is_left(studio: Studio) -> None:
    own = f"Host: {studio.host}\r\nCookie: {studio.cookie[1]}\r\n\r\n"
    head = f"GET /static/codecs/formats.js HTTP/1.1\r\n{own}"
    with socket.socket() as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        opened.connect(("127.0.0.1", studio.keys.port))
        opened.sendall(head.encode() * 1000)
        time.sleep(1.5)  # answers pile up until neither side takes more; then the deadline
        received = len(read_all(opened))
    assert received < 1000 * 20_000
    assert studio.get("/").status == 200


def test_two_hundred_idle_connections_pass(studio: Studio) -> None:
    idle = [studio.connect() for _ in range(200)]
    assert len(idle) > MAX_CONNECTIONS
    started = time.monotonic()
    while studio.get("/").status != 200:
        assert time.monotonic() - started < 8
        time.sleep(0.05)
    for opened in idle:
        opened.close()


def test_one_too_many_is_told_so(studio: Studio) -> None:
    idle = [studio.connect() for _ in range(MAX_CONNECTIONS + 2)]
    assert studio.get("/").status == 503
    for opened in idle:
        opened.close()
    time.sleep(0.2)
    assert studio.get("/").status == 200


def test_a_client_that_leaves_harms_nobody(studio: Studio) -> None:
    id = studio.id_of("tiny.gguf")
    for _ in range(20):
        with studio.connect() as opened:
            opened.sendall(
                f"GET /models/{id}/lab HTTP/1.1\r\nHost: {studio.host}\r\n"
                f"Cookie: {studio.cookie[1]}\r\n\r\n".encode()
            )
    assert studio.get("/").status == 200


def start(root: Path, *words: str) -> tuple["subprocess.Popen[str]", dict[str, str]]:
    command = [sys.executable, "-m", "zeropoint", "studio", "--no-open", "--json", *words]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root
    )
    text = ""
    assert process.stdout is not None
    while not text.endswith("}\n"):
        text += process.stdout.readline()
    return process, json.loads(text)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_without_torch_and_ends_cleanly(
    tmp_path: Path, number: signal.Signals
) -> None:
    write_model(tmp_path / "tiny.gguf")
    process, told = start(tmp_path, "tiny.gguf")
    try:
        assert told["url"].startswith("http://127.0.0.1:") and told["root"] == str(tmp_path)
        host, _, rest = told["url"].removeprefix("http://").partition("/")
        first = exchange(host, f"/{rest}", "")
        assert first.status == 303 and first.headers["location"].startswith("/models/")
        cookie = first.headers["set-cookie"].split(";")[0]
        base = first.headers["location"].removesuffix("/map")
        for page in ("/", f"{base}/map", f"{base}/weights", f"{base}/lab", f"{base}/walk"):
            assert exchange(host, page, cookie).status == 200
        maps = Path(f"/proc/{process.pid}/maps")
        if maps.exists():
            assert "libtorch" not in maps.read_text()
        process.send_signal(number)
        _, errors = process.communicate(timeout=15)
    finally:
        process.kill()
    assert process.returncode == 0
    assert told["url"].partition("token=")[2] not in errors and "Traceback" not in errors


def exchange(host: str, path: str, cookie: str) -> object:
    with socket.create_connection(("127.0.0.1", int(host.partition(":")[2])), timeout=10) as opened:
        head = (
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"
        )
        opened.sendall(head.encode())
        return parsed(read_all(opened))


def test_what_it_cannot_do_is_said_in_one_sentence(tmp_path: Path) -> None:
    from zeropoint.cli import main

    (tmp_path / "here").mkdir()
    model = str(write_model(tmp_path / "tiny.gguf"))
    assert main(["studio", model, "--root", str(tmp_path / "here"), "--no-open"]) == 2
    assert main(["studio", "--root", str(tmp_path / "nowhere"), "--no-open"]) == 2
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["studio", "--root", str(tmp_path), "--no-open", "--port", port]) == 2


def test_it_listens_on_this_machine_alone(studio: Studio) -> None:
    listening = [
        line.split()[1]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if line.split()[3] == "0A"
    ] if os.path.exists("/proc/net/tcp") else []  # fmt: skip
    port = f"{studio.keys.port:04X}"
    assert [address for address in listening if address.endswith(f":{port}")] in (
        [f"0100007F:{port}"], []
    )  # fmt: skip
