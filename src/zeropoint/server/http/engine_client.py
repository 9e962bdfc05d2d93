"""The HTTP process's side of the engine process: starts it, sends work, sorts its events.

After a crash every request that was running fails with status 503, and the engine is started once
more. A second crash within RESTART_SECONDS is final.
"""

import asyncio
import itertools
import json
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from zeropoint.server.http.errors import busy, engine_error
from zeropoint.server.records import LENGTH, Record, pack, unpack_length

RESTART_SECONDS = 60.0  # an engine that crashes again within this time stays down
STOP_SECONDS = 5.0  # for an engine that was asked to end
CALL_SECONDS = 60.0
MODULE = "zeropoint.server.engine.process"

Event = dict[str, Any]


class EngineClient:
    """The engine process, and the requests that wait for its events."""

    def __init__(
        self, options: Mapping[str, Any], *, queue_limit: int, command: Sequence[str] = ()
    ) -> None:
        """`options` are those of `engine.process`; `command` replaces it, for tests."""
        self.facts: Record = {}  # what the engine reports when it is ready
        self.failure = ""  # why there is no engine
        self.restarts = 0
        self.refused = 0  # requests that found the queue full
        self.draining = False
        self.ready = asyncio.Event()  # set when the first start has succeeded or failed
        self._queue_limit = queue_limit
        self._command = [*(command or (sys.executable, "-m", MODULE)), json.dumps(dict(options))]
        self._numbers = itertools.count(1)
        self._running: dict[int, GenerationStream] = {}
        self._calls: dict[int, asyncio.Future[Record]] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._up = False

    @property
    def is_up(self) -> bool:
        """Whether the engine takes requests."""
        return self._up

    @property
    def pid(self) -> int | None:
        """The engine's process id."""
        return self._process.pid if self._process else None

    @property
    def running(self) -> int:
        """The number of texts that are queued or being generated."""
        return len(self._running)

    async def run(self) -> None:
        """Start the engine and pass on its events, until `stop` or a second crash."""
        while True:
            started = time.monotonic()
            await self._session()
            if self.draining:
                return
            if not self.facts or (self.restarts and time.monotonic() - started < RESTART_SECONDS):
                when = "again" if self.facts else "while it loaded the model"
                self.failure = self.failure or f"the engine process has crashed {when}"
                self.ready.set()
                return
            self.restarts += 1

    async def stop(self) -> None:
        """End the engine process."""
        self.draining = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def generate(self, works: Sequence[Record]) -> "GenerationStream":
        """Send work to the engine; its events carry the index of their item of `works`.

        Raises ApiError 503 if the engine is not up, or if too much work is waiting.
        """
        self.check()
        if self.running + len(works) > int(self.facts["slots"]) + self._queue_limit:
            self.refused += 1
            raise busy("all slots are busy and the queue is full; try again later", seconds=2)
        generation = GenerationStream(self, [next(self._numbers) for _ in works])
        for id, work in zip(generation.ids, works, strict=True):
            self._running[id] = generation
            self._send({**work, "submit": id})
        return generation

    async def call(self, name: str, **arguments: Any) -> Any:
        """Return the engine's answer to a question. Raises ApiError."""
        self.check()
        number = next(self._numbers)
        future: asyncio.Future[Record] = asyncio.get_running_loop().create_future()
        self._calls[number] = future
        try:
            self._send({**arguments, "call": number, "name": name})
            async with asyncio.timeout(CALL_SECONDS):
                answer = await future
        except TimeoutError:
            raise busy("the engine did not answer in time") from None
        finally:
            self._calls.pop(number, None)
        if "error" in answer:
            raise engine_error(answer["error"])
        return answer["value"]

    def forget(self, ids: Sequence[int]) -> None:
        """Cancel work whose client is gone."""
        for id in ids:
            if self._running.pop(id, None) is not None and self._up:
                self._send({"cancel": id})

    def check(self) -> None:
        """Raise ApiError 503 if the engine takes no requests now."""
        if self.draining:
            raise busy("the server is shutting down", seconds=5)
        if self.failure:
            raise busy(f"the engine has failed: {self.failure}", seconds=30)
        if not self._up:
            raise busy("Loading model", seconds=2)

    def _send(self, record: Record) -> None:
        assert self._process is not None and self._process.stdin is not None
        with suppress(ConnectionError, RuntimeError):  # the process died: reading reports it
            self._process.stdin.write(pack(record))

    async def _session(self) -> None:
        """Run one engine process until it ends."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches the server only, which then drains
        )
        stdout = self._process.stdout
        assert stdout is not None
        try:
            while True:
                length = unpack_length(await stdout.readexactly(LENGTH.size))
                self._hear(json.loads(await stdout.readexactly(length)))
        except (asyncio.IncompleteReadError, ValueError):
            pass
        finally:
            self._up = False
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            self._fail_all()

    def _hear(self, record: Record) -> None:
        if "events" in record:
            for event in record["events"]:
                generation = self._running.get(event["id"])
                if generation is not None:
                    if event["type"] in ("end", "error"):
                        del self._running[event["id"]]
                    generation.add(event)
        elif "answer" in record:
            future = self._calls.get(record["answer"])
            if future is not None and not future.done():
                future.set_result(record)
        elif "ready" in record:
            self.facts, self._up = record["ready"], True
            self.ready.set()
        elif "failed" in record:
            self.failure = str(record["failed"])

    def _fail_all(self) -> None:
        message = "the engine process ended while it worked on this request"
        event = {"type": "error", "status": 503, "kind": "unavailable_error", "message": message}
        running, self._running = self._running, {}
        for id, generation in running.items():
            generation.add({**event, "id": id})
        for future in self._calls.values():
            if not future.done():
                future.set_result({"error": event})


class GenerationStream:
    """The texts of one HTTP request, while the engine works on them."""

    def __init__(self, client: EngineClient, ids: Sequence[int]) -> None:
        self.ids = list(ids)
        self._client = client
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._open = set(ids)

    def add(self, event: Event) -> None:
        """Take an event of the engine."""
        self._events.put_nowait(event)

    async def events(
        self, *, idle_seconds: float | None = None
    ) -> AsyncIterator[tuple[int, Event]]:
        """Yield (index, event) until all texts have ended.

        After `idle_seconds` without an event, an event of the type "idle" is yielded. Raises
        ApiError where one fails. Leaving the iteration early cancels what is left.
        """
        try:
            while self._open:
                try:
                    async with asyncio.timeout(idle_seconds):
                        event = await self._events.get()
                except TimeoutError:
                    yield 0, {"type": "idle"}
                    continue
                if event["type"] == "error":
                    self._open.discard(event["id"])
                    raise engine_error(event)
                if event["type"] == "end":
                    self._open.discard(event["id"])
                yield self.ids.index(event["id"]), event
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Cancel what has not ended."""
        left, self._open = list(self._open), set()
        self._client.forget(left)
