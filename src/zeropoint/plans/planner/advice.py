"""What to turn when nothing fits: each proposal with what it saves, worked out and not guessed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from zeropoint.errors import ZeropointError
from zeropoint.plans.machines.machines import GIB
from zeropoint.plans.memory.memory import Demand, running
from zeropoint.plans.memory.offload import Placement
from zeropoint.plans.planner.model_spec import Subject, requantized
from zeropoint.plans.planner.ranking import LADDER, Question, Result, longest_context

FIXES = 4


@dataclass(frozen=True)
class Refusal:
    """Why the model nearest to fitting does not fit, and what would help."""

    what: str
    cause: str
    fixes: tuple[str, ...]
    next: str


def refusal(results: Sequence[Result], question: Question) -> Refusal:
    """Explain the result that lacks least memory."""
    result = min(results, key=lambda r: r.memory.total_bytes - r.device.usable_bytes)
    memory, device, demand = result.memory, result.device, question.demand
    each = f" for each of {demand.users} users" if demand.users > 1 else ""
    cache = demand.keys if demand.keys == demand.values else f"{demand.keys}/{demand.values}"
    return Refusal(
        what=(
            f"{result.model} needs {gib(memory.total_bytes)} at {demand.context} tokens{each}; "
            f"{gib(device.usable_bytes)} is usable on {device.name}"
        ),
        cause=(
            f"weights {gib(memory.weights_bytes)} ({result.subject.basis})  +  KV "
            f"{gib(memory.kv_bytes)} ({cache.lower()})  +  compute {gib(memory.compute_bytes)}"
        ),
        fixes=tuple(fixes(result, question))[:FIXES],
        next=f"zeropoint plan {asked(result)} --cheapest",
    )


def asked(result: Result) -> str:
    """Return what to type for this model in this format."""
    text = result.subject.asked or result.subject.label
    if not result.changed:
        return text
    return text if text.endswith(f":{result.format}") else f"{text} --to {result.format}"


def fixes(result: Result, question: Question) -> Iterator[str]:
    """Yield what would save memory, the mildest first."""
    demand, memory = question.demand, result.memory
    lacking = memory.total_bytes - result.device.usable_bytes
    yield from smaller_cache(result, demand)
    fitting = longest_context(result.subject, result.device, demand, memory.weights_bytes)
    if 0 < fitting < demand.context:
        saved = memory.total_bytes - at(result.subject, demand, memory.weights_bytes, fitting)
        yield f"--ctx {fitting} fits, and saves {gib(saved)}"
    if demand.users > 1:
        fewer = replace(demand, users=1)
        saved = memory.kv_bytes - running(result.subject.shape, (), fewer).kv_bytes
        yield f"--users 1 saves {gib(saved)}"
    best = smaller_format(result, question)
    if best:
        yield best
    if result.placement and (result.placement.ram_bytes or result.placement.ssd_bytes):
        yield split(result)
    elif demand.batch > 64:
        less = replace(demand, batch=64)
        saved = memory.compute_bytes - running(result.subject.shape, (), less).compute_bytes
        if saved > lacking / 10:
            yield f"--batch 64 (llama.cpp: -ub 64) saves {gib(saved)}"


def roomier(result: Result, question: Question) -> Iterator[str]:
    """Yield what would make the longest context longer where the model fits."""
    demand, trained = question.demand, result.subject.shape.context
    if trained and result.longest >= trained:
        return
    for name in ("Q8_0", "Q4_0"):
        if name in (demand.keys, demand.values):
            return
        try:
            longer = longest_context(result.subject, result.device,
                                     replace(demand, keys=name, values=name),
                                     result.memory.weights_bytes)  # fmt: skip
        except ZeropointError:  # rows of the cache are no whole blocks
            continue
        if longer > result.longest:
            yield f"--kv {name.lower()}: up to {longer} tokens instead of {result.longest}"


def smaller_cache(result: Result, demand: Demand) -> Iterator[str]:
    """Yield what a quantized cache saves."""
    now = result.memory.kv_bytes
    lacking = result.memory.total_bytes - result.device.usable_bytes
    for name in ("Q8_0", "Q4_0"):
        try:
            kv = running(result.subject.shape, (), replace(demand, keys=name, values=name)).kv_bytes
        except ZeropointError:  # rows of the cache are no whole blocks
            continue
        if now - kv > max(now, lacking) / 10:
            loses = "" if name == "Q8_0" else ", and costs accuracy: measure it"
            yield f"--kv {name.lower()} saves {gib(now - kv)}{loses}"
            if now - kv >= lacking:  # else a smaller one may do
                return


def at(subject: Subject, demand: Demand, weights: int, context: int) -> int:
    """Return what a model needs with another context."""
    return weights + running(subject.shape, (), replace(demand, context=context)).total_bytes


def smaller_format(result: Result, question: Question) -> str | None:
    """Say which format with the most bits fits, and with how much context."""
    demand = question.demand
    for name in LADDER:
        try:
            made = requantized(result.subject, name)
        except ZeropointError:
            continue
        if made.nbytes >= result.memory.weights_bytes:
            continue
        needed = made.nbytes + running(result.subject.shape, (), demand).total_bytes
        if needed <= result.device.usable_bytes:
            fitting = longest_context(result.subject, result.device, demand, made.nbytes)
            how = " (made from the original, not from this file)" if result.subject.quantized \
                else ""  # fmt: skip
            return f"{name} ({gib(made.nbytes)}) fits with up to {fitting} tokens{how}"
    return None


def split(result: Result) -> str:
    """Say what keeping part of the model off the device would cost."""
    placement = result.placement
    assert placement is not None
    experts = placement.expert_layers and not placement.dense_layers
    what = "experts" if experts else "weights"
    parts = []
    if placement.ram_bytes:
        parts.append(f"{gib(placement.ram_bytes)} of {what} in RAM ({placement.host})")
    if placement.ssd_bytes:
        parts.append(f"{gib(placement.ssd_bytes)} on an SSD")
    layers = len(result.subject.shape.layers)
    flag = f"--n-cpu-moe {placement.expert_layers}" if experts else \
        f"-ngl {max(layers - placement.dense_layers, 0)}"  # fmt: skip
    flag = "" if result.device.kind != "gpu" else f" (llama.cpp: {flag})"
    return f"{' and '.join(parts)}: about {rate(placement)} tokens/s{flag}"


def rate(placement: Placement) -> str:
    """Write a speed with two digits, or whole."""
    value = placement.tokens_per_second
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def gib(count: int) -> str:
    """Write bytes as GiB."""
    return f"{count / GIB:.2f} GiB" if count < GIB else f"{count / GIB:.1f} GiB"
