"""Runs Python code that a model wrote against tests, in a sandboxed process.

The child (`child.py`) drops its own rights before the code runs. This module starts it, and kills
it if it runs too long, writes too much or starts too many threads.

It does not use `zeropoint.child`. The code of a model may fill or keep open a pipe that the parent
reads, so requests and answers are files, a nonce shows which answer is the child's own, and the
parent polls the process instead of waiting for an answer.
"""

import contextlib
import json
import os
import platform
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from zeropoint.errors import MeasurementError
from zeropoint.metrics.tasks.sandbox.filter import AUDIT_NUMBERS, assemble_filter, pack_filter

_MAX_FILES, _MAX_DEPTH = 10_000, 50  # of the working directory; the code is killed beyond them
_MAX_THREADS = 128
BUSY_MACHINE_FACTOR = 10  # seconds on the clock that each second of processor time allows


@dataclass(frozen=True)
class Limits:
    """The resources that the code may use."""

    seconds: int = 5  # of processor time
    megabytes: int = 1024  # of address space
    folder_megabytes: int = 16  # of all files together, and of each file

    @property
    def wall_seconds(self) -> float:
        """Seconds on the clock after which an idle process is killed."""
        return 2.0 * self.seconds + 1


@dataclass(frozen=True)
class SandboxResult:
    """Whether the code passed its tests."""

    passed: bool
    reason: str  # empty if it passed
    seconds: float


def run_python(solution: str, tests: str, limits: Limits | None = None) -> SandboxResult:
    """Run `solution`, then `tests` in the same module; the code passes if neither raises.

    Both run in a temporary working directory. Endless loops, forks, floods of output, writes to
    other places and early exits fail with a reason. Raises MeasurementError, and runs nothing, if
    this machine cannot sandbox the code (see `child.py`).
    """
    if platform.machine() not in AUDIT_NUMBERS:
        raise _no_sandbox(f"there is no list of system calls for {platform.machine()}")
    limits = limits or Limits()
    nonce = secrets.token_hex(16)
    job = {
        "solution": solution,
        "tests": tests,
        "filter": pack_filter(assemble_filter(platform.machine())).hex(),
        "megabytes": limits.megabytes,
        "seconds": limits.seconds,
        "file_megabytes": limits.folder_megabytes,
        "nonce": nonce,
    }
    folder = Path(tempfile.mkdtemp(prefix="zeropoint-code-"))
    started = time.monotonic()
    try:
        with tempfile.TemporaryFile() as request, tempfile.TemporaryFile() as response:
            request.write(json.dumps(job).encode())
            request.seek(0)
            process = subprocess.Popen(
                [sys.executable, "-I", str(Path(__file__).with_name("child.py"))],
                stdin=request,
                stdout=response,
                stderr=subprocess.DEVNULL,
                cwd=folder,
                env=_environment(folder),
                start_new_session=True,
            )
            try:
                kill_reason = _watch(process, folder, limits)
            finally:
                _end(process)
            response.seek(0)
            answer = response.read(1 << 20)
    finally:
        _clear(folder)
    seconds = time.monotonic() - started
    reason = kill_reason or _failure(answer, nonce, process.returncode, limits)
    return SandboxResult(not reason, reason, seconds)


def _watch(process: subprocess.Popen[bytes], folder: Path, limits: Limits) -> str:
    """Wait for the process. Return why it must be killed, or nothing if it has exited.

    Correct code must not fail because the machine is busy. Each second that it computes therefore
    allows BUSY_MACHINE_FACTOR more seconds, and only the pauses of this process count as time.
    """
    waited, pause = 0.0, 0.005
    while process.poll() is None:
        seconds, threads = _processor_seconds_and_threads(process.pid)
        if waited > limits.wall_seconds + BUSY_MACHINE_FACTOR * seconds:
            return f"did not end within {limits.wall_seconds:g} s"
        if threads > _MAX_THREADS:
            return f"started more than {_MAX_THREADS} threads"
        if _used(folder) > limits.folder_megabytes << 20:
            return f"wrote more than {limits.folder_megabytes} MB, or {_MAX_FILES} files"
        time.sleep(pause)
        waited += pause
        pause = min(2 * pause, 0.05)
    return ""


def _processor_seconds_and_threads(pid: int) -> tuple[float, int]:
    """Return the processor time of all threads of a process in seconds, and their number.

    Both are 0 if the process has ended.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK"), int(fields[17])
    except (OSError, ValueError, IndexError):
        return 0.0, 0


def _used(folder: Path) -> int:
    """Return the size of all files in a folder in bytes; sys.maxsize if there are too many."""
    total = count = 0
    waiting = [(str(folder), 0)]
    while waiting:
        path, depth = waiting.pop()
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    count += 1
                    if count > _MAX_FILES or depth > _MAX_DEPTH:
                        return sys.maxsize
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((entry.path, depth + 1))
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
        except OSError:  # deleted in the meantime
            continue
    return total


def _failure(answer: bytes, nonce: str, code: int, limits: Limits) -> str:
    """Return why code that exited did not pass; empty if it passed."""
    try:
        fields = json.loads(answer)
    except ValueError:
        fields = {}
    if not isinstance(fields, dict):
        fields = {}
    genuine = fields.get("nonce") == nonce
    if genuine and "refused" in fields:
        raise _no_sandbox(str(fields["refused"]))
    if genuine and fields.get("passed") is True:
        return ""
    if "error" in fields:
        return str(fields["error"])[:300]
    if code == -signal.SIGXCPU or code == -signal.SIGKILL:
        return f"took more than {limits.seconds} s of processor time"
    if code == -signal.SIGXFSZ:
        return f"wrote more than {limits.folder_megabytes} MB"
    return f"crashed (signal {-code})" if code < 0 else "ended before its tests did"


def _no_sandbox(reason: str) -> MeasurementError:
    return MeasurementError(
        f"the code was not run, because this machine cannot sandbox it: {reason}; use Linux on "
        "x86-64 or ARM, or omit --allow-code"
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and its process group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()
    process.wait()


def _clear(folder: Path) -> None:
    """Delete the folder, even if the code made it unreadable or very deep."""

    def allow(_function: object, path: str, _error: object) -> None:
        with contextlib.suppress(OSError):
            if not os.path.islink(path):  # os.chmod would change the target of the link
                os.chmod(path, 0o700)

    try:
        shutil.rmtree(folder, onerror=allow)
    except RecursionError:
        pass
    if folder.exists():  # files that are readable only now, or too deep for a path
        subprocess.run(["rm", "-rf", str(folder)], stderr=subprocess.DEVNULL, check=False)


def _environment(folder: Path) -> dict[str, str]:
    """Return the environment of the code, which has none of our own variables."""
    return {
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
