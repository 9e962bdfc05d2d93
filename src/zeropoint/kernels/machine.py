"""What this machine is and what it reaches: the peaks that every other speed is compared with."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zeropoint.kernels.dispatch import default_threads, native, variant

# What the kernels have a path for, and what they could gain from, in the spelling of /proc/cpuinfo.
FEATURES = ("avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8")


@dataclass(frozen=True)
class Machine:
    """The processor and memory that this process may use."""

    processor: str
    cores: int  # that this process may run on
    features: tuple[str, ...]  # of FEATURES, those this processor has
    instruction_set: str  # what the kernels use: avx512, avx2, baseline, or numpy without them
    memory_bytes: int | None
    available_bytes: int | None


@dataclass(frozen=True)
class Peaks:
    """What a number of threads reaches here, measured."""

    threads: int
    read_bytes_per_second: float  # a plain read of a buffer larger than any cache
    buffer_bytes: int
    flops: float  # float32 multiply-adds per second, counted as two operations each


def this_machine() -> Machine:
    """Describe this machine; what the system does not tell is None or empty."""
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
    """Return how many bytes to read for a bandwidth: 1 GiB, or a third of what is available.

    It has to be more than the last cache holds, which is some hundred MiB on a large server.
    """
    room = (machine.available_bytes or 2**32) // 3
    return min(2**30, 1 << room.bit_length() - 1)


class BandwidthProbe:
    """A buffer larger than any cache, and how fast threads read it: what memory gives."""

    def __init__(self, buffer_bytes: int = 1 << 30) -> None:
        # Written first: pages that were never written are all one page.
        self._words = np.ones(buffer_bytes // 8, np.uint64)

    @property
    def nbytes(self) -> int:
        """Bytes that one pass reads."""
        return self._words.nbytes

    def rate(self, threads: int) -> float | None:
        """Read all of it once: bytes per second; None without the compiled extension."""
        module = native()
        return None if module is None else self.nbytes / module.read_seconds(self._words, threads)


def measure_peaks(probe: BandwidthProbe, threads: int, seconds: float = 0.1) -> Peaks | None:
    """Measure both peaks; None without the compiled extension.

    The read is the best of five over a buffer that must be more than the last cache holds (see
    `best_buffer`). The multiply-adds run on registers only.
    """
    module = native()
    if module is None:
        return None
    best = max(probe.rate(threads) or 0.0 for _ in range(5))
    flops = max(module.multiply_adds_per_second(seconds, threads) for _ in range(3))
    return Peaks(threads, best, probe.nbytes, flops)


def peak_memory_bytes() -> int:
    """Return the largest resident size that this process has had (VmHWM)."""
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
    """Return the lines of a file of the system, none where there is no such file."""
    return Path(path).read_text(errors="replace").splitlines() if os.path.exists(path) else []
