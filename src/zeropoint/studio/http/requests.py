"""Requests to the worker: bodies are checked field by field, answers are streamed by line."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import StreamingResponse

from zeropoint.errors import ZeropointError
from zeropoint.studio.data.page_data import plain

MAX_BRACKETS = 64  # brackets in a body; ours have two
MAX_TEXT_CHARACTERS = 100_000  # characters of a prompt or a text
MAX_ANSWER_TOKENS = 2048
MAX_ADDRESS_NUMBER = 2**40  # of any number in an address
MAX_TURNS = 500  # turns of a conversation

Words = dict[str, Any]


async def body_of(request: Request) -> Words:
    """Return the JSON object of a request. Raises HTTPException 400 or 413."""
    data = await request.body()
    if data.count(b"[") + data.count(b"{") > MAX_BRACKETS + data.count(b'"') // 2:
        raise HTTPException(413, "the body is nested too deeply")
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        raise HTTPException(400, "the body is not JSON") from None
    if not isinstance(body, dict):
        raise HTTPException(400, "the body is not a JSON object")
    return body


def text_in(
    words: Mapping[str, Any], name: str, *, minimum: int = 0, maximum: int = MAX_TEXT_CHARACTERS
) -> str:
    """Return a string field of a body. Raises HTTPException(400) for anything else."""
    value = words.get(name, "")
    if not isinstance(value, str) or not minimum <= len(value) <= maximum:
        raise HTTPException(400, f"{name} must be a text of {minimum} to {maximum} characters")
    return value


def list_in(
    words: Mapping[str, Any], name: str, maximum: int, *, distinct: bool = True
) -> list[str]:
    """Return a list of short strings, without repetitions unless `distinct` is false.

    Raises HTTPException(400) for anything else.
    """
    items = words.get(name, [])
    if not isinstance(items, list) or len(items) > maximum:
        raise HTTPException(400, f"{name} must be a list of at most {maximum} texts")
    if not all(isinstance(text, str) and 0 < len(text) <= 64 for text in items):
        raise HTTPException(400, f"{name} must be a list of texts of 1 to 64 characters")
    return list(dict.fromkeys(items)) if distinct else items


def history_in(words: Mapping[str, Any], sides: int) -> list[list[str]]:
    """Return the earlier turns of a conversation: a message and the answer of each side.

    Raises HTTPException(400) for anything else.
    """
    turns = words.get("history", [])
    if not isinstance(turns, list) or len(turns) > MAX_TURNS:
        raise HTTPException(400, f"history must be a list of at most {MAX_TURNS} turns")
    for turn in turns:
        texts = isinstance(turn, list) and all(isinstance(text, str) for text in turn)
        if not texts or len(turn) != 1 + sides:
            raise HTTPException(400, f"a turn of history must have {1 + sides} texts")
    return turns


def flag_in(words: Mapping[str, Any], name: str) -> bool:
    """Return a Boolean field of a body. Raises HTTPException(400) for anything else."""
    value = words.get(name, False)
    if not isinstance(value, bool):
        raise HTTPException(400, f"{name} must be true or false")
    return value


def number_in(words: Mapping[str, Any], name: str, low: float, high: float) -> float:
    """Return a numeric field of a body. Raises HTTPException(400) for anything else."""
    value = words.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise HTTPException(400, f"{name} must be a number from {low:g} to {high:g}")
    # Compared before conversion to float, because JSON integers are unbounded and floats are not.
    if not low <= value <= high:  # NaN is in no range
        raise HTTPException(400, f"{name} must be a number from {low:g} to {high:g}")
    return value


def whole_in(words: Mapping[str, Any], name: str, low: int, high: int) -> int:
    """Return an integer field of a body. Raises HTTPException(400) for anything else."""
    number = number_in(words, name, low, high)
    if number != int(number):
        raise HTTPException(400, f"{name} must be a whole number")
    return int(number)


def query_integer(given: Mapping[str, str], name: str, default: int) -> int:
    """Return an integer from an address. Raises HTTPException(400) for anything else."""
    text = given.get(name, "")
    if text == "":
        return default
    if not (
        text.isascii() and text.isdigit() and len(text) <= 13 and int(text) <= MAX_ADDRESS_NUMBER
    ):
        raise HTTPException(400, f"{name} must be a whole number of at least 0")
    return int(text)


def streamed(records: AsyncIterator[Words]) -> StreamingResponse:
    """Return records as lines of JSON; an error is the last line."""

    async def lines() -> AsyncIterator[bytes]:
        try:
            async for record in records:
                yield json.dumps(plain(record)).encode() + b"\n"
        except (ZeropointError, OSError) as error:
            yield json.dumps({"error": str(error)}).encode() + b"\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson")
