"""Runs one piece of Python that a model wrote, and its tests, in a process with few powers.

Run as a script with one JSON object on stdin: {"solution", "tests", "filter", "megabytes",
"seconds", "file_megabytes", "nonce"}. Writes {"nonce", "passed"} to stdout, {"error"}, or {"nonce",
"refused"} if this machine cannot contain the code. The process gives up these powers, in this
order, before the code runs:

    limits        processor seconds, address space, size of a file, open files, core dumps
    capabilities  all of them, so root is an ordinary owner of files
    Landlock      writing anywhere but in the working directory; reading anything but Python and
                  /usr; TCP, and signals and abstract sockets to other processes, where the kernel
                  can restrict them
    seccomp       each system call that `sandbox_filter` does not list

The file imports nothing of zeropoint, because that would take longer than running the code. So the
parent sends the filter, in hexadecimal.
"""

import builtins
import ctypes
import json
import os
import resource
import struct
import sys
import types
from typing import Any

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}  # version of Landlock → number of rights for files
LATEST_FILE_RIGHTS = 16
BIND_AND_CONNECT_TCP = 3
ABSTRACT_SOCKETS_AND_SIGNALS = 3
PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 4, 22, 38
CAPABILITY_VERSION = 0x20080522


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
    os.close(nowhere)
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
    """Give up all powers. Raises Refused if this machine cannot take one away."""
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
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise Refused("no_new_privs failed")
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)  # a crash starts no collector of core dumps
    drop_capabilities(libc)
    restrict_files(libc)
    restrict_calls(libc, bytes.fromhex(job["filter"]))


def drop_capabilities(libc: ctypes.CDLL) -> None:
    """Drop all capabilities, which only root has. Raises Refused if the kernel keeps them."""
    header = ctypes.create_string_buffer(struct.pack("<Ii", CAPABILITY_VERSION, 0), 8)
    none = ctypes.create_string_buffer(24)
    if libc.capset(header, none):
        raise Refused("the kernel kept the capabilities")


def restrict_files(libc: ctypes.CDLL) -> None:
    """Leave reading to Python's own folders, and writing to the working directory (Landlock).

    Raises Refused if the kernel has no Landlock, or does not take the rules.
    """
    version = libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if version < 1:
        raise Refused("this kernel has no Landlock (Linux 5.13 and later have it)")
    every = (1 << FILE_RIGHTS.get(version, LATEST_FILE_RIGHTS)) - 1
    attributes = struct.pack("<QQQ", every, BIND_AND_CONNECT_TCP, ABSTRACT_SOCKETS_AND_SIGNALS)
    size = 8 if version < 4 else 16 if version < 6 else 24  # TCP since 4, scopes since 6
    handled = ctypes.create_string_buffer(attributes, len(attributes))
    ruleset = libc.syscall(CREATE_RULESET, handled, ctypes.c_size_t(size), ctypes.c_uint32(0))
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


def restrict_calls(libc: ctypes.CDLL, code: bytes) -> None:
    """Install a seccomp filter. Raises Refused if the kernel does not take it."""
    buffer = ctypes.create_string_buffer(code, len(code))
    head = struct.pack("<HxxxxxxQ", len(code) // 8, ctypes.addressof(buffer))
    pointer = ctypes.create_string_buffer(head, len(head))
    if libc.prctl(PR_SET_SECCOMP, 2, pointer, 0, 0):  # 2: SECCOMP_MODE_FILTER
        raise Refused("this kernel has no seccomp filters")


if __name__ == "__main__":
    main()
