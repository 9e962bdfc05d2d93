"""A plan in words: lines that describe devices and models, notes, and formatted figures."""

from collections.abc import Iterator, Sequence

from zeropoint.plans.machines.device import GIB, Device
from zeropoint.plans.memory.bytes_read import distinct_experts
from zeropoint.plans.memory.offload import Placement
from zeropoint.plans.planner.model_spec import DESCRIBED, TYPICAL, ModelSpec
from zeropoint.plans.planner.ranking import (
    PROMPT_TOKENS,
    RULE_OF_THUMB,
    PlanQuestion,
    PlanRow,
)
from zeropoint.plans.speed.speed import SpeedEstimate

NARROW_BAND = 1.12  # highest speed divided by lowest, below which a single figure is shown


def quality(row: PlanRow) -> str:
    """Return the measured quality: against other models if known, else against the reference."""
    measured = row.score or row.loss
    return measured.label if measured else ""


def device_line(device: Device) -> str:
    """Describe a device in one line."""
    speed = f", {device.bandwidth / 1e9:.4g} GB/s" if device.bandwidth else ""
    basis = " measured" if device.measured else ""
    usable = gib(device.usable_bytes)
    return f"{device.name}: {usable} GiB usable ({device.margin}){speed}{basis}"


def model_line(spec: ModelSpec, users: int) -> str:
    """Return a one-line description of a model and of its known properties."""
    shape = spec.shape
    cached = [layer for layer in shape.layers if layer.keys or layer.values]
    parts = [f"{count(spec.weights)} weights", f"{len(shape.layers)} layers"]
    if len(cached) < len(shape.layers):
        parts.append(f"{len(cached)} with a KV cache")
    windows = {layer.window for layer in cached if layer.window}
    if windows:
        parts.append(f"sliding windows of {', '.join(map(str, sorted(windows)))} tokens")
    if shape.experts:
        parts.append(f"{shape.experts} experts, {shape.experts_used} used per token")
        if users > 1:
            read = distinct_experts(shape.experts, shape.experts_used, users)
            parts.append(f"{read:.0f} read for {users} users")
    if shape.context:
        parts.append(f"trained for {tokens(shape.context)} tokens")
    source = f"; from {spec.origin}" if spec.basis == DESCRIBED else ""
    name = shape.name if spec.basis == TYPICAL else spec.label
    return f"{name}: {', '.join(parts)}{source}"


def plan_notes(
    question: PlanQuestion, models: Sequence[ModelSpec], rows: Sequence[PlanRow]
) -> list[str]:
    """Return notes on the figures of a plan, one sentence each."""
    return [*_model_notes(question, models), *_row_notes(question, rows)]


def _model_notes(question: PlanQuestion, models: Sequence[ModelSpec]) -> Iterator[str]:
    if any(spec.basis == TYPICAL for spec in models):
        yield (
            "A typical shape is a guess: the KV caches of models of one size differ by a factor of"
            " up to 7."
        )
    context = question.workload.context
    short = [spec.label for spec in models if spec.shape.context and spec.shape.context < context]
    if short:
        yield f"Not trained for a context this long: {', '.join(short)}."
    if any(spec.shape.windowed for spec in models) and not question.workload.full_windows:
        yield (
            "Layers with a sliding window cache only the positions in it; llama.cpp's --swa-full"
            " caches all."
        )
    unscored = any(question.earlier.score(spec, None) is None for spec in models)
    if len(models) > 1 and question.objective == "loss" and unscored:
        yield RULE_OF_THUMB[0].upper() + RULE_OF_THUMB[1:] + "."


def _row_notes(question: PlanQuestion, rows: Sequence[PlanRow]) -> Iterator[str]:
    if any(row.prompt for row in rows):
        workload = question.workload
        each = f", of all {workload.users} users together" if workload.users > 1 else ""
        past = min(question.past, workload.context)
        yield (
            f"Speeds: prompt processing of {PROMPT_TOKENS} tokens; generation after {past}"
            f" tokens{each}."
        )
    scores = [row.score for row in rows if row.score]
    if scores:
        yield (
            f"Models are ranked by {scores[0].kind} on the same text or tasks ({scores[0].run});"
            " models that share a letter do not differ significantly."
        )
    if any(row.loss for row in rows if not row.score):
        yield "KL is in nats per token, against each model's own reference."
    again = [row.spec.label for row in rows if row.changed and row.spec.quantized]
    if again:
        yield (
            f"{again[0]} is already quantized: make these formats from its original, not from this"
            " file."
        )
    repacked = [row for row in rows if row.fits and row.repacked_bytes]
    if repacked:
        size = gib(repacked[0].repacked_bytes)
        yield (
            f"On a CPU llama.cpp holds a rearranged copy of the matrices of {repacked[0].model}"
            f" ({size} GiB) in place of the file's pages; its log counts both."
        )
    if any(row.placement for row in rows):
        host = question.host.ram
        yield (
            f"What does not fit on the device is read from {host.name}"
            f" ({host.bandwidth / 1e9:g} GB/s), then from an SSD of"
            f" {question.host.ssd_bandwidth / 1e9:g} GB/s."
        )


def placement_words(placement: Placement) -> str:
    """Say where the parts of a model that does not fit would be."""
    parts = []
    if placement.ram_bytes:
        what = "experts" if placement.expert_layers and not placement.dense_layers else "weights"
        parts.append(f"{gib(placement.ram_bytes)} GiB {what} in RAM")
    if placement.ssd_bytes:
        parts.append(f"{gib(placement.ssd_bytes)} GiB on SSD")
    return "split: " + ", ".join(parts)


def band(speed: SpeedEstimate | Placement | None) -> str:
    """Format a speed: one figure if its band is narrow, else the band.

    >>> from zeropoint.plans.speed.speed import SpeedEstimate
    >>> band(SpeedEstimate(tokens_per_second=20.0, low=16.0, high=25.0, basis="estimated"))
    '16-25'
    """
    if speed is None:
        return ""
    if speed.high / speed.low < NARROW_BAND:
        return figure(speed.tokens_per_second)
    return f"{figure(speed.low)}-{figure(speed.high)}"


def longest(row: PlanRow) -> str:
    """Format the longest context that fits; "all" is what the model was trained for."""
    trained = row.spec.shape.context
    if not row.longest:
        return "-"
    if trained and row.longest >= trained:
        return f"all {tokens(trained)}"
    return tokens(row.longest)


def figure(value: float) -> str:
    """Format a speed with two or three digits.

    >>> figure(0.1234), figure(9.87), figure(123.4)
    ('0.12', '9.9', '123')
    """
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 10 else f"{value:.0f}"


def gib(count: int) -> str:
    """Format a number of bytes in GiB, without the unit."""
    return f"{count / GIB:.2f}" if count < 100 * GIB else f"{count / GIB:.0f}"


def tokens(count: int) -> str:
    """Format a number of tokens.

    >>> tokens(4096), tokens(131072), tokens(300)
    ('4k', '128k', '300')
    """
    return f"{count // 1024}k" if count >= 1024 else str(count)


def count(weights: int) -> str:
    """Format a number of weights as model names do.

    >>> count(268_098_176), count(27_000_000_000), count(10**12)
    ('268M', '27B', '1T')
    """
    for unit, size in (("T", 10**12), ("B", 10**9)):
        if weights >= 0.9995 * size:
            return f"{weights / size:.3g}{unit}"
    return f"{weights / 1e6:.3g}M"
