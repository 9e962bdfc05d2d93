"""The studio's side of the worker process (model_process.py), which serves one request at a time.

The first request that needs a model starts it, and it keeps models loaded between requests. A
request whose client has disconnected is cancelled. Each answer carries the id of its request, so
an answer can never reach another request. After any error of reading (the process died, or it sent
something that is not a record) the process is killed and the next request starts a new one.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

from zeropoint.errors import MeasurementError
from zeropoint.studio.http.records import RecordReader, UnreadableRecord

CANCEL_SECONDS = 20.0  # seconds that a cancelled request may take to come to its next record

Record = dict[str, Any]


class ModelWorker:
    """The worker process, started by the first request."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._records: RecordReader | None = None
        self._turn = asyncio.Lock()
        self._count = 0
        self._leaving: asyncio.Task[None] | None = None

    async def run(self, verb: str, words: Mapping[str, Any]) -> AsyncIterator[Record]:
        """Yield the records of a request, after those that came before it.

        Raises MeasurementError with the worker's message. Closing the iterator cancels the request.
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
                answer = await self._hear(process, number)
                if "record" in answer:
                    yield answer["record"]
                    continue
                ended = True
                if "error" in answer:
                    raise MeasurementError(answer["error"])
        finally:
            if ended or process is None:
                self._turn.release()
            else:  # the caller that cancelled must not have to wait
                self._leaving = asyncio.create_task(self._cancel(process, number))

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "zeropoint.studio.http.model_process",
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
            assert self._process.stdout is not None
            self._records = RecordReader(self._process.stdout)
        return self._process

    @staticmethod
    async def _send(process: asyncio.subprocess.Process, words: Mapping[str, Any]) -> None:
        assert process.stdin is not None
        with suppress(ConnectionError):  # the process died: the answer reports it
            process.stdin.write(json.dumps(words).encode() + b"\n")
            await process.stdin.drain()

    async def _hear(self, process: asyncio.subprocess.Process, number: int) -> Record:
        """Return the next answer to request `number`; an error answer if the worker has failed."""
        assert self._records is not None
        try:
            while (answer := await self._records.read()).get("id") != number:
                pass  # an answer to a request that was cancelled
            return answer
        except EOFError:
            code = await process.wait()
            reason = f"the worker process ended (status {code})"
        except UnreadableRecord as error:
            await self._kill(process)
            reason = f"the worker process sent an unreadable answer ({error})"
        return {"error": f"{reason}; the next request starts a new one"}

    async def _kill(self, process: asyncio.subprocess.Process) -> None:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    async def _cancel(self, process: asyncio.subprocess.Process, number: int) -> None:
        """Cancel the request and wait for its end; kill the process if it does not end."""
        await self._send(process, {"cancel": number})
        try:
            async with asyncio.timeout(CANCEL_SECONDS):
                while "record" in await self._hear(process, number):
                    pass
        except TimeoutError:
            await self._kill(process)
        finally:
            self._turn.release()
