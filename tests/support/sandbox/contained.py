"""Makes system calls, or runs code, in forked children that have given up their powers.

A script: reads {"child", "ordinary", "filter", "jobs"} from stdin, where `child` is the path of
the sandbox's `child.py`, and writes a list with one outcome per job to stdout. A job is {"calls":
[[number, argument...]...]}, whose outcome is {"returned": [[value, errno]...]}, or {"code": text},
whose outcome is {"error": null or a sentence}. The outcome {"status": n} means that the child ended
without an answer, by signal -n or with exit status n.

`ordinary` runs the jobs as the user nobody, which only root can do.
"""

import ctypes
import errno  # noqa: F401 (code in a job cannot import as nobody if Python's files are root's)
import fcntl  # noqa: F401
import json
import mmap  # noqa: F401
import os
import runpy
import select
import shutil
import signal
import socket  # noqa: F401
import struct  # noqa: F401
import sys
import tempfile
import termios  # noqa: F401
from collections.abc import Callable
from typing import Any

SECONDS = 20
BLOCKED_SECONDS = 0.1  # a call that blocks is interrupted then
NOBODY = 65534


def make_calls(libc: ctypes.CDLL, calls: list[list[int]]) -> list[tuple[int, int]]:
    """Return the value and errno of each system call."""
    signal.signal(signal.SIGALRM, lambda *_: None)
    returned = []
    for number, *arguments in calls:
        ctypes.set_errno(0)
        if len(calls) == 1:
            signal.setitimer(signal.ITIMER_REAL, BLOCKED_SECONDS, BLOCKED_SECONDS)
        value = libc.syscall(ctypes.c_long(number), *map(ctypes.c_ulong, arguments))
        returned.append((value, ctypes.get_errno() if value == -1 else 0))
    return returned


def do(job: dict[str, Any], libc: ctypes.CDLL) -> dict[str, object]:
    """Do one job, in a child that is contained already."""
    if "calls" in job:
        return {"returned": make_calls(libc, job["calls"])}
    try:
        exec(job["code"], {"libc": libc, "os": os})
    except Exception as error:  # noqa: BLE001
        return {"error": f"{type(error).__name__}: {error}"}
    return {"error": None}


def run(
    job: dict[str, Any], asked: dict[str, Any], restrict: Callable[[object], None]
) -> dict[str, object]:
    """Fork a child, take its powers away, let it do a job, and return the outcome."""
    reader, writer = os.pipe()
    folder = tempfile.mkdtemp()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        if asked["ordinary"]:
            os.chown(folder, NOBODY, NOBODY)
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        os.chdir(folder)
        libc = ctypes.CDLL(None, use_errno=True)
        libc.syscall.restype = ctypes.c_long
        limits = {"megabytes": 1024, "seconds": SECONDS, "file_megabytes": 4}
        restrict({"filter": asked["filter"], **limits})
        os.write(writer, json.dumps(do(job, libc)).encode())
        os._exit(0)
    os.close(writer)
    answer = b""
    while select.select([reader], [], [], SECONDS)[0]:
        part = os.read(reader, 1 << 20)
        if not part:
            break
        answer += part
    else:
        os.kill(pid, signal.SIGKILL)
    os.close(reader)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    shutil.rmtree(folder)
    if not answer:
        return {"status": status}
    found: dict[str, object] = json.loads(answer)
    return found


def main() -> None:
    """Do all jobs."""
    asked = json.load(sys.stdin)
    restrict = runpy.run_path(asked["child"])["restrict"]
    json.dump([run(job, asked, restrict) for job in asked["jobs"]], sys.stdout)


if __name__ == "__main__":
    main()
