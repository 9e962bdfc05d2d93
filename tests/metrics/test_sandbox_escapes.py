"""Code that tries to reach beyond its sandbox: it is refused, and nothing outside changes.

An attempt passes if it is refused with EPERM, EACCES or ENOSYS. Any other error means that the
attempt itself is wrong, and fails the test as a success of the attempt does.
"""

import ctypes
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.sandbox.jobs import as_each_user, run_jobs
from zeropoint.errors import MeasurementError
from zeropoint.metrics.tasks.sandbox.filter import assemble_filter, pack_filter
from zeropoint.metrics.tasks.sandbox.parent import Limits, run_python

pytestmark = pytest.mark.usefixtures("sandbox")
LIMITS = Limits(seconds=2, megabytes=512, folder_megabytes=4)

PRELUDE = """
import ctypes, errno, fcntl, mmap, os, signal, socket, struct, sys, termios
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p

def call(function, *arguments):
    value = getattr(libc, function)(*arguments)
    if value in (-1, None, 2**64 - 1):
        raise OSError(ctypes.get_errno(), function)
    return value

def attempt(code):
    try:
        exec(code, globals())
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES, errno.ENOSYS):
            return None
        return f"failed with {error}"
    except BaseException as error:
        return f"failed with {type(error).__name__}: {error}"
    return "succeeded"
"""


