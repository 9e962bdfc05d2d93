"""The studio's side of the process that computes (compute.py): one, long-lived, one job at a time.

It is started by the first request that needs a model and keeps models loaded between requests. A
request that nobody waits for any more is cancelled; a process that died is said, and replaced.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

from zeropoint.errors import MeasurementError

LINE = 1 << 20  # bytes of one record
PATIENCE = 20.0  # seconds that a cancelled request may take to come to its next record

Record = dict[str, Any]


class Worker:
    """The process, or the place for it."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._count = 0
        self._leaving: asyncio.Task[None] | None = None

    async def run(self, verb: str, words: Mapping[str, Any]) -> AsyncIterator[Record]:
        """Yield the records of a request, after those that came before it.

        Raises MeasurementError with the sentence of what went wrong. Left early, it cancels.
        """
        if self._turn.locked():
            yield {"waiting": True}
        await self._turn.acquire()
        process, number, ended = None, self._count + 1, False
        try:
            process = await self._started()
            self._count = number
            await self._send(process, {"id": number, "verb": verb, **words})
            while not ended:
                answer = await self._hear(process)
                if "record" in answer:
                    yield answer["record"]
                    continue
                ended = True
                if "error" in answer:
                    raise MeasurementError(answer["error"])
        finally:
            if ended or process is None:
                self._turn.release()
            else:  # whoever cancelled us may not be made to wait
                self._leaving = asyncio.create_task(self._cancel(process, number))

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "zeropoint.studio.compute",
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL, limit=LINE, start_new_session=True,
            )  # fmt: skip
        return self._process

    @staticmethod
    async def _send(process: asyncio.subprocess.Process, words: Mapping[str, Any]) -> None:
        assert process.stdin is not None
        with suppress(ConnectionError):  # it died: the answer says so
            process.stdin.write(json.dumps(words).encode() + b"\n")
            await process.stdin.drain()

    async def _hear(self, process: asyncio.subprocess.Process) -> Record:
        assert process.stdout is not None
        line = await process.stdout.readline()
        if line:
            found: Record = json.loads(line)
            return found
        code = await process.wait()
        return {"error": f"the process that computes has ended (code {code}); it starts anew"}

    async def _cancel(self, process: asyncio.subprocess.Process, number: int) -> None:
        """Let the request come to its end; a process that does not is ended itself."""
        await self._send(process, {"cancel": number})
        try:
            async with asyncio.timeout(PATIENCE):
                while "record" in await self._hear(process):
                    pass
        except TimeoutError:
            process.kill()
            await process.wait()
        finally:
            self._turn.release()
