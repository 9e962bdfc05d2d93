"""Terminal view of a plan: the table, its notes, and the refusal if nothing fits."""

from typing import TYPE_CHECKING

from zeropoint.cli.output import Output

if TYPE_CHECKING:
    from zeropoint.plans.machines.device import Device
    from zeropoint.plans.planner.advice import Refusal
    from zeropoint.plans.planner.planning import PlanResult
    from zeropoint.plans.planner.ranking import PlanRow

GIB = 2**30
MAX_ROWS = 18
BASIS_WORDS = {"measured here": "measured"}  # text in the table for a value of the JSON


def note_benchmark(out: Output) -> None:
    """Say that this machine is being benchmarked."""
    out.note("benchmarking this machine once, which takes some seconds …")


def show(out: Output, plan: "PlanResult", *, cheapest: bool) -> None:
    """Print the ranked table, with lines above it for a single device and for each model."""
    from zeropoint.plans.planner.text import device_line, model_line, quality

    rows, workload = plan.results, plan.question.workload
    if out.as_json or not rows:
        return
    users = f", {workload.users} users" if workload.users > 1 else ""
    cache = workload.cache_formats
    out.say(f"{workload.context} tokens of context{users}, KV cache in {cache}", style="bold")
    one_device = len({row.device.id for row in rows}) == 1
    if one_device:
        out.say(device_line(rows[0].device))
    for spec in plan.models:
        out.say(model_line(spec, workload.users))
    out.say()
    head = ("Model",) if one_device else ("Device", "Model")
    price = (">Price", ">GiB per $") if cheapest else ()
    shown = rows[:MAX_ROWS]
    loss = ("Loss",) if any(map(quality, shown)) else ()
    out.table(
        (*head, ">Bits/weight", *loss, ">?Weights", ">?+ KV", ">?+ compute", ">= GiB", "",
         ">?Longest context", ">?Prompt t/s", ">Generation t/s", "?Speed is", *price),
        (
            table_row(row, one_device=one_device, cheapest=cheapest, with_loss=bool(loss))
            for row in shown
        ),
    )  # fmt: skip
    if not loss:
        out.say(
            "No loss is known: of a model, more bits come first. `zeropoint measure --run` or"
            " `compare --run` measures it."
        )
    if len(rows) > MAX_ROWS:
        out.say(f"… and {len(rows) - MAX_ROWS} more; --json prints all of them")
    if plan.notes:
        out.say()
    for line in plan.notes:
        out.say(line)


def table_row(row: "PlanRow", *, one_device: bool, cheapest: bool, with_loss: bool) -> list[object]:
    """Return the cells of one row."""
    from zeropoint.plans.planner.text import band, gib, longest, placement_words, quality

    memory, placement = row.memory, row.placement
    head = [row.model] if one_device else [row.device.label, row.model]
    offloaded = placement_words(placement) if placement else "does not fit"
    speed = placement or row.generation
    basis = speed.basis if speed else ""
    price = price_words(row.device) if cheapest else ()
    loss = [quality(row)] if with_loss else []
    return [
        *head, f"{row.bits_per_weight:.2f}", *loss,
        gib(memory.weights_bytes), gib(memory.kv_bytes), gib(memory.compute_bytes),
        gib(memory.total_bytes), "fits" if row.fits else offloaded, longest(row),
        band(row.prompt), band(speed), BASIS_WORDS.get(basis, basis), *price,
    ]  # fmt: skip


def price_words(device: "Device") -> tuple[str, str]:
    """Return the price of a device, and its memory for each dollar."""
    if device.gib_per_dollar is None:
        return "", ""
    return f"${device.price_usd} ({device.price_date or 'yours'})", f"{device.gib_per_dollar:.4f}"


def show_refusal(refusal: "Refusal") -> None:
    """Print on stderr what the closest plan lacks, and which options would help."""
    from zeropoint.cli.exits import say

    say(f"error[plan.does-not-fit]: {refusal.what}")
    say(f"  cause: {refusal.cause}")
    for fix in refusal.fixes:
        say(f"  fix:   {fix}")
    if refusal.next:
        say(f"  next:  {refusal.next}")


def show_devices(out: Output) -> None:
    """Print every device with a name."""
    from zeropoint.metrics.speed.this_machine import load_devices
    from zeropoint.plans.planner.as_json import device_record

    devices = load_devices().devices.values()
    out.table(
        ("Device", "Name", ">GiB", ">GB/s", ">FP16 TFLOP/s", "Multiplies natively", "Price"),
        (
            (d.id, d.name, f"{d.memory_bytes / GIB:g}", f"{d.bandwidth / 1e9:g}",
             f"{d.fp16_flops / 1e12:g}" if d.fp16_flops else "", " ".join(d.family.native),
             f"${d.price_usd} ({d.price_date})" if d.price_usd else "")
            for d in devices
        ),
    )  # fmt: skip
    out.say("\nYour own devices go into ~/.config/zeropoint/devices.toml.")
    out.finish("plan", {"devices": [device_record(device) for device in devices]})
