"""The access guard: it sees every request first, and refuses it unless all rules allow it.

Any page that a browser has open can send requests to this machine, and a host name that its owner
points at 127.0.0.1 makes them look like its own. So a request is refused if it

- does not have this server as its only Host header (a rebound name does not),
- comes from another page (Origin, Sec-Fetch-Site), or changes something without an Origin header,
- lacks the cookie, for which the token in the printed address is exchanged,
- is larger than anything the studio sends.

The rules apply to every path, also to those that do not exist, so no path can be forgotten.
Every response forbids scripts, styles and requests that are not the studio's own.
"""

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlencode

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zeropoint.server.http.connections import same, values
from zeropoint.server.http.request_limits import (
    BodyTooLong,
    declares_large_body,
    has_large_headers,
    limited,
)
from zeropoint.studio.http.locked_page import LOCKED_PAGE, LOCKED_STYLE_HASH

MAX_BODY_BYTES = 2 << 20
TOO_LONG = f"A body may have {MAX_BODY_BYTES} bytes."
COOKIE_SECONDS = 7 * 24 * 3600

CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; script-src 'self'; style-src 'self' '{LOCKED_STYLE_HASH}'; "
    "img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
SECURITY_HEADERS = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


@dataclass(frozen=True)
class AccessKeys:
    """The secrets of one server: its port, the token in the printed link, and the cookie."""

    port: int
    token: str
    cookie: str

    @property
    def hosts(self) -> tuple[str, ...]:
        """Return the values of the Host header that this server accepts."""
        return (f"127.0.0.1:{self.port}", f"localhost:{self.port}")

    @property
    def cookie_name(self) -> str:
        """Return the cookie's name. It contains the port: browsers share cookies between ports."""
        return f"zeropoint-{self.port}"


NO_KEY = "This browser has no key for this studio. Open the link that `zeropoint studio` prints."
WRONG_KEY = (
    "The key in this address is not the key of this studio. Open the link that `zeropoint studio` "
    "prints; it changes only with --new-key."
)
BUG_MESSAGE = (
    "This request failed because of a bug in zeropoint, not because of your file. Please report it "
    "with what ZEROPOINT_DEBUG=1 adds to the output of `zeropoint studio`."
)
LOG = logging.getLogger("zeropoint.studio")


class AccessGuard:
    """The ASGI middleware that every request passes before it reaches the application."""

    def __init__(self, app: ASGIApp, keys: AccessKeys) -> None:
        self.app = app
        self.keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that may be answered."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        safe = secured(send)
        refused = self.refusal(scope)
        if refused is not None:
            await answer(safe, *refused)
            return
        token = dict(parse_qsl(scope["query_string"].decode("latin-1"))).get("token")
        if token is not None:
            await self._exchange(scope, safe, token)
            return
        if not self._has_cookie(scope):
            await locked(safe, scope, NO_KEY)
            return
        await self._answer(scope, receive, safe)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application, and convert any exception to an error response of one sentence."""
        started = False

        async def note(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, limited(receive, MAX_BODY_BYTES, TOO_LONG), note)
        except BodyTooLong as error:
            if not started:
                await answer(send, error.status_code, error.detail)
        except ClientDisconnect:
            pass  # the client disconnected during its upload, so no response can be sent
        except Exception as error:  # noqa: BLE001 - one sentence on stderr, not uvicorn's traceback
            report_bug(error)
            if not started:
                await answer(send, 500, BUG_MESSAGE)

    def refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Return status and reason if the headers of a request do not permit it; otherwise None."""
        if has_large_headers(scope):
            return 431, "The headers are too large."
        hosts = values(scope, b"host")
        if len(hosts) != 1 or hosts[0] not in self.keys.hosts:
            return 403, f"This is {self.keys.hosts[0]}; the request was for another host."
        origins, sites = values(scope, b"origin"), values(scope, b"sec-fetch-site")
        if any(origin != f"http://{hosts[0]}" for origin in origins) or len(origins) > 1:
            return 403, "The request comes from another page."
        if any(site not in ("same-origin", "none") for site in sites):
            return 403, "The request comes from another page."
        if scope["method"] not in ("GET", "HEAD") and not origins:
            return 403, "A request that changes something says where it comes from (Origin)."
        if declares_large_body(scope, MAX_BODY_BYTES):
            return 413, TOO_LONG
        return None

    def _has_cookie(self, scope: Scope) -> bool:
        pairs = (part.strip() for line in values(scope, b"cookie") for part in line.split(";"))
        name = self.keys.cookie_name + "="
        return any(
            pair.startswith(name) and same(pair.removeprefix(name), self.keys.cookie)
            for pair in pairs
        )

    async def _exchange(self, scope: Scope, send: Send, token: str) -> None:
        """Set the cookie and redirect to the address without the token."""
        if scope["method"] != "GET" or not same(token, self.keys.token):
            await locked(send, scope, WRONG_KEY)
            return
        pairs = parse_qsl(scope["query_string"].decode("latin-1"))
        rest = urlencode([(key, value) for key, value in pairs if key != "token"])
        path = "/" + quote(scope["path"].lstrip("/\\"))
        cookie = (
            f"{self.keys.cookie_name}={self.keys.cookie}; Path=/; HttpOnly; SameSite=Strict; "
            f"Max-Age={COOKIE_SECONDS}"
        )
        to = path + (f"?{rest}" if rest else "")
        await answer(send, 303, "", ((b"location", to.encode()), (b"set-cookie", cookie.encode())))


async def locked(send: Send, scope: Scope, reason: str) -> None:
    """Refuse a request without the key: as a page for a browser, otherwise as one sentence."""
    wanted = b",".join(value for key, value in scope["headers"] if key == b"accept")
    if scope["method"] == "GET" and b"text/html" in wanted:
        await answer(send, 403, LOCKED_PAGE, kind=b"text/html; charset=utf-8")
    else:
        await answer(send, 403, reason)


def secured(send: Send) -> Send:
    """Return `send` wrapped so that every response has the security headers."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = [(k, v) for k, v in message.get("headers", ()) if k not in dict(SECURITY_HEADERS)]
            message = {**message, "headers": [*own, *SECURITY_HEADERS]}
        await send(message)

    return sent


def report_bug(error: Exception) -> None:
    """Write one line about a bug to stderr, and its traceback if ZEROPOINT_DEBUG is set."""
    debug = bool(os.environ.get("ZEROPOINT_DEBUG"))
    LOG.error("bug: %s: %s", type(error).__name__, error, exc_info=error if debug else None)


async def answer(
    send: Send,
    status: int,
    text: str,
    headers: Iterable[tuple[bytes, bytes]] = (),
    *,
    kind: bytes = b"text/plain; charset=utf-8",
) -> None:
    """Send a short response, by default as plain text."""
    body = f"{text}\n".encode() if text else b""
    length = (b"content-length", str(len(body)).encode())
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-type", kind), length, *headers],
        }
    )
    await send({"type": "http.response.body", "body": body})
