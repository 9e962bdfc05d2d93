"""Runs one piece of Python that a model wrote, and its tests, in a process with few powers.

Run as a script with one JSON object on stdin: {"solution", "tests", "megabytes", "seconds",
"file_megabytes", "nonce"}. Writes {"nonce", "passed"} to stdout, {"error"}, or {"nonce", "refused"}
where this machine cannot contain it. What is taken away before the code runs:

    limits     processor seconds, address space, size of a file, open files, core dumps
    Landlock   writing anywhere but in the working directory; reading anything but Python and /usr
    seccomp    new processes and programs, sockets (but a pair of its own), signals to others,
               owners and modes of files, limits, tracing, mounting, keys: each fails with EPERM

Imports nothing of zeropoint: it would cost more time than the code.
"""

import builtins
import ctypes
import json
import os
import platform
import resource
import struct
import sys
import types
from typing import Any

EPERM, ENOSYS = 1, 38
ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000
CLONE_THREAD = 0x10000
NEWEST = 424  # system calls from here on are new: only those of NEW are known to be harmless
NEW = (436, 437, 439, 449)  # close_range, openat2, faccessat2, futex_waitv

# Architecture: its audit number, clone, clone3, prlimit64, socketpair, and all calls that fail with
# EPERM.
CALLS = {
    "x86_64": (0xC000003E, 56, 435, 302, 53, """
        29 41 42 49 50 57 58 59 62 64 68 76 90 91 92 93 94 101 105 106 113 114 117 119 129 132 133
        141 142 144 155 159 160 161 163 164 165 166 167 168 169 170 171 172 173 175 176 179 188 189
        190 197 198 199 200 203 234 235 240 246 248 249 250 251 259 260 261 268 272 280 297 298 300
        304 308 310 311 312 313 314 317 320 321 322 323"""),
    "aarch64": (0xC00000B7, 220, 435, 261, 199, """
        5 6 7 14 15 16 30 33 39 40 41 45 51 52 53 54 55 60 88 89 97 104 105 106 117 118 119 122 129
        130 131 138 140 142 143 144 145 146 147 149 161 162 164 170 171 180 186 190 194 198 200 201
        203 217 218 219 221 224 225 240 241 262 265 268 270 271 272 273 274 277 280 281 282 294"""),
}  # fmt: skip

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}  # Landlock's version → bits of rights it knows; later: 16
IOCTL = 16


class Refused(Exception):
    """This machine cannot take the powers away."""


def main() -> None:
    """Read the job, give up every power, run, answer.

    What the answer needs is at hand before the code runs, so that code which changes builtins or
    modules changes nothing for its tests. It shares its process with them, though: code that sets
    out to deceive them (an `__eq__` that is always true) can.
    """
    job = json.load(sys.stdin)
    answer = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    try:
        contain(job)
    except (Refused, OSError, ValueError) as error:
        os.write(answer, json.dumps({"nonce": job["nonce"], "refused": str(error)}).encode())
        return
    told = json.dumps({"nonce": job.pop("nonce"), "passed": True}).encode()
    write, leave, dumps, words = os.write, os._exit, json.dumps, in_words
    space, names = make_module(), builtins.__dict__
    kept = names.copy()
    try:
        tests = compile(job["tests"], "tests.py", "exec")
        exec(compile(job["solution"], "solution.py", "exec"), space)
        names.update(kept)
        run_tests(tests, space)
    except BaseException as error:  # noqa: BLE001 (the code's own, exits too; nothing may escape)
        names.update(kept)
        told = dumps({"error": words(error)}).encode()
    write(answer, told)
    leave(0)  # at once: no thread or exit handler of the code is waited for


def make_module() -> dict[str, object]:
    """Return the names of a new module, which is what the code finds of `__main__` too."""
    module = types.ModuleType("solution")
    sys.modules["solution"] = sys.modules["__main__"] = module
    return module.__dict__


def run_tests(tests: types.CodeType, space: dict[str, object]) -> None:
    """Run the tests; they may end by leaving without an error (`unittest.main()`), code may not."""
    try:
        exec(tests, space)
    except SystemExit as end:
        frame = end.__traceback__
        while frame is not None:
            if end.code or frame.tb_frame.f_code.co_filename == "solution.py":
                raise
            frame = frame.tb_next


