"""Benchmark of this machine: measured once, then read from the cache directory.

Measured are the read bandwidth of memory, float32 multiply-adds, and matrix products with each
format. A cached benchmark counts only for the same processor, number of threads, instruction set
and version of zeropoint; `zeropoint doctor` measures again.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import median

from zeropoint import cache
from zeropoint._version import __version__
from zeropoint.kernels.machine import (
    BandwidthProbe,
    Machine,
    Peaks,
    best_buffer,
    measure_peaks,
    this_machine,
)
from zeropoint.kernels.rates import KernelRate, measure_rates

RECORD_VERSION = 2
RECORD_FILE = "machine.json"
BANDWIDTH_REPETITIONS = 8  # reads of the buffer after everything else has been measured


@dataclass(frozen=True)
class MachineBenchmark:
    """Rates that a number of threads reaches on this machine."""

    machine: Machine
    threads: int
    #: Read bandwidth of memory, bytes per second.
    read_bytes_per_second: float
    #: float32 operations per second; a multiply-add counts as two.
    flops: float
    #: Matrix products, one entry per format that has a kernel.
    rates: tuple[KernelRate, ...]


def load_benchmark(threads: int | None = None) -> MachineBenchmark | None:
    """Return the cached benchmark of this machine, or None if there is no valid one.

    `threads` defaults to the number of processors that this process may use.
    """
    machine = this_machine()
    threads = threads or machine.cores
    record, identity = cache.load_record(RECORD_FILE), _identity(machine, threads)
    if not isinstance(record, dict) or {key: record.get(key) for key in identity} != identity:
        return None
    try:
        return MachineBenchmark(
            machine=machine,
            threads=threads,
            read_bytes_per_second=float(record["read_bytes_per_second"]),
            flops=float(record["flops"]),
            rates=tuple(KernelRate(**row) for row in record["rates"]),
        )
    except (ValueError, KeyError, TypeError):
        return None


def measure_machine(
    threads: int | None = None, probe: BandwidthProbe | None = None, peaks: Peaks | None = None
) -> MachineBenchmark | None:
    """Measure this machine, which takes some seconds, and cache the result.

    `probe` is a buffer that exists already, `peaks` what was measured with it for as many threads.
    Returns None without the compiled extension.
    """
    machine = this_machine()
    threads = threads or machine.cores
    probe = probe or BandwidthProbe(best_buffer(machine))
    peaks = peaks or measure_peaks(probe, threads)
    if peaks is None:
        return None
    rates = tuple(measure_rates(threads))
    # Other processes share the memory: the median over some seconds is what it usually gives.
    later = (probe.rate(threads) or 0.0 for _ in range(BANDWIDTH_REPETITIONS))
    bandwidth = median([peaks.read_bytes_per_second, *later])
    benchmark = MachineBenchmark(machine, threads, bandwidth, peaks.flops, rates)
    _save(benchmark)
    return benchmark


def _identity(machine: Machine, threads: int) -> dict[str, object]:
    """Return the fields that a cached benchmark must agree with."""
    return {
        "record": RECORD_VERSION, "zeropoint": __version__, "processor": machine.processor,
        "threads": threads, "instruction_set": machine.instruction_set,
    }  # fmt: skip


def _save(benchmark: MachineBenchmark) -> None:
    record: Mapping[str, object] = _identity(benchmark.machine, benchmark.threads) | {
        "read_bytes_per_second": benchmark.read_bytes_per_second,
        "flops": benchmark.flops,
        "rates": [asdict(rate) for rate in benchmark.rates],
    }
    cache.save_record(RECORD_FILE, record)
