"""Runs Python that a model wrote against tests, in a process that can do no harm.

`sandbox_child` gives up its own powers before the code runs. This module starts that process and
ends it if it runs too long, writes too much or starts too many threads.
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

_FILES, _DEPTH = 10_000, 50  # in the folder; more are not counted but ended
_MAX_THREADS = 128
BUSY = 10  # seconds that a busy machine may take for one of processor time


@dataclass(frozen=True)
class Limits:
    """What the code may use."""

    seconds: int = 5  # of processor time; twice that and one more on the clock, if it waits
    megabytes: int = 1024  # of address space
    folder_megabytes: int = 16  # of all files together, and of each

    @property
    def wall_seconds(self) -> float:
        """Seconds after which a process that waits is ended."""
        return 2.0 * self.seconds + 1


@dataclass(frozen=True)
class Ran:
    """What became of the code."""

    passed: bool
    reason: str  # empty if it passed
    seconds: float


def run_python(solution: str, tests: str, limits: Limits | None = None) -> Ran:
    """Run `solution`, then `tests` in the same names; it passes if neither raises.

    Both run in a folder of their own, which is deleted. Loops, forks, floods, writing elsewhere and
    ending early are a failure with a reason. Raises MeasurementError if this machine cannot contain
    code (see `sandbox_child`): nothing was run then.
    """
    if platform.machine() not in AUDIT_NUMBERS:
        raise _not_contained(f"no list of system calls for {platform.machine()}")
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
        with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as answered:
            asked.write(json.dumps(job).encode())
            asked.seek(0)
            process = subprocess.Popen(
                [sys.executable, "-I", str(Path(__file__).with_name("child.py"))],
                stdin=asked,
                stdout=answered,
                stderr=subprocess.DEVNULL,
                cwd=folder,
                env=_environment(folder),
                start_new_session=True,
            )
            try:
                ended = _watch(process, folder, limits)
            finally:
                _end(process)
            answered.seek(0)
            answer = answered.read(1 << 20)
    finally:
        _clear(folder)
    seconds = time.monotonic() - started
    reason = ended or _reason(answer, nonce, process.returncode, limits)
    return Ran(not reason, reason, seconds)


def _watch(process: subprocess.Popen[bytes], folder: Path, limits: Limits) -> str:
    """Wait for the process; return why it has to be ended, or nothing when it ended itself.

    Code that is right must not be wrong because the machine is busy: what it computes counts
    tenfold in its favour, and only pauses count, not how late we wake from them.
    """
    waited, pause = 0.0, 0.005
    while process.poll() is None:
        seconds, threads = _processor_seconds_and_threads(process.pid)
        if waited > limits.wall_seconds + BUSY * seconds:
            return f"did not end within {limits.wall_seconds:g} s"
        if threads > _MAX_THREADS:
            return f"started more than {_MAX_THREADS} threads"
        if _used(folder) > limits.folder_megabytes << 20:
            return f"wrote more than {limits.folder_megabytes} MB, or {_FILES} files"
        time.sleep(pause)
        waited += pause
        pause = min(2 * pause, 0.05)
    return ""


def _processor_seconds_and_threads(pid: int) -> tuple[float, int]:
    """Return the seconds that all threads of a process computed, and their number.

    Both are 0 if the process has ended.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK"), int(fields[17])
    except (OSError, ValueError, IndexError):
        return 0.0, 0


def _used(folder: Path) -> int:
    """Return the bytes of all files in a folder; too many or too deep ones are too many bytes."""
    total = count = 0
    waiting = [(str(folder), 0)]
    while waiting:
        path, depth = waiting.pop()
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    count += 1
                    if count > _FILES or depth > _DEPTH:
                        return sys.maxsize
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((entry.path, depth + 1))
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
        except OSError:  # deleted while it was looked at
            continue
    return total


def _reason(answer: bytes, nonce: str, code: int, limits: Limits) -> str:
    """Return why code that ended by itself did not pass; nothing if it did."""
    try:
        found = json.loads(answer)
    except ValueError:
        found = {}
    if not isinstance(found, dict):
        found = {}
    known = found.get("nonce") == nonce
    if known and "refused" in found:
        raise _not_contained(str(found["refused"]))
    if known and found.get("passed") is True:
        return ""
    if "error" in found:
        return str(found["error"])[:300]
    if code == -signal.SIGXCPU or code == -signal.SIGKILL:
        return f"took more than {limits.seconds} s of processor time"
    if code == -signal.SIGXFSZ:
        return f"wrote more than {limits.folder_megabytes} MB"
    return f"crashed (signal {-code})" if code < 0 else "ended before its tests did"


def _not_contained(reason: str) -> MeasurementError:
    return MeasurementError(
        f"code cannot be contained here, so it was not run: {reason}; use Linux on x86-64 or ARM, "
        "or leave --allow-code away"
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process, and whatever should be in its group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()
    process.wait()


def _clear(folder: Path) -> None:
    """Delete the folder, also one that the code made unreadable or very deep."""

    def allow(_function: object, path: str, _error: object) -> None:
        with contextlib.suppress(OSError):
            if not os.path.islink(path):  # os.chmod would change what the link leads to
                os.chmod(path, 0o700)

    try:
        shutil.rmtree(folder, onerror=allow)
    except RecursionError:
        pass
    if folder.exists():  # what is allowed now, and what is too deep for a path
        subprocess.run(["rm", "-rf", str(folder)], stderr=subprocess.DEVNULL, check=False)


def _environment(folder: Path) -> dict[str, str]:
    """Return what the code finds in its environment: nothing of ours."""
    return {
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
