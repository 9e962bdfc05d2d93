"""Builds the seccomp filter program with the system calls that sandboxed code may make.

A seccomp filter is a program for the classic BPF machine. The kernel runs it before each system
call, on the call's number, the architecture and the six arguments. This module is plain data and a
small assembler, so that tests can evaluate the program of either architecture without a kernel.

A call that is not listed here fails with EPERM or, if it is newer than Linux 5.0, with ENOSYS, so
that the C library falls back to an older call.
"""

import struct
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

EPERM, ENOSYS = 1, 38
ALLOW, ERRNO, KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
REFUSE, ABSENT = ERRNO | EPERM, ERRNO | ENOSYS

FIRST_UNIFIED_NUMBER = 424  # from here on all architectures number their calls alike (Linux 5.1)
X32_BIT = 0x40000000  # set in the numbers of the x32 calls, which share x86-64's audit number
AUDIT_NUMBERS = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# Each call that is allowed, with its numbers on x86-64 and on aarch64; "-": no such call.
CALLS = """
    read 0 63, write 1 64, close 3 57, lseek 8 62, pread64 17 67, pwrite64 18 68, readv 19 65,
    writev 20 66, preadv 295 69, pwritev 296 70, preadv2 327 286, pwritev2 328 287,
    sendfile 40 71, copy_file_range 326 285, fsync 74 82, fdatasync 75 83, ftruncate 77 46,
    open 2 -, openat 257 56, close_range 436 436, dup 32 23, dup2 33 -, dup3 292 24,
    stat 4 -, fstat 5 80, lstat 6 -, newfstatat 262 79, statx 332 291, access 21 -,
    faccessat 269 48, faccessat2 439 439, readlink 89 -, readlinkat 267 78, getdents64 217 61,
    getcwd 79 17, chdir 80 49, fchdir 81 50, umask 95 166,
    rename 82 -, renameat 264 38, mkdir 83 -, mkdirat 258 34, rmdir 84 -, link 86 -, linkat 265 37,
    unlink 87 -, unlinkat 263 35, symlink 88 -, symlinkat 266 36,

    mmap 9 222, mprotect 10 226, munmap 11 215, brk 12 214, mremap 25 216, msync 26 227,
    madvise 28 233,

    rt_sigaction 13 134, rt_sigprocmask 14 135, rt_sigreturn 15 139, rt_sigpending 127 136,
    rt_sigtimedwait 128 137, rt_sigsuspend 130 133, sigaltstack 131 132, pause 34 -, alarm 37 -,
    getitimer 36 102, setitimer 38 103, restart_syscall 219 128,

    clone 56 220, futex 202 98, set_robust_list 273 99, rseq 334 293, sched_yield 24 124,
    exit 60 93, exit_group 231 94,

    poll 7 -, ppoll 271 73, select 23 -, pselect6 270 72, epoll_create 213 -, epoll_create1 291 20,
    epoll_ctl 233 21, epoll_wait 232 -, epoll_pwait 281 22, pipe 22 -, pipe2 293 59,
    socketpair 53 199, sendto 44 206, recvfrom 45 207, shutdown 48 210, getsockname 51 204,
    getpeername 52 205, ioctl 16 29, fcntl 72 25,

    getpid 39 172, getppid 110 173, gettid 186 178, getuid 102 174, getgid 104 176, geteuid 107 175,
    getegid 108 177, getgroups 115 158, uname 63 160, sysinfo 99 179, getcpu 309 168, times 100 153,
    getrlimit 97 163, getrusage 98 165, prlimit64 302 261, sched_getaffinity 204 123,
    prctl 157 167, getrandom 318 278, time 201 -, gettimeofday 96 169, clock_gettime 228 113,
    clock_getres 229 114, nanosleep 35 101, clock_nanosleep 230 115
"""


class Instruction(NamedTuple):
    """One instruction: an operation, how far to jump if it holds or not, and its operand."""

    code: int
    if_true: int
    if_false: int
    operand: int


class Test(NamedTuple):
    """Holds if half an argument, after masking, is one of `values`.

    `half` counts the 32-bit halves of the six arguments: 2 n is the low half of argument n and
    2 n + 1 its high half. The kernel reads an `int` from the low half alone.
    """

    half: int
    values: tuple[int, ...]
    mask: int = 0xFFFFFFFF


def _low(argument: int, *values: int, mask: int = 0xFFFFFFFF) -> Test:
    return Test(2 * argument, values, mask)


def _no_bits_but(argument: int, bits: int) -> Test:
    return Test(2 * argument, (0,), 0xFFFFFFFF & ~bits)


def _null(argument: int) -> tuple[Test, Test]:
    """Require a null pointer: both halves are zero."""
    return Test(2 * argument, (0,)), Test(2 * argument + 1, (0,))


O_TRUNC, O_ASYNC = 0o1000, 0o20000
PIPE_FLAGS = SOCKET_FLAGS = 0o2004000  # close on exec, do not block
# Read-only opening with O_TRUNC and the access mode 3 change or open files without Landlock's
# consent on the kernels before 6.2.
OPEN_FLAGS = (0, 1, 2, 1 | O_TRUNC, 2 | O_TRUNC)
THREAD = 0x3D0F00  # the flags with which glibc starts a thread; musl adds CLONE_DETACHED
CLONE_DETACHED = 0x400000
FUTEX_PRIVATE_OR_REALTIME = 0x180
HARMLESS_FCNTL = (0, 1, 2, 3, 1030)  # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC
F_SETFL = 4
# TCGETS, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX, TIOCGWINSZ, TCGETS2, FICLONE
HARMLESS_IOCTL = (0x5401, 0x541B, 0x5421, 0x5450, 0x5451, 0x5413, 0x802C542A, 0x40049409)
# NORMAL to DONTNEED, FREE, HUGEPAGE, NOHUGEPAGE, DONTDUMP, GUARD_INSTALL, GUARD_REMOVE
HARMLESS_MADVISE = (0, 1, 2, 3, 4, 8, 14, 15, 16, 102, 103)

# Calls that are allowed only with some arguments: one of the alternatives must hold, with each of
# its tests. A call of CALLS without an entry is allowed with any arguments.
RULES: dict[str, tuple[tuple[Test, ...], ...]] = {
    "open": ((_low(1, *OPEN_FLAGS, mask=3 | O_TRUNC),),),
    "openat": ((_low(2, *OPEN_FLAGS, mask=3 | O_TRUNC),),),
    "madvise": ((_low(2, *HARMLESS_MADVISE),),),
    "clone": ((_low(0, THREAD, mask=0xFFFFFFFF & ~CLONE_DETACHED), Test(1, (0,))),),
    # WAIT, WAKE, REQUEUE, CMP_REQUEUE, WAKE_OP, WAIT_BITSET, WAKE_BITSET
    "futex": ((_low(1, 0, 1, 3, 4, 5, 9, 10, mask=0xFFFFFFFF & ~FUTEX_PRIVATE_OR_REALTIME),),),
    "pipe2": ((_no_bits_but(1, PIPE_FLAGS),),),
    # A pair of connected streams, with which asyncio wakes itself: AF_UNIX, SOCK_STREAM.
    "socketpair": ((_low(0, 1), _low(1, 1, mask=0xFFFFFFFF & ~SOCKET_FLAGS)),),
    "sendto": ((_no_bits_but(3, 0x4040), *_null(4)),),  # MSG_NOSIGNAL, MSG_DONTWAIT; no address
    "recvfrom": ((_no_bits_but(3, 0x142),),),  # MSG_PEEK, MSG_DONTWAIT, MSG_WAITALL
    "ioctl": ((_low(1, *HARMLESS_IOCTL),),),
    "fcntl": ((_low(1, *HARMLESS_FCNTL),), (_low(1, F_SETFL), _low(2, 0, mask=O_ASYNC))),
    "prlimit64": ((_low(0, 0), *_null(2)),),  # reads the limits of this process, sets none
    "sched_getaffinity": ((_low(0, 0),),),
    "prctl": ((_low(0, 15, 16),),),  # PR_SET_NAME, PR_GET_NAME
}

_LOAD, _EQUAL, _AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
_NUMBER_OFFSET, _ARCHITECTURE_OFFSET, _ARGUMENTS_OFFSET = 0, 4, 16


def allowed_numbers(machine: str) -> dict[str, int]:
    """Return the number of each call that `machine` (x86_64 or aarch64) allows, by name."""
    column = 1 + list(AUDIT_NUMBERS).index(machine)
    rows = [row.split() for row in CALLS.split(",")]
    return {row[0]: int(row[column]) for row in rows if row[column] != "-"}


@cache
def assemble_filter(machine: str) -> tuple[Instruction, ...]:
    """Return the filter program of `machine`.

    Raises KeyError if `machine` is not one of AUDIT_NUMBERS.
    """
    audit_number, numbers = AUDIT_NUMBERS[machine], allowed_numbers(machine)
    program = [
        Instruction(_LOAD, 0, 0, _ARCHITECTURE_OFFSET),
        Instruction(_EQUAL, 1, 0, audit_number),
        _give(KILL_PROCESS),
        Instruction(_LOAD, 0, 0, _NUMBER_OFFSET),
        Instruction(_AT_LEAST, 0, 1, X32_BIT),
        _give(REFUSE),
    ]
    for name, number in numbers.items():
        decision = _assemble_rule(RULES[name]) if name in RULES else [_give(ALLOW)]
        program += [Instruction(_EQUAL, 0, len(decision), number), *decision]
    newer = Instruction(_AT_LEAST, 0, 1, FIRST_UNIFIED_NUMBER)
    return (*program, newer, _give(ABSENT), _give(REFUSE))


def pack_filter(program: Sequence[Instruction]) -> bytes:
    """Return a program as the kernel reads it: 8 bytes for each instruction."""
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in program)


def _give(verdict: int) -> Instruction:
    return Instruction(_RETURN, 0, 0, verdict)


def _assemble_rule(alternatives: Sequence[Sequence[Test]]) -> list[Instruction]:
    """Return instructions that allow the call if an alternative holds, and refuse it otherwise."""
    program: list[Instruction] = []
    for tests in alternatives:
        block = [_give(ALLOW)]
        for test in reversed(tests):
            block = [*_assemble_test(test, len(block)), *block]
        program += block
    return [*program, _give(REFUSE)]


def _assemble_test(test: Test, skipped: int) -> Iterator[Instruction]:
    """Yield instructions that go on if the test holds, and skip that many instructions if not."""
    yield Instruction(_LOAD, 0, 0, _ARGUMENTS_OFFSET + 4 * test.half)
    yield Instruction(_AND, 0, 0, test.mask)
    left = len(test.values)
    for value in test.values:
        left -= 1
        yield Instruction(_EQUAL, left, 0 if left else skipped, value)
