"""Answers of a generation: as one JSON body, or as server-sent events while it runs.

Both end the generation when the client disconnects, also before the first byte.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from zeropoint.server.http.engine_client import GenerationStream
from zeropoint.server.http.errors import ApiError

PING_SECONDS = 8.0  # between comments that keep a silent stream open
Chunk = dict[str, Any]
Chunks = Callable[[int, Mapping[str, Any]], list[Chunk]]
Result = TypeVar("Result")


class ClientGone(Exception):
    """The client has disconnected; there is nobody to answer."""


async def unless_disconnected(request: Request, work: Awaitable[Result]) -> Result:
    """Return the result of `work`; if the client disconnects first, cancel it and raise."""
    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return await task
    finally:
        for one in (task, watch):
            one.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await one


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def answer_once(
    request: Request,
    generation: GenerationStream,
    collect: Callable[[int, Mapping[str, Any]], None],
    body: Callable[[], Any],
) -> Response:
    """Pass all events to `collect`; then answer with the JSON value that `body` returns."""

    async def run() -> None:
        async with aclosing(generation.events()) as events:  # type: ignore[type-var]
            async for index, event in events:
                collect(index, event)

    await unless_disconnected(request, run())
    return JSONResponse(body())


async def answer_stream(
    request: Request,
    generation: GenerationStream,
    chunks: Chunks,
    *,
    done: bool = True,
    line: Callable[[Chunk], str] | None = None,
) -> Response:
    """Stream the chunks that `chunks` makes of each event, and `[DONE]` at the end.

    The headers are sent after the engine has accepted the prompt, so that a request that it refuses
    gets a plain error. A later error is a chunk with `error`, which ends the stream. `line` writes
    a chunk as text; None writes only its data.
    """
    write = line or data_line
    events = generation.events(idle_seconds=PING_SECONDS)

    async def first() -> tuple[int, Mapping[str, Any]]:
        async for index, event in events:
            if event["type"] != "idle":
                return index, event
        raise ApiError(500, "the engine sent nothing")

    try:
        begun = await unless_disconnected(request, first())
    except BaseException:
        generation.cancel()
        raise

    async def lines() -> AsyncIterator[str]:
        try:
            for chunk in chunks(*begun):
                yield write(chunk)
            async for text in _lines(events, chunks, write):
                yield text
        except ApiError as error:
            yield write(error.body())
            return
        finally:
            generation.cancel()
        if done:
            yield "data: [DONE]\n\n"

    return StreamingResponse(
        lines(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
    )


async def _lines(
    events: AsyncIterator[tuple[int, Mapping[str, Any]]],
    chunks: Chunks,
    write: Callable[[Chunk], str],
) -> AsyncIterator[str]:
    async for index, event in events:
        if event["type"] == "idle":
            yield ": waiting\n\n"
            continue
        for chunk in chunks(index, event):
            yield write(chunk)


def data_line(value: Chunk) -> str:
    """Return a server-sent event with a JSON value."""
    return f"data: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}\n\n"
