"""Limits of a request's headers and body, which the guards of both HTTP servers keep."""

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope

from zeropoint.server.http.connections import values

MAX_HEADER_BYTES = 16 << 10
MAX_HEADERS = 100


class BodyTooLong(HTTPException):
    """A body exceeds its limit. Starlette turns it into a response."""

    def __init__(self, detail: str) -> None:
        super().__init__(413, detail)


def has_large_headers(scope: Scope) -> bool:
    """Return whether the headers of a request are too many or too long."""
    headers = scope["headers"]
    size = sum(len(key) + len(value) for key, value in headers)
    return len(headers) > MAX_HEADERS or size > MAX_HEADER_BYTES


def declares_large_body(scope: Scope, maximum: int) -> bool:
    """Return whether the header names a length of more than `maximum` bytes, or no number."""
    lengths = values(scope, b"content-length")
    return any(not one.isdigit() or int(one[:20]) > maximum for one in lengths)


def limited(receive: Receive, maximum: int, detail: str) -> Receive:
    """Return `receive`, wrapped to raise BodyTooLong if a body has more than `maximum` bytes."""
    received = 0

    async def read() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > maximum:
            raise BodyTooLong(detail)
        return message

    return read
