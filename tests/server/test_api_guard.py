"""Who may use the server: hosts, pages, keys, content types and sizes."""

import http.client
import json
from collections.abc import Iterator

import pytest

from support.api_server import ApiServer, api_server
from zeropoint.server.http.api_guard import MAX_BODY_BYTES, AccessRules
from zeropoint.server.http.process import host_names, is_loopback

BODY = {"messages": [{"role": "user", "content": "hi"}]}
CHAT = "/v1/chat/completions"


def send(server: ApiServer, method: str, path: str, headers: list[tuple[str, str]]) -> int:
    """Send exactly these headers; POST has a body of a chat."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    data = json.dumps(BODY).encode() if method == "POST" else b""
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in headers:
        connection.putheader(name, value)
    if data:
        connection.putheader("Content-Length", str(len(data)))
    connection.endheaders(data)
    status = connection.getresponse().status
    connection.close()
    return status


HOSTS = [
    [], ["evil.test"], ["evil.test:PORT"], ["127.0.0.1.evil.test:PORT"], ["localhost.:PORT"],
    ["0.0.0.0:PORT"], ["127.0.0.1"], ["127.0.0.1:1"], ["localhost:PORT", "localhost:PORT"],
    ["[::2]:PORT"], ["127.1:PORT"], [""],
]  # fmt: skip


@pytest.mark.parametrize("hosts", HOSTS, ids=str)
@pytest.mark.parametrize("path", ["/health", CHAT, "/nothing"])
def test_another_host_is_refused_on_every_path(
    server: ApiServer, hosts: list[str], path: str
) -> None:
    headers = [("Host", host.replace("PORT", str(server.port))) for host in hosts]
    # h11 itself refuses HTTP/1.1 without a Host header, or with two.
    assert send(server, "GET", path, headers) in ((403,) if len(hosts) == 1 else (400, 403))


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_names_of_this_machine_are_accepted(server: ApiServer, name: str) -> None:
    assert send(server, "GET", "/health", [("Host", f"{name}:{server.port}")]) == 200


@pytest.mark.parametrize(
    "headers",
    [
        [("Origin", "https://evil.test")], [("Origin", "null")], [("Origin", "")],
        [("Origin", "http://localhost")], [("Sec-Fetch-Site", "cross-site")],
        [("Sec-Fetch-Site", "same-site")],
        [("Origin", "https://a.test"), ("Origin", "https://b.test")],
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_requests_of_pages_are_refused(
    server: ApiServer, headers: list[tuple[str, str]], method: str
) -> None:
    host = ("Host", f"127.0.0.1:{server.port}")
    kind = ("Content-Type", "application/json")
    assert send(server, method, CHAT, [host, kind, *headers]) == 403


def test_no_answer_allows_other_pages(server: ApiServer) -> None:
    _, headers, _ = server.request("POST", CHAT, BODY)
    assert not [name for name in headers if name.startswith("access-control")]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_only_json_is_read(server: ApiServer, kind: str) -> None:
    status, _, data = server.request("POST", CHAT, BODY, {"Content-Type": kind})
    assert status == 415 and b"application/json" in data


def test_json_with_a_charset_is_read(server: ApiServer) -> None:
    kind = {"Content-Type": "application/json; charset=utf-8"}
    assert server.request("POST", CHAT, BODY, kind)[0] == 200


def test_what_is_too_large_is_refused(server: ApiServer) -> None:
    host = ("Host", f"127.0.0.1:{server.port}")
    kind = ("Content-Type", "application/json")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.putrequest("POST", CHAT)
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(MAX_BODY_BYTES + 1))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()
    many = [(f"X-{at}", "x") for at in range(120)]
    assert send(server, "POST", CHAT, [host, kind, *many]) == 431
    assert send(server, "POST", CHAT, [host, kind, ("X-Long", "x" * 17_000)]) == 431


@pytest.fixture(scope="module")
def keyed() -> Iterator[ApiServer]:
    origins = frozenset({"https://page.test"})
    with api_server(rules=AccessRules(keys=("first", "second"), origins=origins)) as running:
        yield running


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401), ({"Authorization": "Bearer wrong"}, 401), ({"Authorization": "Bearer "}, 401),
        ({"X-Api-Key": "firs"}, 401), ({"Authorization": "Basic first"}, 401),
        ({"Authorization": "Bearer second"}, 200), ({"X-Api-Key": "first"}, 200),
    ],
)  # fmt: skip
def test_a_key_is_needed(keyed: ApiServer, headers: dict[str, str], status: int) -> None:
    got, body = keyed.post(CHAT, BODY, **headers)
    assert got == status
    if status == 401:
        assert body["error"]["type"] == "authentication_error"
        assert "first" not in json.dumps(body)


def test_health_and_models_are_public_and_nothing_else(keyed: ApiServer) -> None:
    for path in ("/health", "/v1/health", "/models", "/v1/models"):
        assert keyed.request("GET", path)[0] == 200
    for path in ("/props", "/metrics", "/slots", "/v1/models/scripted.gguf", "/nothing"):
        assert keyed.request("GET", path)[0] == 401


def test_a_page_that_is_allowed_gets_its_answers(keyed: ApiServer) -> None:
    page = {"Origin": "https://page.test", "Sec-Fetch-Site": "cross-site"}
    status, headers, _ = keyed.request("OPTIONS", CHAT, None, page)
    assert status == 204
    assert headers["access-control-allow-origin"] == "https://page.test"
    assert "authorization" in headers["access-control-allow-headers"]
    status, headers, _ = keyed.request("POST", CHAT, BODY, {**page, "X-Api-Key": "first"})
    assert (status, headers["access-control-allow-origin"]) == (200, "https://page.test")
    assert keyed.request("OPTIONS", CHAT, None, {"Origin": "https://other.test"})[0] == 403


def test_only_loopback_addresses_are_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "example.org")))
    assert host_names("0.0.0.0", 80, ()) == frozenset()
    assert "proxy.test" in host_names("127.0.0.1", 80, ["proxy.test"])
    assert "proxy.test:80" in host_names("127.0.0.1", 80, ["proxy.test"])
