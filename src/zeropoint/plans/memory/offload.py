"""Where a model that is larger than its device lives: GPU, RAM, SSD; experts leave the GPU first.

A GPU keeps caches and buffers, then the weights that every token uses, then experts as far as room
is left; what is over goes to RAM, and what RAM cannot hold is read from the SSD when it is needed.
The input embedding is looked up row by row and lives in RAM whenever anything does.

    seconds per token  =  Σ tiers  bytes read there / (its bandwidth · share)

The tiers work one after another, as layers do. Experts are chosen as if at random: which ones a
text prefers is not known, and a cache of the popular ones would be faster.
"""

import math
from dataclasses import dataclass

from zeropoint.plans.machines.device import Device
from zeropoint.plans.memory.bytes_read import StepTraffic
from zeropoint.plans.memory.memory import MemoryUse
from zeropoint.plans.speed.speed import BAND, bandwidth_share, device_kind

SSD_SHARE = 0.6  # of what an SSD states: reads are of expert size, not one long stream


@dataclass(frozen=True, kw_only=True)
class HostMachine:
    """What stands behind a GPU."""

    ram: Device
    ssd_bandwidth: float  # bytes per second, as stated


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Bytes of weights in each tier, and the speed that follows."""

    device_bytes: int  # weights, caches and buffers on the device
    ram_bytes: int
    ssd_bytes: int
    expert_layers: int  # layers whose experts leave the device
    dense_layers: int  # layers that leave it as a whole
    tokens_per_second: float
    low: float
    high: float
    experts_met: float  # distinct experts of a layer in one step
    host: str

    @property
    def basis(self) -> str:
        """Where the speed comes from."""
        return "estimated"


def place(
    memory: MemoryUse,
    traffic: StepTraffic,
    device: Device,
    host: HostMachine,
    *,
    experts_met: float = 0.0,
) -> Placement | None:
    """Return where the parts go; None if not even caches and buffers fit on the device."""
    experts = traffic.all_experts
    dense = memory.weights_bytes - experts
    room = device.usable_bytes - memory.kv_bytes - memory.compute_bytes
    if room < 0:
        return None
    dense_here = min(dense, room)
    experts_here = min(experts, room - dense_here)
    shared = device.kind != "gpu"  # its memory is the machine's: there is no RAM beside it
    over = memory.weights_bytes - dense_here - experts_here
    in_ram = 0 if shared else min(over, host.ram.usable_bytes)
    on_ssd = over - in_ram
    experts_over, dense_over = experts - experts_here, dense - dense_here
    dense_ram = min(dense_over, in_ram)  # what every token uses stays off the SSD if it can
    dense_ssd = dense_over - dense_ram
    experts_ram = in_ram - dense_ram
    seconds = _reading(traffic, device, dense_here / dense if dense else 0,
                       experts_here / experts if experts else 0)  # fmt: skip
    seconds += traffic.cache / (device.bandwidth * device_kind(device)[0])
    if in_ram:
        seconds += _reading(traffic, host.ram, dense_ram / dense if dense else 0,
                            experts_ram / experts if experts else 0)  # fmt: skip
    if on_ssd:
        share = (dense_ssd / dense if dense else 0) * sum(traffic.dense.values())
        share += (experts_over - experts_ram) / experts * sum(traffic.experts.values()) \
            if experts else 0.0  # fmt: skip
        seconds += share / (host.ssd_bandwidth * SSD_SHARE)
    seconds += traffic.layers * device_kind(device)[1]
    return Placement(
        device_bytes=memory.kv_bytes + memory.compute_bytes + dense_here + experts_here,
        ram_bytes=in_ram, ssd_bytes=on_ssd,
        expert_layers=-(-experts_over * traffic.layers // experts) if experts else 0,
        dense_layers=-(-dense_over * traffic.layers // dense) if dense else 0,
        tokens_per_second=traffic.users / seconds,
        low=traffic.users / seconds / math.sqrt(BAND),
        high=traffic.users / seconds * math.sqrt(BAND),
        experts_met=experts_met,
        host=host.ram.name,
    )  # fmt: skip


def _reading(traffic: StepTraffic, device: Device, dense: float, experts: float) -> float:
    """Return the seconds that a device reads these shares of what a step reads."""
    best = device.bandwidth * device_kind(device)[0]
    total = dense * sum(size / bandwidth_share(name) for name, size in traffic.dense.items())
    total += experts * sum(size / bandwidth_share(name) for name, size in traffic.experts.items())
    return total / best