@dataclass(frozen=True)
class Outside:
    """Targets that code of a model could damage: a process, a folder, and System V objects."""

    victim: int
    folder: Path
    memory: int
    semaphores: int
    queue: int


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    """Things that must not change, and a check at the end that they did not."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.shmat.restype = ctypes.c_void_p
    made = (libc.shmget(0, 4096, 0o1666), libc.semget(0, 1, 0o1666), libc.msgget(0, 0o1666))
    assert min(made) >= 0
    memory, semaphores, queue = made
    address = libc.shmat(memory, None, 0)
    ctypes.memmove(address, b"SECRET", 6)
    message = ctypes.create_string_buffer(b"\1" + 7 * b"\0" + b"letter", 14)
    assert libc.msgsnd(queue, message, 6, 0) == 0
    folder = tmp_path_factory.mktemp("outside")
    (folder / "kept.txt").write_text("kept")
    victim = subprocess.Popen(["sleep", "600"])
    try:
        yield Outside(victim.pid, folder, memory, semaphores, queue)
        assert victim.poll() is None, "the process outside was ended"
        assert ctypes.string_at(address, 6) == b"SECRET"
        assert libc.semctl(semaphores, 0, 12) == 0  # GETVAL
        assert libc.msgrcv(queue, message, 6, 0, 0o4000) == 6  # IPC_NOWAIT
        assert message.raw[8:] == b"letter"
        assert [path.name for path in folder.iterdir()] == ["kept.txt"]
        assert (folder / "kept.txt").read_text() == "kept"
    finally:
        victim.kill()
        victim.wait()
        libc.shmdt(ctypes.c_void_p(address))
        for remove, number in ((libc.shmctl, memory), (libc.msgctl, queue)):
            remove(number, 0, None)  # IPC_RMID
        libc.semctl(semaphores, 0, 0)


# {victim}, {folder}, {memory}, {semaphores} and {queue} stand for what is outside. SIGKILL and the
# like are spelled as numbers where ctypes is called.
ATTEMPTS = {
    "signals through file descriptors": [
        "fcntl.fcntl(os.pipe()[0], fcntl.F_SETOWN, {victim})",
        "fcntl.fcntl(os.pipe()[0], fcntl.F_SETOWN, os.getppid())",
        "fcntl.fcntl(os.pipe()[0], 10, 9)",  # F_SETSIG
        "fcntl.fcntl(os.pipe()[0], 15, struct.pack('ii', 1, {victim}))",  # F_SETOWN_EX
        "fcntl.fcntl(os.pipe()[0], fcntl.F_SETFL, os.O_ASYNC)",
        "fcntl.ioctl(os.pipe()[0], 0x5452, struct.pack('i', 1))",  # FIOASYNC
        "fcntl.ioctl(socket.socketpair()[0], 0x8901, struct.pack('i', {victim}))",  # FIOSETOWN
        "fcntl.ioctl(socket.socketpair()[0], 0x8902, struct.pack('i', {victim}))",  # SIOCSPGRP
        "fcntl.fcntl(os.open('.', 0), fcntl.F_NOTIFY, 1)",
        "fcntl.fcntl(os.open('.', 0), 1024, 0)",  # F_SETLEASE
    ],
    "signals": [
        "os.kill({victim}, 9)",
        "os.kill(-1, 9)",
        "os.kill(0, 9)",
        "os.killpg(os.getppid(), 9)",
        "call('tgkill', {victim}, {victim}, 9)",
        "call('syscall', 200, {victim}, 9)",  # tkill
        "call('sigqueue', {victim}, 9, 0)",
        "os.pidfd_open({victim})",
        "signal.pidfd_send_signal(0, 9)",
        "call('prctl', 1, 9, 0, 0, 0)",  # PR_SET_PDEATHSIG
        "event = struct.pack('Qii40x', 0, 9, 4)[:16] + struct.pack('i44x', {victim})\n"
        "call('syscall', 222, 0, event, ctypes.create_string_buffer(8))",  # timer_create
    ],
    "System V and POSIX communication": [
        "call('shmat', {memory}, None, 0)",
        "call('shmctl', {memory}, 0, None)",
        "call('shmget', 1, 4096, 0o1666)",
        "call('semctl', {semaphores}, 0, 16, 1)",
        "call('semctl', {semaphores}, 0, 0)",
        "call('semop', {semaphores}, struct.pack('Hhh', 0, 1, 0), 1)",
        "call('msgrcv', {queue}, ctypes.create_string_buffer(64), 6, 0, 0o4000)",
        "call('msgsnd', {queue}, b'\\1' + 13 * b'\\0', 6, 0o4000)",
        "call('msgctl', {queue}, 0, None)",
        "call('syscall', 240, b'zeropoint', os.O_CREAT | os.O_RDWR, 0o600, None)",  # mq_open
        "open('/dev/shm/zeropoint-test', 'w')",
        "os.listdir('/dev/shm')",
        "os.mkfifo('fifo')",
        "os.memfd_create('memory')",
        "socket.socket(socket.AF_UNIX)",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
        "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        "socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)",
        "socket.socketpair()[0].sendto(b'x', '/nothing')",
        "socket.socketpair()[0].sendmsg([b'x'])",
        "socket.socketpair()[0].send(b'x', socket.MSG_OOB)",
    ],
    "watching and locking": [
        "call('inotify_init')",
        "call('inotify_init1', 0)",
        "call('fanotify_init', 0, 0)",
        "fcntl.flock(os.open('/usr', 0), fcntl.LOCK_EX)",
        "fcntl.lockf(os.open('/usr/bin/env', 0), fcntl.LOCK_SH)",
        "fcntl.fcntl(os.open('/usr/bin/env', 0), 37, bytes(32))",  # F_OFD_SETLK
        "call('syscall', 298, bytes(128), 0, -1, -1, 0)",  # perf_event_open
        "call('mincore', ctypes.c_void_p(mmap.PAGESIZE), mmap.PAGESIZE, bytes(8))",
        "call('klogctl', 3, ctypes.create_string_buffer(64), 64)",
    ],
    "other processes": [
        "os.sched_setaffinity({victim}, [0])",
        "os.sched_setaffinity(0, [0])",
        "os.sched_getaffinity({victim})",
        "os.setpriority(os.PRIO_PROCESS, {victim}, 19)",
        "os.setpriority(os.PRIO_USER, os.getuid(), 19)",
        "os.sched_setscheduler({victim}, os.SCHED_IDLE, os.sched_param(0))",
        "call('syscall', 251, 1, {victim}, 0x6000)",  # ioprio_set
        "call('syscall', 448, 0, 0)",  # process_mrelease
        "call('syscall', 312, {victim}, os.getpid(), 0, 0, 0)",  # kcmp
        "call('syscall', 324, 1, 0, 0)",  # membarrier, on all processors
        "call('syscall', 256, {victim}, 8, bytes(8), bytes(8))",  # migrate_pages
        "call('ptrace', 16, {victim}, None, None)",  # PTRACE_ATTACH
        "call('process_vm_readv', {victim}, bytes(16), 1, bytes(16), 1, 0)",
        "os.setpgid(0, os.getppid())",
        "os.setsid()",
        "__import__('resource').prlimit({victim}, __import__('resource').RLIMIT_CPU)",
        "os.fork()",
        "call('vfork')",
        "call('syscall', 56, 0x11, 0, 0, 0, 0)",  # clone of a process
        "call('syscall', 56, 0x403d0f00, 0, 0, 0, 0)",  # clone into a new network
        "os.execv('/bin/true', ['true'])",
        "os.system('true') == 0 or call('fork')",
    ],
    "files of processes and devices": [
        "open('/proc/self/mem', 'r+b')",
        "open('/proc/self/maps')",
        "open('/proc/self/oom_score_adj', 'w')",
        "os.listdir('/proc/self/fd')",
        "os.listdir('/proc')",
        "open('/proc/{victim}/mem', 'r+b')",
        "open('/proc/{victim}/environ')",
        "open(f'/proc/{{os.getppid()}}/cmdline')",
        "os.readlink('/proc/{victim}/cwd')",
        "os.listdir('/proc/{victim}/root')",
        "os.stat('/proc/{victim}/cwd/.')",
        "open('/proc/sys/kernel/hostname', 'w')",
        "os.listdir('/sys')",
        "open('/dev/full')",
        "open('/dev/ptmx')",
        "fcntl.ioctl(0, termios.TIOCSTI, b'x')",
    ],
    "files outside": [
        "open('{folder}/kept.txt')",
        "os.open('{folder}/kept.txt', 3)",  # the access mode that needs no right
        "os.open('{folder}/kept.txt', 3 | os.O_TRUNC)",
        "os.open('/usr/bin/env', os.O_RDONLY | os.O_TRUNC)",
        "call('syscall', 437, -100, b'/etc/passwd', bytes(24), 24)",  # openat2
        "os.truncate('{folder}/kept.txt', 0)",
        "os.open('kept.txt', os.O_RDONLY, dir_fd=os.open('{folder}', os.O_PATH))",
        "os.chdir('{folder}') or open('kept.txt', 'w')",
        "os.listdir('{folder}')",
        "os.chmod('{folder}/kept.txt', 0)",
        "os.chown('{folder}/kept.txt', 0, 0)",
        "os.utime('{folder}/kept.txt')",
        "os.setxattr('{folder}/kept.txt', 'user.x', b'x')",
        "os.mknod('node')",
        "os.chroot('.')",
        "call('mount', b'none', b'.', b'tmpfs', 0, None)",
        "call('syscall', 161, b'/')",
        "os.posix_fallocate(os.open('big', os.O_RDWR | os.O_CREAT), 0, 1 << 20)",
        "call('fallocate', os.open('big', os.O_RDWR | os.O_CREAT), 1, 0, ctypes.c_long(1 << 40))",
    ],
    "rights and the machine": [
        "os.setuid(0)",
        "os.setgroups([])",
        "call('setresuid', 0, 0, 0)",
        "call('unshare', 0x10000000)",  # CLONE_NEWUSER
        "call('setns', 0, 0)",
        "call('personality', 0)",
        "call('capset', struct.pack('Ii', 0x20080522, 0), bytes(24))",
        "call('syscall', 250, 0, -3, 1)",  # keyctl
        "call('syscall', 317, 0, 0, None)",  # seccomp
        "call('prctl', 22, 1, 0, 0, 0)",  # PR_SET_SECCOMP
        "call('prctl', 4, 1, 0, 0, 0)",  # PR_SET_DUMPABLE
        "__import__('time').clock_settime(0, 0)",
        "call('adjtimex', bytes(512))",
        "call('vhangup')",
        "call('sethostname', b'x', 1)",
        "call('mlockall', 1)",
        "call('syscall', 28, 0, 0, 100)",  # madvise, MADV_HWPOISON
        "call('syscall', 321, 0, bytes(64), 64)",  # bpf
        "call('syscall', 323, 0)",  # userfaultfd
        "call('syscall', 425, 8, bytes(128))",  # io_uring_setup
        "call('syscall', 293, bytearray(8) and ctypes.create_string_buffer(8), 0o200)",  # O_EXCL
        "call('setrlimit', 0, struct.pack('QQ', 1, 99))",
        "call('syscall', 162)",  # sync
    ],
}
X86_64_NUMBERS = "call('syscall'"  # attempts with numbers of x86-64 are left out elsewhere


@pytest.mark.parametrize("kind", list(ATTEMPTS))
@as_each_user
def test_every_attempt_to_reach_outside_is_refused(
    ordinary: bool, kind: str, outside: Outside
) -> None:
    names = {**vars(outside), "folder": str(outside.folder)}
    attempts = [
        code.format(**names)
        for code in ATTEMPTS[kind]
        if os.uname().machine == "x86_64" or X86_64_NUMBERS not in code
    ]
    code = f"{PRELUDE}\nfound = [(code, attempt(code)) for code in {attempts!r}]"
    tests = "assert not [pair for pair in found if pair[1]], [pair for pair in found if pair[1]]"
    program = pack_filter(assemble_filter(os.uname().machine))
    (outcome,) = run_jobs([{"code": f"{code}\n{tests}"}], ordinary=ordinary, program=program)
    assert outcome == {"error": None}


def test_an_attempt_is_refused_by_the_product_too(outside: Outside) -> None:
    """`run_python` sends the same filter to the same child."""
    for kind in ("signals through file descriptors", "files of processes and devices"):
        names = {**vars(outside), "folder": str(outside.folder)}
        attempts = [code.format(**names) for code in ATTEMPTS[kind]]
        code = f"{PRELUDE}\nfound = [(code, attempt(code)) for code in {attempts!r}]"
        done = run_python(code, "assert not [pair for pair in found if pair[1]], found", LIMITS)
        assert done.passed, done.reason


def test_only_four_descriptors_are_inherited_and_three_of_them_lead_nowhere() -> None:
    """Also if the process that runs the code has descriptors that children inherit."""
    with tempfile.TemporaryFile() as secret:
        os.set_inheritable(secret.fileno(), True)
        secret.write(b"secret")
        code = (
            "import os\nfound = {}\n"
            "for descriptor in range(64):\n"
            "    try: found[descriptor] = os.fstat(descriptor)\n"
            "    except OSError: pass\n"
            "null = os.stat('/dev/null').st_rdev\n"
            "try: again = os.open(f'/proc/self/fd/{max(found)}', os.O_RDWR)\n"
            "except PermissionError: again = None"
        )
        tests = (
            "assert len(found) == 4, found\n"
            "assert all(found[stream].st_rdev == null for stream in (0, 1, 2)), found\n"
            "assert found[max(found)].st_size == 0 and again is None"
        )
        done = run_python(code, tests, LIMITS)
    assert done.passed, done.reason


def test_a_flood_of_threads_is_ended() -> None:
    code = (
        "import threading, time\nthreading.stack_size(32768)\n"
        "while True: threading.Thread(target=time.sleep, args=(60,)).start()"
    )
    done = run_python(code, "", Limits(seconds=2, megabytes=4096))
    assert not done.passed and "threads" in done.reason


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_another_architecture_is_refused_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(MeasurementError, match="no list of system calls for riscv64"):
        run_python("", "")
