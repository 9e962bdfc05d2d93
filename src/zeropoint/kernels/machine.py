"""Facts about this machine, and the peaks that other speeds are compared with."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zeropoint.kernels.dispatch import default_threads, native, variant

# CPU features that the kernels use or could use, in the spelling of /proc/cpuinfo.
FEATURES = ("avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8")


@dataclass(frozen=True)
class Machine:
    """The processor and memory that this process may use."""

    processor: str
    #: Processors that this process may run on.
    cores: int
    #: The members of FEATURES that this processor has.
    features: tuple[str, ...]
    #: Instruction set of the kernels: avx512, avx2, baseline, or numpy without kernels.
    instruction_set: str
    memory_bytes: int | None
    available_bytes: int | None


@dataclass(frozen=True)
class Peaks:
    """Measured peaks of a number of threads."""

    threads: int
    #: Read bandwidth of memory, with a buffer that is larger than any cache.
    read_bytes_per_second: float
    buffer_bytes: int
    #: float32 operations per second; a multiply-add counts as two.
    flops: float


def this_machine() -> Machine:
    """Return the facts about this machine; unknown ones are None or empty."""
    processor, flags = platform.processor() or platform.machine(), set[str]()
    for line in lines_of("/proc/cpuinfo"):
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            processor = value.strip()
        elif key.strip() == "flags":
            flags.update(value.split())
    memory = {key: int(rest.split()[0]) * 1024 for key, rest in memory_lines()}
    limit = [int(line) for line in lines_of("/sys/fs/cgroup/memory.max") if line.strip().isdigit()]
    total, available = memory.get("MemTotal"), memory.get("MemAvailable")
    return Machine(
        processor=processor,
        cores=default_threads(),
        features=tuple(name for name in FEATURES if name in flags),
        instruction_set=variant(),
        memory_bytes=min([total, *limit]) if total else None,
        available_bytes=min([available, *limit]) if available else None,
    )


def best_buffer(machine: Machine) -> int:
    """Return the bytes to read for a bandwidth: 1 GiB, or a third of the available memory.

    The buffer must be larger than the last cache, which has some hundred MiB on a large server.
    """
    third = (machine.available_bytes or 2**32) // 3
    return min(2**30, 1 << third.bit_length() - 1)


class BandwidthProbe:
    """A buffer larger than any cache, whose reads give the bandwidth of memory."""

    def __init__(self, buffer_bytes: int = 1 << 30) -> None:
        # Pages that were never written would all be the same page.
        self._words = np.ones(buffer_bytes // 8, np.uint64)

    @property
    def nbytes(self) -> int:
        """Bytes of one read."""
        return self._words.nbytes

    def rate(self, threads: int) -> float | None:
        """Return the bytes per second of one read; None without the compiled extension."""
        module = native()
        return None if module is None else self.nbytes / module.read_seconds(self._words, threads)


def measure_peaks(probe: BandwidthProbe, threads: int, seconds: float = 0.1) -> Peaks | None:
    """Measure both peaks, the arithmetic for `seconds`; None without the compiled extension.

    The bandwidth is the best of five reads of a buffer that must be larger than the last cache (see
    `best_buffer`). The multiply-adds use registers only.
    """
    module = native()
    if module is None:
        return None
    best = max(probe.rate(threads) or 0.0 for _ in range(5))
    flops = max(module.multiply_adds_per_second(seconds, threads) for _ in range(3))
    return Peaks(threads, best, probe.nbytes, flops)


def peak_memory_bytes() -> int:
    """Return the peak resident memory of this process (VmHWM), bytes."""
    for line in lines_of("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    import resource  # not on every system

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def memory_lines() -> list[tuple[str, str]]:
    """Return the (name, value) pairs of /proc/meminfo."""
    pairs = [line.split(":", 1) for line in lines_of("/proc/meminfo") if ":" in line]
    return [(key, rest) for key, rest in pairs if rest.split()[0].isdigit()]


def lines_of(path: str) -> list[str]:
    """Return the lines of a file of the operating system; none if it does not exist."""
    return Path(path).read_text(errors="replace").splitlines() if os.path.exists(path) else []
