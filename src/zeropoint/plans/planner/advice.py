"""Options that would help when nothing fits, each with the memory that it saves, computed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from zeropoint.errors import ZeropointError
from zeropoint.plans.machines.device import GIB
from zeropoint.plans.memory.cache_losses import CACHE_LOSSES
from zeropoint.plans.memory.memory import PlanWorkload, memory_use
from zeropoint.plans.memory.offload import Placement
from zeropoint.plans.planner.model_spec import in_format
from zeropoint.plans.planner.ranking import (
    DEFAULT_FORMATS,
    PlanQuestion,
    PlanRow,
    longest_context,
)

MAX_FIXES = 4
SMALL_BATCH = 64  # tokens; proposed in place of a larger batch
MIN_SHARE = 0.1  # of what is missing, or of the cache: a fix that saves less is not proposed


@dataclass(frozen=True)
class Refusal:
    """Why the model that comes nearest to fitting does not fit, and what would help."""

    what: str
    cause: str
    fixes: tuple[str, ...]
    #: Command that shows devices on which it fits.
    next: str


def refusal(rows: Sequence[PlanRow], question: PlanQuestion) -> Refusal:
    """Explain the row that lacks least memory."""
    row = min(rows, key=lambda row: row.memory.total_bytes - row.device.usable_bytes)
    memory, device, workload = row.memory, row.device, question.workload
    each = f" for each of {workload.users} users" if workload.users > 1 else ""
    cache = workload.cache_formats.lower()
    return Refusal(
        what=(
            f"{row.model} needs {gib(memory.total_bytes)} at {workload.context} tokens{each}; "
            f"{gib(device.usable_bytes)} is usable on {device.name}"
        ),
        cause=(
            f"weights {gib(memory.weights_bytes)} ({row.spec.basis})  +  KV "
            f"{gib(memory.kv_bytes)} ({cache})  +  compute {gib(memory.compute_bytes)}"
        ),
        fixes=tuple(fixes(row, question))[:MAX_FIXES],
        next=f"zeropoint plan {_as_typed(row)} --cheapest",
    )


def _as_typed(row: PlanRow) -> str:
    """Return the arguments of `plan` for this model in this format."""
    text = row.spec.typed or row.spec.label
    if not row.changed:
        return text
    return text if text.endswith(f":{row.format}") else f"{text} --to {row.format}"


def fixes(row: PlanRow, question: PlanQuestion) -> Iterator[str]:
    """Yield options that would save memory, those with the smallest effect on quality first."""
    workload, memory = question.workload, row.memory
    missing = memory.total_bytes - row.device.usable_bytes
    yield from _smaller_cache(row, workload)
    fitting = longest_context(row.spec, row.device, workload, memory.weights_bytes)
    if 0 < fitting < workload.context:
        shorter = replace(workload, context=fitting)
        needed = memory.weights_bytes + memory_use(row.spec.shape, (), shorter).total_bytes
        yield f"--ctx {fitting} fits, and saves {gib(memory.total_bytes - needed)}"
    if workload.users > 1:
        alone = replace(workload, users=1)
        saved = memory.kv_bytes - memory_use(row.spec.shape, (), alone).kv_bytes
        yield f"--users 1 saves {gib(saved)}"
    if smaller := _smaller_format(row, question):
        yield smaller
    if row.placement and (row.placement.ram_bytes or row.placement.ssd_bytes):
        yield _offloading(row, row.placement)
    elif workload.batch > SMALL_BATCH:
        small = replace(workload, batch=SMALL_BATCH)
        saved = memory.compute_bytes - memory_use(row.spec.shape, (), small).compute_bytes
        if saved > MIN_SHARE * missing:
            yield f"--batch {SMALL_BATCH} (llama.cpp: -ub {SMALL_BATCH}) saves {gib(saved)}"


def longer_contexts(row: PlanRow, question: PlanQuestion) -> Iterator[str]:
    """Yield options that would make the longest context longer where the model fits."""
    workload, trained = question.workload, row.spec.shape.context
    if trained and row.longest >= trained:
        return
    for name, loss in CACHE_LOSSES.items():
        if name in (workload.keys, workload.values):
            return
        try:
            smaller = replace(workload, keys=name, values=name)
            longest = longest_context(row.spec, row.device, smaller, row.memory.weights_bytes)
        except ZeropointError:  # a row of the cache is not a whole number of blocks
            continue
        if longest > row.longest:
            longer = f"up to {longest} tokens instead of {row.longest}"
            yield f"--kv {name.lower()}: {longer}{loss.warning}"


def _smaller_cache(row: PlanRow, workload: PlanWorkload) -> Iterator[str]:
    now = row.memory.kv_bytes
    missing = row.memory.total_bytes - row.device.usable_bytes
    for name, loss in CACHE_LOSSES.items():
        smaller = replace(workload, keys=name, values=name)
        try:
            kv = memory_use(row.spec.shape, (), smaller).kv_bytes
        except ZeropointError:  # a row of the cache is not a whole number of blocks
            continue
        if now - kv > MIN_SHARE * max(now, missing):
            yield f"--kv {name.lower()} saves {gib(now - kv)}{loss.warning}"
            if now - kv >= missing:
                return


def _smaller_format(row: PlanRow, question: PlanQuestion) -> str | None:
    """Return the format with the most bits that fits, and the longest context with it."""
    workload = question.workload
    for name in DEFAULT_FORMATS:
        try:
            model = in_format(row.spec, name)
        except ZeropointError:
            continue
        if model.nbytes >= row.memory.weights_bytes:
            continue
        needed = model.nbytes + memory_use(row.spec.shape, (), workload).total_bytes
        if needed <= row.device.usable_bytes:
            longest = longest_context(row.spec, row.device, workload, model.nbytes)
            source = " (made from the original, not from this file)" if row.spec.quantized else ""
            return f"{name} ({gib(model.nbytes)}) fits with up to {longest} tokens{source}"
    return None


def _offloading(row: PlanRow, placement: Placement) -> str:
    """Return the speed with part of the model off the device."""
    only_experts = placement.expert_layers and not placement.dense_layers
    what = "experts" if only_experts else "weights"
    parts = []
    if placement.ram_bytes:
        parts.append(f"{gib(placement.ram_bytes)} of {what} in RAM ({placement.host})")
    if placement.ssd_bytes:
        parts.append(f"{gib(placement.ssd_bytes)} on an SSD")
    on_device = max(len(row.spec.shape.layers) - placement.dense_layers, 0)
    flag = f"--n-cpu-moe {placement.expert_layers}" if only_experts else f"-ngl {on_device}"
    flag = "" if row.device.kind != "gpu" else f" (llama.cpp: {flag})"
    return f"{' and '.join(parts)}: about {_rate(placement)} tokens/s{flag}"


def _rate(placement: Placement) -> str:
    value = placement.tokens_per_second
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def gib(count: int) -> str:
    """Format a number of bytes in GiB."""
    return f"{count / GIB:.2f} GiB" if count < GIB else f"{count / GIB:.1f} GiB"
