"""A plan as plain data: the object that `--json` prints and that pages are drawn from."""

from zeropoint.plans.machines.machines import Device
from zeropoint.plans.memory.memory import buffers
from zeropoint.plans.planner.model_spec import Subject
from zeropoint.plans.planner.planning import Plan
from zeropoint.plans.planner.ranking import Result
from zeropoint.plans.planner.text import notes
from zeropoint.plans.speed.speed import Estimate


def as_record(plan: Plan) -> dict[str, object]:
    """Return a plan as plain data; the keys named in docs/plan.md stay."""
    demand, question = plan.question.demand, plan.question
    used = {result.device.id: result.device for result in plan.results}
    return {
        "demand": {
            "context": demand.context, "users": demand.users, "keys": demand.keys,
            "values": demand.values, "batch": demand.batch,
            "objective": question.objective, "past": question.past,
        },
        "results": [one_result(result) for result in plan.results],
        "refusal": vars(plan.refusal) if plan.refusal else None,
        "models": [model_facts(s) for s in {s.label: s for s in plan.subjects}.values()],
        "devices": [device_facts(device) for device in used.values()],
        "notes": notes(plan),
    }  # fmt: skip


def device_facts(device: Device) -> dict[str, object]:
    """Return a device for JSON."""
    return {
        "id": device.id, "name": device.name, "kind": device.kind, "family": device.family.id,
        "native": list(device.family.native), "memory_bytes": device.memory_bytes,
        "usable_bytes": device.usable_bytes, "bandwidth_bytes_per_second": device.bandwidth,
        "fp16_flops": device.fp16_flops, "int8_ops": device.int8_ops,
        "price_usd": device.price_usd, "price_date": device.price_date, "source": device.source,
    }  # fmt: skip


def model_facts(subject: Subject) -> dict[str, object]:
    """Return what memory and time follow from, for a page that works them out again."""
    shape = subject.shape
    return {
        "label": subject.label, "name": shape.name, "basis": subject.basis,
        "weights": subject.weights, "width": shape.width, "vocabulary": shape.vocabulary,
        "feed_forward": shape.feed_forward, "experts": shape.experts,
        "experts_used": shape.experts_used, "context": shape.context,
        "layers": [{"count": count} | vars(layer) for layer, count in shape.kinds],
    }  # fmt: skip


def one_result(result: Result) -> dict[str, object]:
    """Return one result for JSON."""
    memory, placement = result.memory, result.placement
    generation, parts = result.generation, buffers(result.subject.shape, result.demand)
    rate = generation.tokens_per_second if generation else None
    if placement:
        rate = placement.tokens_per_second
    return {
        "model": result.model, "device": result.device.id, "format": result.format,
        "fits": result.fits, "weights": result.subject.weights,
        "bits_per_weight": result.bits_per_weight,
        "weights_bytes": memory.weights_bytes, "kv_bytes": memory.kv_bytes,
        "compute_bytes": memory.compute_bytes, "total_bytes": memory.total_bytes,
        "usable_bytes": result.device.usable_bytes, "repacked_bytes": result.repacked_bytes,
        "file_bytes": None if result.changed else result.subject.file_bytes,
        "kv": {
            "all_positions_bytes": memory.cache_bytes, "windows_bytes": memory.window_bytes,
            "states_bytes": memory.state_bytes,
        },
        "experts_bytes": result.experts_bytes,
        "compute": vars(parts) | {"largest": parts.largest},
        "longest_context": result.longest, "trained_context": result.subject.shape.context,
        "tokens_per_second": rate,
        "generation": estimate_facts(generation),
        "prompt": estimate_facts(result.prompt),
        "split": vars(placement) if placement else None,
        "loss": vars(result.loss) if result.loss else None,
        "score": vars(result.score) if result.score else None,
        "basis": {
            "weights": result.subject.basis, "memory": result.memory_basis,
            "compute": "llama.cpp's allocation, modelled",
            "speed": placement.basis if placement else generation.basis if generation else None,
        },
    }  # fmt: skip


def estimate_facts(found: Estimate | None) -> dict[str, object] | None:
    """Return an estimate for JSON."""
    return vars(found) if found else None
