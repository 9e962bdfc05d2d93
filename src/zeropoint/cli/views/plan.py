"""How `plan` shows its results, and what it says when nothing fits."""

from typing import TYPE_CHECKING

from zeropoint.cli.output import Output

if TYPE_CHECKING:
    from zeropoint.plans.planner.advice import Refusal
    from zeropoint.plans.planner.planning import Plan
    from zeropoint.plans.planner.ranking import Result

GIB = 2**30
SHOWN = 18  # rows of a ranking


def show(out: Output, plan: "Plan", *, cheapest: bool) -> None:
    """Print a ranking, or one model in full."""
    from zeropoint.plans.planner.text import device_line, notes, subject_line

    results, demand = plan.results, plan.question.demand
    if out.as_json or not results:
        return
    users = f", {demand.users} users" if demand.users > 1 else ""
    cache = demand.keys if demand.keys == demand.values else f"{demand.keys}/{demand.values}"
    out.say(f"{demand.context} tokens of context{users}, KV cache in {cache}", style="bold")
    names = {result.device.id: result.device for result in results}
    if len(names) == 1:
        out.say(device_line(results[0]))
    for subject in plan.subjects:
        out.say(subject_line(subject, demand.users))
    out.say()
    one = len(names) == 1
    head = ("Model",) if one else ("Device", "Model")
    price = (">Price",) if cheapest else ()
    out.table(
        (*head, ">b/w", "Loss", ">Weights", ">+ KV", ">+ compute", ">= GiB", "", ">Longest",
         ">Reads t/s", ">Writes t/s", "Speed is", *price),
        (row(result, one=one, cheapest=cheapest) for result in results[:SHOWN]),
    )  # fmt: skip
    if len(results) > SHOWN:
        out.say(f"… and {len(results) - SHOWN} more; --json has them all")
    lines = notes(plan)
    if lines:
        out.say()
    for line in lines:
        out.say(line)


def row(result: "Result", *, one: bool, cheapest: bool) -> list[object]:
    """Return the cells of one result."""
    from zeropoint.plans.planner.text import band, gib, longest, quality, split_words

    memory = result.memory
    head = [result.model] if one else [result.device.id, result.model]
    placement = result.placement
    fits = "fits" if result.fits else split_words(placement) if placement else "does not fit"
    writes = band(result.generation)
    how = result.generation.basis if result.generation else ""
    if placement:
        writes, how = band(placement), placement.basis
    price: list[object] = []
    if cheapest:
        price = [f"${result.device.price_usd} ({result.device.price_date})"]
    return [
        *head, f"{result.bits_per_weight:.2f}", quality(result),
        gib(memory.weights_bytes), gib(memory.kv_bytes), gib(memory.compute_bytes),
        gib(memory.total_bytes), fits, longest(result),
        band(result.prompt), writes, how, *price,
    ]  # fmt: skip


def explain_refusal(found: "Refusal") -> None:
    """Say on stderr what the best of the results lacks and what to turn."""
    from zeropoint.cli.exits import say

    say(f"error[plan.does-not-fit]: {found.what}")
    say(f"  cause: {found.cause}")
    for fix in found.fixes:
        say(f"  fix:   {fix}")
    if found.next:
        say(f"  next:  {found.next}")


def show_devices(out: Output) -> None:
    """Print every device that is known."""
    from zeropoint.plans.machines.machines import devices
    from zeropoint.plans.planner.as_json import device_facts

    known = devices()
    out.table(
        ("Device", "Name", ">GiB", ">GB/s", ">FP16 TFLOP/s", "Multiplies natively", "Price"),
        (
            (d.id, d.name, f"{d.memory_bytes / GIB:g}", f"{d.bandwidth / 1e9:g}",
             f"{d.fp16_flops / 1e12:g}" if d.fp16_flops else "", " ".join(d.family.native),
             f"${d.price_usd} ({d.price_date})" if d.price_usd else "")
            for d in known.values()
        ),
    )  # fmt: skip
    out.say("\nYour own rows go into ~/.config/zeropoint/devices.toml.")
    out.finish("plan", {"devices": [device_facts(device) for device in known.values()]})
