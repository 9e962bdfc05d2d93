"""Every system call of x86-64, made for real in a sandbox, as root and as an ordinary user."""

import errno
import os
import platform
import subprocess

import pytest

from support.sandbox.jobs import as_each_user, run_jobs
from support.sandbox.system_calls import PERMITTED, variations
from zeropoint.metrics.tasks.sandbox.filter import (
    ABSENT,
    ALLOW,
    ERRNO,
    REFUSE,
    RULES,
    Instruction,
    allowed_numbers,
    assemble_filter,
    pack_filter,
)

pytestmark = pytest.mark.skipif(
    platform.system() != "Linux" or platform.machine() != "x86_64", reason="needs Linux on x86-64"
)

# No call of the kernel fails with these, so an errno shows that the filter refused the call.
REFUSED_ERRNO, ABSENT_ERRNO = 1111, 1112
NOT_RETURNING = {"exit", "exit_group", "rt_sigreturn"}
# uretprobe and uprobe: recent kernels do not show them to filters. From a program's own code
# uretprobe ends the process with SIGILL and uprobe fails with ENXIO.
PROBES = (335, 336)
SIGILL, SIGSEGV, SIGSYS = 4, 11, 31

ALLOW_ALL = pack_filter([Instruction(0x06, 0, 0, ALLOW)])


def marked_filter() -> bytes:
    """Return the filter, with errors that no system call has."""
    marks = {REFUSE: ERRNO | REFUSED_ERRNO, ABSENT: ERRNO | ABSENT_ERRNO}
    return pack_filter([
        line._replace(operand=marks.get(line.operand, line.operand)) if line.code == 0x06 else line
        for line in assemble_filter("x86_64")
    ])  # fmt: skip


@as_each_user
def test_every_call_that_is_not_listed_fails_with_the_filters_error(ordinary: bool) -> None:
    """Numbers 0 to 1023, the same with the bit of the x32 interface, and numbers that are none."""
    allowed = set(allowed_numbers("x86_64").values())
    unlisted = [number for number in range(1024) if number not in {*allowed, *PROBES}]
    others = [number | 0x40000000 for number in range(1024)] + [-1, 2**31 - 1, -(2**31)]
    calls = [
        [number, *[value] * 6] for number in unlisted + others for value in (0, 2**64 - 1)
    ]  # fmt: skip
    jobs = [{"calls": calls}, *({"calls": [[number, *[0] * 6]]} for number in PROBES)]
    outcome, *probed = run_jobs(jobs, ordinary=ordinary, program=marked_filter())
    assert len(outcome["returned"]) == len(calls) == 2 * (1022 - len(allowed) + 1027)
    for (number, *_), (value, failure) in zip(calls, outcome["returned"], strict=True):
        expected = ABSENT_ERRNO if 424 <= number < 1024 else REFUSED_ERRNO
        assert (value, failure) == (-1, expected), number
    for end in probed:
        refused = {"returned": [[-1, REFUSED_ERRNO]]}
        assert end in (refused, {"status": -SIGILL}, {"returned": [[-1, errno.ENXIO]]})


@as_each_user
def test_every_listed_call_reaches_the_kernel(ordinary: bool) -> None:
    """Each in a process of its own. `clone` is tested by starting threads."""
    listed = allowed_numbers("x86_64")
    names = [name for name in listed if name != "clone"]
    jobs = [
        {"calls": [[listed[name], *PERMITTED.get(name, (None, (0,) * 6))[1]]]} for name in names
    ]
    outcomes = run_jobs(jobs, ordinary=ordinary, program=marked_filter())
    for name, outcome in zip(names, outcomes, strict=True):
        if name in NOT_RETURNING:
            assert outcome == {"status": -SIGSEGV if name == "rt_sigreturn" else 0}, name
        else:
            ((_, failure),) = outcome["returned"]
            assert failure not in (REFUSED_ERRNO, ABSENT_ERRNO), name
    assert len(outcomes) == len(listed) - 1


@as_each_user
def test_a_listed_call_fails_with_arguments_that_are_not_harmless(ordinary: bool) -> None:
    calls = [
        [number, *arguments]
        for name, number in allowed_numbers("x86_64").items()
        if name in RULES
        for arguments in variations(PERMITTED[name][1])
        if not PERMITTED[name][0](arguments)
    ]
    (outcome,) = run_jobs([{"calls": calls}], ordinary=ordinary, program=marked_filter())
    assert len(calls) > 1000
    for call, returned in zip(calls, outcome["returned"], strict=True):
        assert returned == [-1, REFUSED_ERRNO], call


@as_each_user
def test_a_call_of_the_32_bit_interface_ends_the_process(ordinary: bool) -> None:
    code = (
        "import ctypes, mmap\n"
        "page = mmap.mmap(-1, 4096, prot=7)\n"
        "page.write(bytes.fromhex('b814000000cd80c3'))\n"  # mov eax, 20 (getpid); int 0x80; ret
        "address = ctypes.addressof(ctypes.c_char.from_buffer(page))\n"
        "ctypes.CFUNCTYPE(ctypes.c_int)(address)()"
    )
    (outcome,) = run_jobs([{"code": code}], ordinary=ordinary, program=marked_filter())
    assert outcome in ({"status": -SIGSYS}, {"status": -SIGSEGV})  # the latter without 32-bit calls


SIGNAL_BY_FCNTL = """
import fcntl
reader, writer = os.pipe()
fcntl.fcntl(reader, fcntl.F_SETOWN, {pid})
fcntl.fcntl(reader, 10, 9)  # F_SETSIG, SIGKILL
fcntl.fcntl(reader, fcntl.F_SETFL, fcntl.fcntl(reader, fcntl.F_GETFL) | os.O_ASYNC)
os.write(writer, b"x")
"""


@as_each_user
def test_without_the_filter_landlock_still_restricts_signals_and_sockets(ordinary: bool) -> None:
    """The second line of defence, where the kernel has it (Linux 6.12 and later)."""
    import socket

    name = f"zeropoint-test-{os.getpid()}"
    code = [
        f"os.kill({os.getpid()}, 0)",
        f"import socket; socket.socket(socket.AF_UNIX).connect('\\0{name}')",
        "import socket; socket.socket().bind(('127.0.0.1', 0))",
        "import socket; socket.socket().connect(('127.0.0.1', 9))",
        "libc.capget.restype = int; header = (__import__('ctypes').c_uint32 * 2)(0x20080522, 0)\n"
        "sets = (__import__('ctypes').c_uint32 * 6)()\n"
        "assert libc.capget(header, sets) == 0 and not any(sets)\n"
        "raise PermissionError('no capabilities')",
    ]
    victim = subprocess.Popen(["sleep", "60"])
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("\0" + name)
        listening.listen()
        jobs = [{"code": text} for text in (*code, SIGNAL_BY_FCNTL.format(pid=victim.pid))]
        outcomes = run_jobs(jobs, ordinary=ordinary, program=ALLOW_ALL)
    ended = victim.poll()
    victim.kill()
    victim.wait()
    if landlock_version() < 6:
        pytest.skip("this kernel's Landlock does not restrict signals")
    assert [(outcome["error"] or "")[:15] for outcome in outcomes[:-1]] == ["PermissionError"] * 5
    assert ended is None


def landlock_version() -> int:
    import ctypes

    libc = ctypes.CDLL(None)
    return int(libc.syscall(444, None, ctypes.c_size_t(0), ctypes.c_uint32(1)))
