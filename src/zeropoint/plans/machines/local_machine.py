"""The local machine as a device: its hardware, and its speed if it has been benchmarked.

The processor is described and benchmarked in `kernels`; here its figures become a device and the
cost of work that speed estimates start from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from zeropoint.plans.machines.catalog import shipped_families
from zeropoint.plans.machines.device import GIB, LOCAL_ID, Device, DeviceFamily

UNKNOWN_MEMORY_BYTES = 8 * GIB  # assumed if the system reports no memory size
# Shares that whole models reach: of the read bandwidth, and of a single matrix product.
BANDWIDTH_SHARE, PRODUCT_SHARE = 0.87, 0.95


class Processor(Protocol):
    """Facts about the processor of this machine (`kernels.machine.Machine`)."""

    @property
    def processor(self) -> str: ...
    @property
    def features(self) -> tuple[str, ...]: ...
    @property
    def instruction_set(self) -> str: ...
    @property
    def memory_bytes(self) -> int | None: ...


class ProductRate(Protocol):
    """Measured speed of products with one format (`kernels.rates.KernelRate`)."""

    @property
    def format(self) -> str: ...
    @property
    def read_bytes_per_second(self) -> float: ...
    @property
    def weights_per_second(self) -> float: ...


class Benchmark(Protocol):
    """Measured peaks of this machine (`kernels.benchmark_machine.MachineBenchmark`)."""

    @property
    def threads(self) -> int: ...
    @property
    def read_bytes_per_second(self) -> float: ...
    @property
    def flops(self) -> float: ...
    @property
    def rates(self) -> Sequence[ProductRate]: ...


@dataclass(frozen=True, kw_only=True)
class LocalMachine:
    """The local machine: a device, and the measured cost of single products."""

    device: Device
    #: Instruction set of the kernels; timings of another one do not count.
    instruction_set: str
    #: Threads that were measured; 0: not benchmarked.
    threads: int = 0
    #: Seconds by kind of work: "read:FORMAT" per byte, "multiply:FORMAT" per weight.
    product_seconds: Mapping[str, float] = field(default_factory=dict)
    #: Integer operations per second of the fastest product; None: not benchmarked.
    int8_ops: float | None = None

    @property
    def benchmarked(self) -> bool:
        """Whether speeds are known."""
        return self.threads > 0


def local_machine(processor: Processor, benchmark: Benchmark | None = None) -> LocalMachine:
    """Return the local machine. Without a benchmark its bandwidth is unknown (0)."""
    family = processor_family(processor)
    memory = processor.memory_bytes or UNKNOWN_MEMORY_BYTES
    if benchmark is None:
        device = Device(id=LOCAL_ID, name=processor.processor, family=family, kind="cpu",
                        memory_bytes=memory, bandwidth=0.0, source="this machine")  # fmt: skip
        return LocalMachine(device=device, instruction_set=processor.instruction_set)
    device = Device(
        id=LOCAL_ID, name=f"{processor.processor}, {benchmark.threads} threads", family=family,
        kind="cpu", memory_bytes=memory, bandwidth=benchmark.read_bytes_per_second,
        fp16_flops=benchmark.flops, source="measured here", measured=True,
    )  # fmt: skip
    return LocalMachine(
        device=device,
        instruction_set=processor.instruction_set,
        threads=benchmark.threads,
        product_seconds=product_seconds(benchmark),
        int8_ops=2 * max((rate.weights_per_second for rate in benchmark.rates), default=0) or None,
    )


def product_seconds(benchmark: Benchmark) -> dict[str, float]:
    """Return the seconds per byte read and per weight multiplied, by format.

    Whole models reach a share of what single products do. They read no faster than memory allows:
    the matrices of the benchmark may have come from a large cache.
    """
    memory = benchmark.read_bytes_per_second
    seconds = {
        f"read:{rate.format}": 1 / (BANDWIDTH_SHARE * min(rate.read_bytes_per_second, memory))
        for rate in benchmark.rates
    }
    return seconds | {
        f"multiply:{rate.format}": 1 / (PRODUCT_SHARE * rate.weights_per_second)
        for rate in benchmark.rates
    }


def processor_family(processor: Processor) -> DeviceFamily:
    """Return the family that a processor belongs to, by its features."""
    families = shipped_families()
    if "amx_int8" in processor.features:
        return families["x86-amx"]
    if processor.features or "86" in processor.processor:
        return families["x86"]
    return families["arm"]