def in_words(error: BaseException) -> str:
    """Name an error, whatever its own text does."""
    try:
        text = str(error).split("\n")[0][:200]
    except BaseException:  # noqa: BLE001
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def contain(job: dict[str, Any]) -> None:
    """Take limits, then files, then system calls away; or raise."""
    megabytes = int(job["megabytes"]) << 20
    seconds, size = int(job["seconds"]), int(job["file_megabytes"]) << 20
    for kind, amount in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, megabytes),
        (resource.RLIMIT_FSIZE, size),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (amount, amount))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    if libc.prctl(38, 1, 0, 0, 0):  # PR_SET_NO_NEW_PRIVS
        raise Refused("no_new_privs failed")
    restrict_files(libc)
    restrict_calls(libc)


def restrict_files(libc: ctypes.CDLL) -> None:
    """Leave reading to Python's own folders, and writing to the working directory (Landlock)."""
    version = libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if version < 1:
        raise Refused("this kernel has no Landlock (Linux 5.13 and later have it)")
    every = (1 << RIGHTS.get(version, IOCTL)) - 1
    handled = ctypes.create_string_buffer(struct.pack("<Q", every), 8)
    ruleset = libc.syscall(CREATE_RULESET, handled, ctypes.c_size_t(8), ctypes.c_uint32(0))
    if ruleset < 0:
        raise Refused("Landlock refused its rules")
    reading = EXECUTE | READ_FILE | READ_DIR
    devices = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
    folders = [
        sys.prefix,
        sys.base_prefix,
        sys.exec_prefix,
        *sys.path[1:],
        "/usr",
        "/lib",
        "/lib64",
    ]
    wanted = [(path, reading) for path in (*folders, "/etc/ld.so.cache", "/etc/localtime")]
    wanted += [(path, READ_FILE | WRITE_FILE) for path in devices]
    for path, rights in [*wanted, (os.getcwd(), every)]:
        allow(libc, ruleset, path, rights)
    if libc.syscall(RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0)):
        raise Refused("Landlock could not be turned on")
    os.close(ruleset)


def allow(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    """Allow `rights` beneath a path, if it is there."""
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    if not os.path.isdir(path):
        rights &= EXECUTE | WRITE_FILE | READ_FILE
    rule = ctypes.create_string_buffer(struct.pack("<Qi", rights, place), 12)
    failed = libc.syscall(
        ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(1), rule, ctypes.c_uint32(0)
    )
    os.close(place)
    if failed:
        raise Refused(f"Landlock refused a rule for {path}")


def restrict_calls(libc: ctypes.CDLL) -> None:
    """Let every system call fail that reaches beyond this process and its files (seccomp)."""
    program = make_filter(platform.machine())
    code = b"".join(struct.pack("<HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    head = struct.pack("<HxxxxxxQ", len(program), ctypes.addressof(buffer))
    pointer = ctypes.create_string_buffer(head, len(head))
    if libc.prctl(22, 2, pointer, 0, 0):  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        raise Refused("this kernel has no seccomp filters")


def make_filter(machine: str) -> list[tuple[int, int, int, int]]:
    """Return the filter, a program of the classic BPF machine: (code, if true, if not, number)."""
    if machine not in CALLS:
        raise Refused(f"no list of system calls for {machine}")
    audit, clone, clone3, prlimit, pair, refused = CALLS[machine]
    load, equal, at_least, some_bit, mask, give = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
    perm, nosys = (give, 0, 0, ERRNO | EPERM), (give, 0, 0, ERRNO | ENOSYS)
    fine = (give, 0, 0, ALLOW)
    program = [(load, 0, 0, 4), (equal, 1, 0, audit), (give, 0, 0, KILL), (load, 0, 0, 0)]
    program += [(at_least, 0, 1, 0x40000000), perm]  # x32
    program += [(equal, 0, 1, clone3), nosys]  # glibc takes clone then
    for number in map(int, refused.split()):
        program += [(equal, 0, 1, number), perm]
    program += [(equal, 0, 4, clone), (load, 0, 0, 16), (some_bit, 1, 0, CLONE_THREAD), perm, fine]
    program += [(equal, 0, 7, pair), (load, 0, 0, 16), (equal, 0, 4, 1)]  # streams of this process:
    program += [(load, 0, 0, 24), (mask, 0, 0, 0xF), (equal, 0, 1, 1), fine, perm]  # asyncio's own
    program += [(equal, 0, 6, prlimit)]  # it may tell limits, not set them
    program += [(load, 0, 0, 32), (equal, 0, 2, 0), (load, 0, 0, 36), (equal, 1, 0, 0), perm, fine]
    for number in NEW:
        program += [(equal, 0, 1, number), fine]
    return [*program, (at_least, 0, 1, NEWEST), nosys, fine]


if __name__ == "__main__":
    main()
