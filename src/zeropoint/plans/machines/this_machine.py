"""The machine that the program runs on: measured once, then remembered in the cache directory.

What is measured: a plain read of memory, multiply-adds, and products with each format. A record
counts only for the same processor, number of threads, instruction set and version; `doctor`
measures anew.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from zeropoint._version import __version__
from zeropoint.checkpoints.files.atomic import write_file
from zeropoint.checkpoints.hub.demo_model import cache_directory
from zeropoint.kernels.machine import (
    Machine,
    Peaks,
    PlainRead,
    best_buffer,
    peaks_of,
    this_machine,
)
from zeropoint.kernels.rates import Rate, measure_rates
from zeropoint.plans.machines.machines import HERE, Device, Family, devices, families, find_device
from zeropoint.plans.speed.speed import Rates

RECORD = 2  # version of the file
READS = 8  # of memory, after all else was measured
READING, MULTIPLYING = 0.87, 0.95  # of a plain read, and of one product, that models reach


@dataclass(frozen=True)
class Here:
    """This machine and what it reaches."""

    machine: Machine
    threads: int
    read_bytes_per_second: float
    flops: float
    rates: tuple[Rate, ...]

    @property
    def device(self) -> Device:
        """Return it as a device; its memory is what it has, and a third party may use some."""
        machine = self.machine
        memory = machine.memory_bytes or 8 * 2**30
        return Device(
            id=HERE, name=f"{machine.processor}, {self.threads} threads", family=family_of(machine),
            kind="cpu", memory_bytes=memory, bandwidth=self.read_bytes_per_second,
            fp16_flops=self.flops, source="measured here", measured=True,
        )  # fmt: skip

    @property
    def costs(self) -> Rates:
        """Return what products cost here: a share of the best, and no more than memory gives.

        The matrices that were measured may have come from a large cache; a model does not.
        """
        memory = self.read_bytes_per_second
        seconds = {
            f"read:{r.format}": 1 / (READING * min(r.read_bytes_per_second, memory))
            for r in self.rates
        }
        seconds |= {
            f"multiply:{r.format}": 1 / (MULTIPLYING * r.weights_per_second) for r in self.rates
        }
        return Rates(seconds)


def family_of(machine: Machine) -> Family:
    """Return which family a processor belongs to, by what it can do."""
    known = families()
    if "amx_int8" in machine.features:
        return known["x86-amx"]
    if machine.features or "86" in machine.processor:
        return known["x86"]
    return known["arm"]


def unmeasured() -> Device:
    """Return this machine as a device of unknown bandwidth, at once."""
    machine = this_machine()
    memory = machine.memory_bytes or 8 * 2**30
    return Device(id=HERE, name=machine.processor, family=family_of(machine), kind="cpu",
                  memory_bytes=memory, bandwidth=0.0, source="this machine")  # fmt: skip


def at_once() -> Device:
    """Return this machine as it was measured, else its memory alone: nothing is measured now."""
    found = remembered()
    return found.device if found else unmeasured()


def named(name: str, this: Callable[[], Device] = at_once) -> Device:
    """Return a device by its slug; `here` is what `this` returns. Raises RecipeError."""
    return this() if name == HERE else find_device(name)


def every_device() -> list[Device]:
    """Return the devices that have names, this machine first."""
    return [at_once(), *devices().values()]


def record_path() -> Path:
    """Return where what was measured is kept."""
    return cache_directory() / "machine.json"


def identity(machine: Machine, threads: int) -> dict[str, object]:
    """Return what a record must agree with."""
    return {
        "record": RECORD, "zeropoint": __version__, "processor": machine.processor,
        "threads": threads, "instruction_set": machine.instruction_set,
    }  # fmt: skip


def remembered(threads: int | None = None) -> Here | None:
    """Return what was measured before on this machine, or None."""
    machine = this_machine()
    threads = threads or machine.cores
    try:
        found = json.loads(record_path().read_bytes())
        if {key: found.get(key) for key in identity(machine, threads)} != identity(
            machine, threads
        ):
            return None
        return Here(machine, threads, float(found["read_bytes_per_second"]), float(found["flops"]),
                    tuple(Rate(**row) for row in found["rates"]))  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def measure_here(
    threads: int | None = None, plain: PlainRead | None = None, peaks: Peaks | None = None
) -> Here | None:
    """Measure this machine, some seconds, and remember it; None without the extension.

    `plain`: a buffer that is there; `peaks`: what was measured with it already, of as many threads.
    """
    machine = this_machine()
    threads = threads or machine.cores
    plain = plain or PlainRead(best_buffer(machine))
    peaks = peaks or peaks_of(plain, threads)
    if peaks is None:
        return None
    rates = tuple(measure_rates(threads))
    # Memory is shared with whatever else runs: some seconds later, and what it mostly gives.
    reads = [peaks.read_bytes_per_second, *(plain.rate(threads) or 0.0 for _ in range(READS))]
    here = Here(machine, threads, median(reads), peaks.flops, rates)
    remember(here)
    return here


def remember(here: Here) -> None:
    """Keep what was measured; a cache that cannot be written is no reason to fail."""
    record: Mapping[str, object] = identity(here.machine, here.threads) | {
        "read_bytes_per_second": here.read_bytes_per_second, "flops": here.flops,
        "rates": [asdict(rate) for rate in here.rates],
    }  # fmt: skip
    try:
        record_path().parent.mkdir(parents=True, exist_ok=True)
        write_file(record_path(), json.dumps(record, indent=1).encode())
    except OSError:
        return
