"""Responses of the studio: a page, a JSON document, or one line of JSON."""

import json

from starlette.responses import Response

from zeropoint.studio.data.page_data import plain


def as_html(text: str, status: int = 200) -> Response:
    """Return an HTML response."""
    # A file may contain a lone surrogate, which UTF-8 cannot encode.
    return Response(text.encode("utf-8", "replace"), status, media_type="text/html")


def as_line(value: object) -> Response:
    """Return a response of one JSON line."""
    text = json.dumps(plain(value), separators=(",", ":"), allow_nan=False) + "\n"
    return Response(text, media_type="application/x-ndjson")


def as_json(value: object, status: int = 200) -> Response:
    """Return a JSON response."""
    text = json.dumps(plain(value), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return Response(text.encode("utf-8", "replace"), status, media_type="application/json")
