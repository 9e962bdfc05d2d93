"""Offloading: the parts of a model that is larger than its device, in GPU memory, RAM and SSD.

GPU memory holds the KV cache and buffers, then the weights that every token uses, then as many
experts as fit. The rest is in RAM, and what does not fit there is read from the SSD for every step.

    seconds per token  =  Σ tiers  bytes read there / (its bandwidth · share)

Tiers work one after another, as layers do. Experts are assumed to be chosen at random: which ones a
text prefers is unknown, and a cache of frequent experts would be faster.
"""

import math
from dataclasses import dataclass

from zeropoint.plans.machines.device import Device
from zeropoint.plans.memory.bytes_read import StepTraffic
from zeropoint.plans.memory.memory import MemoryUse
from zeropoint.plans.speed.speed import UNTIMED_SPEED_RATIO, bandwidth_share, device_kind

SSD_SHARE = 0.6  # of the stated bandwidth, because single experts are read, not one long stream


@dataclass(frozen=True, kw_only=True)
class HostMachine:
    """The machine around a GPU."""

    #: Its RAM as a device.
    ram: Device
    #: Read bandwidth of its SSD as stated, bytes per second.
    ssd_bandwidth: float


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Bytes of a model in each tier, and the speed that follows."""

    #: Weights, KV cache and buffers on the device.
    device_bytes: int
    #: Weights in RAM and on the SSD.
    ram_bytes: int
    ssd_bytes: int
    #: Layers whose experts are not on the device.
    expert_layers: int
    #: Layers that are not on the device at all.
    dense_layers: int
    #: Generation of all users together, with its band.
    tokens_per_second: float
    low: float
    high: float
    #: Distinct experts of a layer that one step uses.
    experts_met: float
    host: str

    @property
    def basis(self) -> str:
        """Source of the speed figures."""
        return "estimated"


def place(
    memory: MemoryUse,
    traffic: StepTraffic,
    device: Device,
    host: HostMachine,
    *,
    experts_met: float = 0.0,
) -> Placement | None:
    """Return where the parts are; None if KV cache and buffers alone do not fit on the device."""
    experts = traffic.all_experts
    dense = memory.weights_bytes - experts
    room = device.usable_bytes - memory.kv_bytes - memory.compute_bytes
    if room < 0:
        return None
    dense_on_device = min(dense, room)
    experts_on_device = min(experts, room - dense_on_device)
    shared = device.kind != "gpu"  # then the device's memory is the RAM of the machine
    over = memory.weights_bytes - dense_on_device - experts_on_device
    in_ram = 0 if shared else min(over, host.ram.usable_bytes)
    on_ssd = over - in_ram
    experts_over, dense_over = experts - experts_on_device, dense - dense_on_device
    dense_ram = min(dense_over, in_ram)  # RAM holds the weights that every token uses first
    dense_ssd = dense_over - dense_ram
    experts_ram = in_ram - dense_ram
    seconds = _reading(traffic, device, dense_on_device / dense if dense else 0,
                       experts_on_device / experts if experts else 0)  # fmt: skip
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
        device_bytes=memory.kv_bytes + memory.compute_bytes + dense_on_device + experts_on_device,
        ram_bytes=in_ram, ssd_bytes=on_ssd,
        expert_layers=-(-experts_over * traffic.layers // experts) if experts else 0,
        dense_layers=-(-dense_over * traffic.layers // dense) if dense else 0,
        tokens_per_second=traffic.users / seconds,
        low=traffic.users / seconds / math.sqrt(UNTIMED_SPEED_RATIO),
        high=traffic.users / seconds * math.sqrt(UNTIMED_SPEED_RATIO),
        experts_met=experts_met,
        host=host.ram.name,
    )  # fmt: skip


def _reading(traffic: StepTraffic, device: Device, dense: float, experts: float) -> float:
    """Return the seconds for these shares of the weights that a step reads, from one device."""
    best = device.bandwidth * device_kind(device)[0]
    total = dense * sum(size / bandwidth_share(name) for name, size in traffic.dense.items())
    total += experts * sum(size / bandwidth_share(name) for name, size in traffic.experts.items())
    return total / best
