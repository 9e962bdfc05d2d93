"""Runs one piece of Python code that a model wrote, and its tests, with few rights.

Run as a script with one JSON object on stdin: {"solution", "tests", "filter", "megabytes",
"seconds", "file_megabytes", "nonce"}. Writes {"nonce", "passed"} to stdout, {"error"}, or {"nonce",
"refused"} if this machine cannot sandbox the code. Before the code runs, the process gives up these
rights, in this order:

    limits        processor seconds, address space, size of a file, open files, core dumps
    capabilities  all of them, so that root is an ordinary owner of files
    Landlock      writing anywhere but in the working directory; reading anything but Python and
                  /usr; TCP, and signals and abstract sockets to other processes, where the kernel
                  can restrict them
    seccomp       every system call that `filter.py` does not list

This file imports nothing of zeropoint, because that would take longer than running the code. The
parent therefore sends the filter, in hexadecimal.
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


class SandboxUnavailable(Exception):
    """The kernel of this machine cannot restrict the process."""


def main() -> None:
    """Read the job, restrict the process, run the code and its tests, and answer.

    Everything that the answer needs is saved before the code runs, so that code which changes
    builtins or modules does not affect it. The code shares its process with the tests, however, and
    can deceive them deliberately, for example by an `__eq__` that is always true.
    """
    job = json.load(sys.stdin)
    answer = os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    os.close(null)
    try:
        restrict(job)
    except (SandboxUnavailable, OSError, ValueError) as error:
        os.write(answer, json.dumps({"nonce": job["nonce"], "refused": str(error)}).encode())
        return
    message = json.dumps({"nonce": job.pop("nonce"), "passed": True}).encode()
    write, leave, dumps, describe = os.write, os._exit, json.dumps, describe_error
    module, names = make_module(), builtins.__dict__
    original = names.copy()
    try:
        tests = compile(job["tests"], "tests.py", "exec")
        exec(compile(job["solution"], "solution.py", "exec"), module)
        names.update(original)
        run_tests(tests, module)
    except BaseException as error:  # noqa: BLE001 (the code's own, exits too; nothing may escape)
        names.update(original)
        message = dumps({"error": describe(error)}).encode()
    write(answer, message)
    leave(0)  # without waiting for threads or exit handlers of the code


def make_module() -> dict[str, object]:
    """Return the namespace of a new module, which the code also sees as `__main__`."""
    module = types.ModuleType("solution")
    sys.modules["solution"] = sys.modules["__main__"] = module
    return module.__dict__


def run_tests(tests: types.CodeType, module: dict[str, object]) -> None:
    """Run the tests. The tests may exit without an error (`unittest.main()`); the code may not."""
    try:
        exec(tests, module)
    except SystemExit as end:
        frame = end.__traceback__
        while frame is not None:
            if end.code or frame.tb_frame.f_code.co_filename == "solution.py":
                raise
            frame = frame.tb_next


def describe_error(error: BaseException) -> str:
    """Return an error as text, even if its own `__str__` fails."""
    try:
        text = str(error).split("\n")[0][:200]
    except BaseException:  # noqa: BLE001
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def restrict(job: dict[str, Any]) -> None:
    """Give up all rights. Raises SandboxUnavailable if the kernel cannot take one away."""
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
        raise SandboxUnavailable("no_new_privs failed")
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)  # a crash starts no collector of core dumps
    drop_capabilities(libc)
    restrict_files(libc)
    restrict_calls(libc, bytes.fromhex(job["filter"]))


def drop_capabilities(libc: ctypes.CDLL) -> None:
    """Drop all capabilities, which only root has.

    Raises SandboxUnavailable if the kernel keeps them.
    """
    header = ctypes.create_string_buffer(struct.pack("<Ii", CAPABILITY_VERSION, 0), 8)
    none = ctypes.create_string_buffer(24)
    if libc.capset(header, none):
        raise SandboxUnavailable("the kernel does not drop the capabilities")


def restrict_files(libc: ctypes.CDLL) -> None:
    """Allow reading only Python's own folders, and writing only the working directory (Landlock).

    Raises SandboxUnavailable if the kernel has no Landlock, or rejects the rules.
    """
    version = libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if version < 1:
        raise SandboxUnavailable("this kernel has no Landlock (Linux 5.13 and later have it)")
    every = (1 << FILE_RIGHTS.get(version, LATEST_FILE_RIGHTS)) - 1
    attributes = struct.pack("<QQQ", every, BIND_AND_CONNECT_TCP, ABSTRACT_SOCKETS_AND_SIGNALS)
    size = 8 if version < 4 else 16 if version < 6 else 24  # TCP since 4, scopes since 6
    handled = ctypes.create_string_buffer(attributes, len(attributes))
    ruleset = libc.syscall(CREATE_RULESET, handled, ctypes.c_size_t(size), ctypes.c_uint32(0))
    if ruleset < 0:
        raise SandboxUnavailable("Landlock rejected the ruleset")
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
    allowed = [(path, reading) for path in (*folders, "/etc/ld.so.cache", "/etc/localtime")]
    allowed += [(path, READ_FILE | WRITE_FILE) for path in devices]
    for path, rights in [*allowed, (os.getcwd(), every)]:
        allow(libc, ruleset, path, rights)
    if libc.syscall(RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0)):
        raise SandboxUnavailable("Landlock could not be enabled")
    os.close(ruleset)


def allow(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    """Allow `rights` below a path, if it exists."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    if not os.path.isdir(path):
        rights &= EXECUTE | WRITE_FILE | READ_FILE
    rule = ctypes.create_string_buffer(struct.pack("<Qi", rights, descriptor), 12)
    failed = libc.syscall(
        ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(1), rule, ctypes.c_uint32(0)
    )
    os.close(descriptor)
    if failed:
        raise SandboxUnavailable(f"Landlock rejected a rule for {path}")


def restrict_calls(libc: ctypes.CDLL, code: bytes) -> None:
    """Install a seccomp filter. Raises SandboxUnavailable if the kernel rejects it."""
    buffer = ctypes.create_string_buffer(code, len(code))
    head = struct.pack("<HxxxxxxQ", len(code) // 8, ctypes.addressof(buffer))
    pointer = ctypes.create_string_buffer(head, len(head))
    if libc.prctl(PR_SET_SECCOMP, 2, pointer, 0, 0):  # 2: SECCOMP_MODE_FILTER
        raise SandboxUnavailable("this kernel has no seccomp filters")


if __name__ == "__main__":
    main()
