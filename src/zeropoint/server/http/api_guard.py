"""The guard of the API: it sees every request first, and refuses it unless all rules allow it.

Any page that a browser has open can send requests to this machine, and a host name that its owner
points at 127.0.0.1 makes them look like its own (DNS rebinding). So a request is refused

- whose only Host header does not name this server (on a loopback address, or with --allow-host),
- that comes from a page (Origin, Sec-Fetch-Site) which --allow-origin does not name,
- without the key, if the server has one, except for the health check and the list of models,
- whose body is not declared as JSON: pages can send forms and text without asking first,
- whose headers or body are too large.

The rules apply to every path, also to those that do not exist, so no path can be forgotten.
"""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zeropoint.server.http.connections import same, values
from zeropoint.server.http.errors import ApiError
from zeropoint.server.http.request_limits import (
    BodyTooLong,
    declares_large_body,
    has_large_headers,
    limited,
)
from zeropoint.server.http.streams import ClientGone

MAX_BODY_BYTES = 16 << 20
TOO_LONG = f"a body may have {MAX_BODY_BYTES} bytes"
PUBLIC_PATHS = frozenset({"/health", "/v1/health", "/models", "/v1/models"})
LOG = logging.getLogger("zeropoint.server")
RESPONSE_HEADERS = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
BUG_MESSAGE = (
    "this request failed because of a bug in zeropoint; please report it with what"
    " ZEROPOINT_DEBUG=1 adds to the output of `zeropoint serve`"
)


@dataclass(frozen=True, kw_only=True)
class AccessRules:
    """Who may use the server."""

    hosts: frozenset[str] = frozenset()  # values of the Host header; none: any
    origins: frozenset[str] = frozenset()  # pages, as "https://example.org"
    keys: tuple[str, ...] = ()  # none: no key is needed


class ApiGuard:
    """The ASGI middleware that every request passes before it reaches the application."""

    def __init__(self, app: ASGIApp, rules: AccessRules) -> None:
        self.app = app
        self.rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that may be answered."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        origin = next(iter(values(scope, b"origin")), "")
        allowed = origin if origin in self.rules.origins else ""
        answer = _Answer(send, [*RESPONSE_HEADERS, *_cors(allowed)])
        try:
            self.check(scope)
            if scope["method"] == "OPTIONS" and allowed:
                await answer_json(answer.send, 204, None)
                return
            self.check_key(scope)
            await self.app(scope, limited(receive, MAX_BODY_BYTES, TOO_LONG), answer.send)
        except ApiError as error:
            await answer.fail(error)
        except BodyTooLong as error:
            await answer.fail(ApiError(413, error.detail))
        except (ClientDisconnect, ClientGone):
            pass  # nobody is there to be answered
        except Exception as error:  # noqa: BLE001 - one sentence on stderr, not uvicorn's traceback
            report_failure(error)
            await answer.fail(ApiError(500, BUG_MESSAGE))

    def check(self, scope: Scope) -> None:
        """Raise ApiError for a request that its headers do not permit."""
        if has_large_headers(scope):
            raise ApiError(431, "the headers are too large")
        hosts = values(scope, b"host")
        if len(hosts) != 1 or (self.rules.hosts and hosts[0].lower() not in self.rules.hosts):
            raise ApiError(
                403, "the Host header does not name this server; see zeropoint serve --allow-host"
            )
        origins = values(scope, b"origin")
        sites = values(scope, b"sec-fetch-site")
        if len(origins) > 1 or any(origin not in self.rules.origins for origin in origins):
            raise ApiError(
                403, "requests from web pages are refused; see zeropoint serve --allow-origin"
            )
        if not origins and any(site not in ("same-origin", "none") for site in sites):
            raise ApiError(403, "requests from web pages are refused")
        if declares_large_body(scope, MAX_BODY_BYTES):
            raise ApiError(413, TOO_LONG)
        lengths = values(scope, b"content-length")
        empty = not values(scope, b"transfer-encoding") and lengths in ([], ["0"])
        kinds = [one.partition(";")[0].strip().lower() for one in values(scope, b"content-type")]
        if scope["method"] == "POST" and kinds != ["application/json"] and (kinds or not empty):
            raise ApiError(415, "the Content-Type of a request must be application/json")

    def check_key(self, scope: Scope) -> None:
        """Raise ApiError 401 for a request that needs a key and has none, or a wrong one."""
        if not self.rules.keys or scope["path"] in PUBLIC_PATHS:
            return
        given = [one.removeprefix("Bearer ") for one in values(scope, b"authorization")]
        given += values(scope, b"x-api-key")
        # Every pair is compared, so that the time does not depend on which one fits.
        if not any([same(one, key) for one in given for key in self.rules.keys]):
            raise ApiError(401, "the API key is missing or wrong")


class _Answer:
    """An answer with the headers that every answer has."""

    def __init__(self, send: Send, headers: list[tuple[bytes, bytes]]) -> None:
        self._send = send
        self._headers = headers
        self._started = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._started = True
            message = {**message, "headers": [*message.get("headers", ()), *self._headers]}
        await self._send(message)

    async def fail(self, error: ApiError) -> None:
        """Answer with an error, unless an answer has begun."""
        if not self._started:
            await answer_json(self.send, error.status, error.body(), error.headers)


def _cors(origin: str) -> list[tuple[bytes, bytes]]:
    if not origin:
        return []
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-allow-methods", b"GET, POST"),
        (b"access-control-allow-headers", b"authorization, content-type, x-api-key"),
        (b"access-control-max-age", b"600"),
        (b"vary", b"Origin"),
    ]


def report_failure(error: Exception) -> None:
    """Write one line about a bug to stderr, and its traceback if ZEROPOINT_DEBUG is set.

    The line has no message, which may quote a prompt.
    """
    debug = bool(os.environ.get("ZEROPOINT_DEBUG"))
    LOG.error("bug: %s", type(error).__name__, exc_info=error if debug else None)


async def answer_json(
    send: Send, status: int, body: object, headers: Mapping[str, str] | None = None
) -> None:
    """Send a JSON answer; None sends no body."""
    data = b"" if body is None else json.dumps(body).encode()
    sent = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode())]
    sent += [(key.lower().encode(), value.encode()) for key, value in (headers or {}).items()]
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": data})
