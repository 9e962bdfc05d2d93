"""Child processes that answer requests: JSON on stdin and stdout, diagnostics on stderr.

`ask` starts a process for one request, with a time limit. `Child` is a process that answers one
request after another, a line of JSON each. On the other side, a child calls `take_stdout` first.

Two children have protocols of their own: that of the studio, whose requests can be cancelled and
whose records carry arrays, and the sandbox, which runs code that may misuse a pipe.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO


class NoAnswerError(Exception):
    """A child process ended without an answer. The message describes how it ended."""

    def __init__(self, reason: str, *, signal_number: int = 0, timed_out: bool = False) -> None:
        super().__init__(reason)
        self.signal_number = signal_number  # that killed the process; 0: it exited by itself
        self.timed_out = timed_out  # killed at the time limit


def ask(command: Sequence[str], request: object, *, timeout_seconds: float) -> Any:
    """Start a process, write one request to its stdin, and return the answer on its stdout.

    Raises NoAnswerError if the process answers with anything but JSON, or not within
    `timeout_seconds`; it is killed then.
    """
    try:
        finished = subprocess.run(
            command,
            input=json.dumps(request).encode(),
            capture_output=True,
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        reason = f"it took longer than {timeout_seconds:g} s"
        raise NoAnswerError(reason, timed_out=True) from None
    try:
        return json.loads(finished.stdout)
    except ValueError:
        stderr = finished.stderr.decode("utf-8", "replace")
        raise _no_answer(finished.returncode, stderr) from None


class Child:
    """A process that runs a module of Python and answers requests until the context is left."""

    def __init__(self, module: str) -> None:
        self._log = tempfile.TemporaryFile("w+", errors="replace")
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,  # Ctrl-C reaches the parent only, which then ends the child
        )

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            with contextlib.suppress(OSError):  # a request that the child did not read
                stream.close()  # type: ignore[union-attr]

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.wait()

    def request(self, message: Mapping[str, object]) -> dict[str, Any]:
        """Send a request and return the answer. Raises NoAnswerError if the process ends."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended, which reading reports
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            self._log.seek(0)
            raise _no_answer(code, self._log.read())
        answer: dict[str, Any] = json.loads(line)
        return answer


def _no_answer(code: int, stderr: str) -> NoAnswerError:
    """Return the error of a process that ended with an exit code, or by a signal (negative)."""
    last_line = (stderr.strip().splitlines() or ["no message"])[-1]
    how = f"code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
    return NoAnswerError(f"it ended with {how}: {last_line}", signal_number=max(-code, 0))


def take_stdout() -> BinaryIO:
    """Return the stream for answers; everything else that is printed goes to stderr from now on."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers
