"""The names of system calls, and the harmless arguments of each.

The table `system_calls.txt` and the predicates here are independent of the filter under test.
"""

import fcntl
import mmap
import os
import random
import socket
import termios
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from zeropoint.metrics.tasks.sandbox.filter import AUDIT_NUMBERS, Instruction

Arguments = Sequence[int]


def evaluate(
    program: Sequence[Instruction], number: int, audit_number: int, arguments: Arguments = ()
) -> int:
    """Run a filter on one system call and return its verdict.

    Knows the six operations of classic BPF that filters of this project use, and raises KeyError
    for any other. Raises IndexError if the program jumps or runs past its end.
    """
    padded = [*arguments, *[0] * (6 - len(arguments))]
    words = {0: number & 0xFFFFFFFF, 4: audit_number}
    for index, argument in enumerate(padded):
        words[16 + 8 * index] = argument & 0xFFFFFFFF
        words[20 + 8 * index] = argument >> 32 & 0xFFFFFFFF
    accumulator = position = 0
    while True:
        code, if_true, if_false, operand = program[position]
        position += 1
        if code == 0x20:  # load a word
            accumulator = words[operand]
        elif code == 0x15:  # equal
            position += if_true if accumulator == operand else if_false
        elif code == 0x35:  # at least
            position += if_true if accumulator >= operand else if_false
        elif code == 0x54:  # and
            accumulator &= operand
        elif code == 0x06:  # return
            return operand
        else:
            raise KeyError(code)


def system_calls(machine: str) -> dict[str, int]:
    """Return the number of each system call of an architecture, by name."""
    column = 1 + list(AUDIT_NUMBERS).index(machine)
    lines = Path(__file__).with_name("system_calls.txt").read_text().splitlines()[1:]
    rows = [line.split() for line in lines]
    return {row[0]: int(row[column]) for row in rows if row[column] != "-"}


def low(value: int) -> int:
    return value & 0xFFFFFFFF


def opens_no_file_by_a_back_door(flags: int) -> bool:
    mode = flags & os.O_ACCMODE
    return mode != 3 and not (mode == os.O_RDONLY and flags & os.O_TRUNC)


SEND_FLAGS = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
RECEIVE_FLAGS = int(socket.MSG_PEEK | socket.MSG_DONTWAIT | socket.MSG_WAITALL)
THREAD_FLAGS = 0x100 | 0x200 | 0x400 | 0x800 | 0x10000 | 0x40000 | 0x80000 | 0x100000 | 0x200000
HARMLESS_REQUESTS = {
    termios.TCGETS, termios.FIONREAD, termios.FIONBIO, termios.FIONCLEX, termios.FIOCLEX,
    termios.TIOCGWINSZ, 0x802C542A, 0x40049409,
}  # fmt: skip
HARMLESS_ADVICE = {
    mmap.MADV_NORMAL, mmap.MADV_RANDOM, mmap.MADV_SEQUENTIAL, mmap.MADV_WILLNEED,
    mmap.MADV_DONTNEED, mmap.MADV_FREE, mmap.MADV_HUGEPAGE, mmap.MADV_NOHUGEPAGE,
    mmap.MADV_DONTDUMP, 102, 103,
}  # fmt: skip
HARMLESS_COMMANDS = {
    fcntl.F_DUPFD, fcntl.F_GETFD, fcntl.F_SETFD, fcntl.F_GETFL, fcntl.F_DUPFD_CLOEXEC,
}  # fmt: skip

# Permitted arguments of each call with a rule, written independently of the rule, and an example.
PERMITTED: dict[str, tuple[Callable[[Arguments], bool], Arguments]] = {
    "open": (lambda a: opens_no_file_by_a_back_door(a[1]), (0, os.O_RDWR, 0)),
    "openat": (lambda a: opens_no_file_by_a_back_door(a[2]), (0, 0, os.O_RDONLY)),
    "madvise": (lambda a: low(a[2]) in HARMLESS_ADVICE, (0, 0, mmap.MADV_DONTNEED)),
    "clone": (lambda a: a[0] in (THREAD_FLAGS, THREAD_FLAGS | 0x400000), (THREAD_FLAGS,)),
    "futex": (lambda a: low(a[1]) & ~0x180 in {0, 1, 3, 4, 5, 9, 10}, (0, 128 | 1)),
    "pipe2": (lambda a: low(a[1]) & ~(os.O_CLOEXEC | os.O_NONBLOCK) == 0, (0, os.O_CLOEXEC)),
    "socketpair": (
        lambda a: (
            low(a[0]) == socket.AF_UNIX
            and low(a[1]) & ~(os.O_CLOEXEC | os.O_NONBLOCK) == socket.SOCK_STREAM
        ),
        (socket.AF_UNIX, socket.SOCK_STREAM),
    ),
    "sendto": (
        lambda a: a[4] == 0 and low(a[3]) & ~SEND_FLAGS == 0,
        (0, 0, 0, 0, 0),
    ),
    "recvfrom": (
        lambda a: low(a[3]) & ~RECEIVE_FLAGS == 0,
        (0, 0, 0, 0),
    ),
    "ioctl": (lambda a: low(a[1]) in HARMLESS_REQUESTS, (0, termios.FIONBIO)),
    "fcntl": (
        lambda a: (
            low(a[1]) in HARMLESS_COMMANDS
            or (low(a[1]) == fcntl.F_SETFL and not a[2] & fcntl.FASYNC)
        ),
        (0, fcntl.F_SETFL, os.O_NONBLOCK),
    ),
    "prlimit64": (lambda a: low(a[0]) == 0 and a[2] == 0, (0, 7, 0, 0)),
    "sched_getaffinity": (lambda a: low(a[0]) == 0, (0,)),
    "prctl": (lambda a: low(a[0]) in (15, 16), (15,)),
}


def variations(base: Arguments) -> Iterator[tuple[int, ...]]:
    """Yield arguments with each single bit of each argument flipped, and with other values."""
    random_values = random.Random(0)
    padded = (*base, *[0] * (6 - len(base)))
    yield padded
    for index in range(6):
        others = [padded[index] ^ 1 << bit for bit in range(64)]
        others += [*range(32), 100, 101, 1024, 1025, 1026, 1030, 0x5452, 0x8901, 0x8902, 0x5412]
        others += [2**32 - 1, 2**64 - 1, random_values.getrandbits(64)]
        for value in others:
            yield (*padded[:index], value, *padded[index + 1 :])
