"""The seccomp filter of both architectures, evaluated by an interpreter for every system call."""

import re
from pathlib import Path

import pytest

from support.sandbox.system_calls import PERMITTED, evaluate, system_calls, variations
from zeropoint.metrics.tasks.sandbox.filter import (
    ABSENT,
    ALLOW,
    AUDIT_NUMBERS,
    KILL_PROCESS,
    REFUSE,
    RULES,
    Instruction,
    allowed_numbers,
    assemble_filter,
    pack_filter,
)

NUMBERS = range(1024)
HEADERS = {
    "x86_64": "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
    "aarch64": "/usr/include/asm-generic/unistd.h",
}

# No system call of these kinds may ever be allowed, whatever its arguments.
HARMFUL = {
    "other processes": "kill tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_send_signal "
    "ptrace process_vm_readv process_vm_writev process_madvise process_mrelease kcmp pidfd_open "
    "pidfd_getfd setpriority sched_setaffinity sched_setscheduler sched_setparam sched_setattr "
    "ioprio_set migrate_pages move_pages setpgid setsid setrlimit get_robust_list membarrier",
    "new processes": "fork vfork clone3 execve execveat uselib wait4 waitid",
    "communication": "shmget shmat shmctl shmdt semget semop semctl semtimedop msgget msgsnd "
    "msgrcv msgctl mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr socket "
    "connect bind listen accept accept4 sendmsg recvmsg sendmmsg recvmmsg setsockopt getsockopt",
    "watching": "inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_init "
    "fanotify_mark perf_event_open lookup_dcookie syslog mincore cachestat",
    "time": "clock_settime settimeofday adjtimex clock_adjtime timer_create timerfd_create",
    "privileges": "setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups "
    "capset personality keyctl add_key request_key seccomp landlock_restrict_self unshare setns",
    "the machine": "mount umount2 pivot_root chroot swapon swapoff reboot sethostname "
    "setdomainname init_module finit_module delete_module kexec_load kexec_file_load iopl ioperm "
    "acct quotactl vhangup sync syncfs mlock mlockall bpf userfaultfd io_uring_setup io_setup "
    "mount_setattr open_tree move_mount fsopen fsconfig fsmount fspick",
    "files": "chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes utimensat "
    "futimesat truncate fallocate mknod mknodat flock setxattr lsetxattr fsetxattr removexattr "
    "open_by_handle_at name_to_handle_at memfd_create memfd_secret openat2 renameat2 splice tee "
    "vmsplice file_setattr",
}

machines = pytest.mark.parametrize("machine", list(AUDIT_NUMBERS))


@machines
def test_a_call_that_is_not_listed_is_refused_whatever_its_arguments(machine: str) -> None:
    program, audit_number = assemble_filter(machine), AUDIT_NUMBERS[machine]
    allowed = set(allowed_numbers(machine).values())
    counted = 0
    for number in set(NUMBERS) - allowed:
        expected = ABSENT if number >= 424 else REFUSE
        for arguments in ((0,) * 6, (2**64 - 1,) * 6, (15, 1, 1, 0, 0, 0)):
            assert evaluate(program, number, audit_number, arguments) == expected, number
        counted += 1
    assert counted == len(NUMBERS) - len(allowed)


@machines
def test_a_listed_call_without_a_rule_is_allowed(machine: str) -> None:
    program, audit_number = assemble_filter(machine), AUDIT_NUMBERS[machine]
    for name, number in allowed_numbers(machine).items():
        if name not in RULES:
            for arguments in ((0,) * 6, (2**64 - 1,) * 6):
                assert evaluate(program, number, audit_number, arguments) == ALLOW, name


@machines
def test_a_call_with_a_rule_is_allowed_for_harmless_arguments_only(machine: str) -> None:
    program, audit_number = assemble_filter(machine), AUDIT_NUMBERS[machine]
    assert set(PERMITTED) == set(RULES)
    for name, number in allowed_numbers(machine).items():
        permitted, base = PERMITTED.get(name, (None, ()))
        if permitted is None:
            continue
        verdicts = set()
        for arguments in variations(base):
            expected = ALLOW if permitted(arguments) else REFUSE
            assert evaluate(program, number, audit_number, arguments) == expected, (name, arguments)
            verdicts.add(expected)
        assert verdicts == {ALLOW, REFUSE}


@machines
def test_calls_of_another_architecture_or_of_the_x32_interface_are_not_answered(
    machine: str,
) -> None:
    program, own = assemble_filter(machine), AUDIT_NUMBERS[machine]
    foreign = {0, 0x40000003, 0x40000028, *AUDIT_NUMBERS.values()} - {own}  # i386 and 32-bit ARM
    for number in NUMBERS:
        for audit_number in foreign:
            assert evaluate(program, number, audit_number) == KILL_PROCESS
        assert evaluate(program, number | 0x40000000, own) == REFUSE
        assert evaluate(program, number | 0x80000000, own) == REFUSE
    assert evaluate(program, -1, own) == REFUSE


@machines
def test_the_kernel_would_accept_the_program(machine: str) -> None:
    """Jumps stay inside, the last instruction returns, and arguments are read as whole words."""
    program = assemble_filter(machine)
    assert len(program) <= 4096 and program[-1].code == 0x06
    for position, (code, if_true, if_false, operand) in enumerate(program):
        assert code in (0x20, 0x15, 0x35, 0x54, 0x06)
        assert position + 1 + max(if_true, if_false) < len(program) or code == 0x06
        assert code != 0x20 or (operand % 4 == 0 and operand < 64)
    assert len(pack_filter(program)) == 8 * len(program)


@machines
def test_no_harmful_call_is_listed(machine: str) -> None:
    harmful = {name for names in HARMFUL.values() for name in names.split()}
    assert harmful <= set(system_calls("x86_64")), "a name that no architecture has"
    assert harmful & set(allowed_numbers(machine)) == set()


@machines
def test_listed_calls_have_the_numbers_of_their_architecture(machine: str) -> None:
    known = system_calls(machine)
    listed = allowed_numbers(machine)
    assert {name: known.get(name) for name in listed} == listed
    assert len(set(listed.values())) == len(listed)
    header = Path(HEADERS[machine])
    if header.exists():
        lines = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text())
        numbers = {name: int(number) for name, number in lines}
        numbers.setdefault("newfstatat", numbers.get("fstatat", -1))
        assert {name: numbers.get(name) for name in listed} == listed


def test_what_the_interpreter_knows_of_other_programs() -> None:
    """The interpreter itself: a wrong jump, a branch not taken, the high half of an argument."""
    high = [Instruction(0x20, 0, 0, 20), Instruction(0x35, 0, 1, 7), Instruction(0x06, 0, 0, 1)]
    program = [*high, Instruction(0x06, 0, 0, 2)]
    assert evaluate(program, 0, 0, (7 << 32,)) == 1
    assert evaluate(program, 0, 0, (6 << 32 | 0xFFFFFFFF,)) == 2
    with pytest.raises(IndexError):
        evaluate(high, 0, 0)
    with pytest.raises(KeyError):
        evaluate([Instruction(0x05, 0, 0, 0)], 0, 0)
