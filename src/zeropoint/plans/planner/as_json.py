"""A plan as plain data: the object that `plan --json` prints and that pages are drawn from."""

from collections.abc import Sequence
from typing import Any

from zeropoint.plans.machines.device import Device
from zeropoint.plans.memory.memory import compute_buffers
from zeropoint.plans.planner.advice import Refusal
from zeropoint.plans.planner.model_spec import DESCRIBED, ModelSpec
from zeropoint.plans.planner.ranking import PlanQuestion, PlanRow
from zeropoint.plans.planner.text import plan_notes
from zeropoint.plans.speed.speed import SpeedEstimate


def plan_record(
    question: PlanQuestion,
    models: Sequence[ModelSpec],
    rows: Sequence[PlanRow],
    refusal: Refusal | None,
) -> dict[str, Any]:
    """Return a plan for JSON. docs/plan.md names the keys that do not change."""
    workload = question.workload
    devices = {row.device.id: row.device for row in rows}
    return {
        "demand": {
            "context": workload.context, "users": workload.users, "keys": workload.keys,
            "values": workload.values, "batch": workload.batch,
            "objective": question.objective, "past": question.past,
        },
        "results": [row_record(row) for row in rows],
        "refusal": vars(refusal) if refusal else None,
        "models": [model_record(spec) for spec in {spec.label: spec for spec in models}.values()],
        "devices": [device_record(device) for device in devices.values()],
        "notes": plan_notes(question, models, rows),
    }  # fmt: skip


def device_record(device: Device) -> dict[str, Any]:
    """Return a device for JSON."""
    return {
        "id": device.id, "name": device.name, "kind": device.kind, "family": device.family.id,
        "native": list(device.family.native), "memory_bytes": device.memory_bytes,
        "usable_bytes": device.usable_bytes, "bandwidth_bytes_per_second": device.bandwidth,
        "fp16_flops": device.fp16_flops, "int8_ops": device.int8_ops,
        "price_usd": device.price_usd, "price_date": device.price_date,
        "gib_per_dollar": device.gib_per_dollar, "source": device.source,
    }  # fmt: skip


def model_record(spec: ModelSpec) -> dict[str, Any]:
    """Return what memory and speed depend on, for a page that computes them again."""
    shape = spec.shape
    return {
        "label": spec.label, "name": shape.name, "basis": spec.basis,
        "origin": spec.origin if spec.basis == DESCRIBED else None,
        "weights": spec.weights, "width": shape.width, "vocabulary": shape.vocabulary,
        "feed_forward": shape.feed_forward, "experts": shape.experts,
        "experts_used": shape.experts_used, "context": shape.context,
        "layers": [{"count": count} | vars(layer) for layer, count in shape.kinds],
    }  # fmt: skip


def row_record(row: PlanRow) -> dict[str, Any]:
    """Return one row for JSON."""
    memory, placement, generation = row.memory, row.placement, row.generation
    buffers = compute_buffers(row.spec.shape, row.workload)
    return {
        "model": row.model, "device": row.device.id, "format": row.format,
        "fits": row.fits, "weights": row.spec.weights,
        "bits_per_weight": row.bits_per_weight,
        "weights_bytes": memory.weights_bytes, "kv_bytes": memory.kv_bytes,
        "compute_bytes": memory.compute_bytes, "total_bytes": memory.total_bytes,
        "usable_bytes": row.device.usable_bytes, "repacked_bytes": row.repacked_bytes,
        "file_bytes": None if row.changed else row.spec.file_bytes,
        "kv": {
            "all_positions_bytes": memory.cache_bytes, "windows_bytes": memory.window_bytes,
            "states_bytes": memory.state_bytes,
        },
        "experts_bytes": row.experts_bytes,
        "compute": vars(buffers) | {"largest": buffers.largest},
        "longest_context": row.longest, "trained_context": row.spec.shape.context,
        "tokens_per_second": row.tokens_per_second,
        "generation": speed_record(generation),
        "prompt": speed_record(row.prompt),
        "split": vars(placement) if placement else None,
        "loss": vars(row.loss) if row.loss else None,
        "score": vars(row.score) if row.score else None,
        "basis": {
            "weights": row.spec.basis, "memory": row.memory_basis,
            "compute": "llama.cpp's allocation, modelled",
            "speed": placement.basis if placement else generation.basis if generation else None,
        },
    }  # fmt: skip


def speed_record(estimate: SpeedEstimate | None) -> dict[str, Any] | None:
    """Return a speed for JSON."""
    return vars(estimate) if estimate else None
