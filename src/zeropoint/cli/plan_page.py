"""How `plan` shows its results, and what it says when nothing fits."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from zeropoint.cli.output import Output

if TYPE_CHECKING:
    from zeropoint.plans.advice import Refusal
    from zeropoint.plans.placement import Placement
    from zeropoint.plans.ranking import Question, Result
    from zeropoint.plans.speed import Estimate
    from zeropoint.plans.subjects import Subject

GIB = 2**30
SHOWN = 18  # rows of a ranking


def show(
    out: Output,
    results: "Sequence[Result]",
    question: "Question",
    *,
    subjects: "Sequence[Subject]",
    cheapest: bool,
) -> None:
    """Print a ranking, or one model in full."""
    if out.as_json or not results:
        return
    demand = question.demand
    users = f", {demand.users} users" if demand.users > 1 else ""
    cache = demand.keys if demand.keys == demand.values else f"{demand.keys}/{demand.values}"
    out.say(f"{demand.context} tokens of context{users}, KV cache in {cache}", style="bold")
    names = {result.device.id: result.device for result in results}
    if len(names) == 1:
        out.say(device_line(results[0]))
    for subject in subjects:
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
    footnotes(out, results, question, subjects)


def row(result: "Result", *, one: bool, cheapest: bool) -> list[object]:
    """Return the cells of one result."""
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


def quality(result: "Result") -> str:
    """Say what was measured of a model: beside others first, else beside its own reference."""
    found = result.score or result.loss
    return found.label if found else ""


def device_line(result: "Result") -> str:
    """Describe the device in a line."""
    device = result.device
    speed = f", {device.bandwidth / 1e9:.4g} GB/s" if device.bandwidth else ""
    how = " measured" if device.measured else ""
    usable = gib(device.usable_bytes)
    return f"{device.name}: {usable} GiB usable ({device.margin}){speed}{how}"


def subject_line(subject: "Subject", users: int) -> str:
    """Describe a model in a line, and how much is known of it."""
    from zeropoint.plans.traffic import distinct

    shape = subject.shape
    kept = [layer for layer in shape.layers if layer.keys or layer.values]
    parts = [f"{count(subject.weights)} weights", f"{len(shape.layers)} layers"]
    if len(kept) < len(shape.layers):
        parts.append(f"{len(kept)} with a cache")
    windows = {layer.window for layer in kept if layer.window}
    if windows:
        parts.append(f"windows of {', '.join(map(str, sorted(windows)))}")
    if shape.experts:
        parts.append(f"{shape.experts} experts, {shape.experts_used} used")
        if users > 1:
            met = distinct(shape.experts, shape.experts_used, users)
            parts.append(f"{met:.0f} met by {users} users")
    if shape.context:
        parts.append(f"trained for {tokens(shape.context)}")
    known = {"exact": "", "config.json": "; from its config.json", "typical": ""}[subject.basis]
    name = shape.name if subject.basis == "typical" else subject.label
    return f"{name}: {', '.join(parts)}{known}"


def footnotes(
    out: Output,
    results: "Sequence[Result]",
    question: "Question",
    subjects: "Sequence[Subject]",
) -> None:
    """Print what a person must know to read the table."""
    lines = [*model_notes(question, subjects), *result_notes(results, question)]
    if lines:
        out.say()
    for line in lines:
        out.say(line)


def model_notes(question: "Question", subjects: "Sequence[Subject]") -> Iterator[str]:
    """Yield what there is to say of the models."""
    from zeropoint.plans.ranking import RULE

    if any(subject.basis == "typical" for subject in subjects):
        yield "A typical shape is a guess: caches of models of one size differ by a factor."
    wanted = question.demand.context
    short = [s.label for s in subjects if s.shape.context and s.shape.context < wanted]
    if short:
        yield f"Not trained for a context this long: {', '.join(short)}."
    if any(s.shape.windowed for s in subjects) and not question.demand.full_windows:
        yield "Windows keep what they see; llama.cpp's --swa-full keeps everything."
    unscored = any(question.evidence.score(subject, None) is None for subject in subjects)
    if len(subjects) > 1 and question.objective == "loss" and unscored:
        yield RULE[0].upper() + RULE[1:] + "."


def result_notes(results: "Sequence[Result]", question: "Question") -> Iterator[str]:
    """Yield what there is to say of the figures."""
    from zeropoint.plans.ranking import PROMPT

    if any(result.prompt for result in results):
        demand = question.demand
        each = f", for all {demand.users} users together" if demand.users > 1 else ""
        at = min(question.past, demand.context)
        yield f"Reads: a prompt of {PROMPT} tokens. Writes: after {at} tokens{each}."
    scores = [result.score for result in results if result.score]
    if scores:
        yield (
            f"Models are ranked by {scores[0].kind} on the same text or tasks ({scores[0].run});"
            " those that share a letter cannot be told apart."
        )
    if any(result.loss for result in results if not result.score):
        yield "Losses are nats per token against each model's own reference."
    again = [r.subject.label for r in results if r.changed and r.subject.quantized]
    if again:
        yield (
            f"{again[0]} is quantized already: these formats are worth it from its original only."
        )
    copies = [result for result in results if result.fits and result.repacked_bytes]
    if copies:
        size = gib(copies[0].repacked_bytes)
        yield (
            f"llama.cpp's processor backend keeps a rearranged copy of {copies[0].model}'s matrices"
            f" ({size} GiB) in place of the file's pages; its log counts both."
        )
    if any(result.placement for result in results):
        host = question.host.ram
        yield (
            f"What does not fit is split: the rest in {host.name} ({host.bandwidth / 1e9:g} GB/s),"
            f" then an SSD of {question.host.ssd_bandwidth / 1e9:g} GB/s."
        )


def split_words(placement: "Placement") -> str:
    """Say where the parts would live."""
    words = []
    if placement.ram_bytes:
        what = "experts" if placement.expert_layers and not placement.dense_layers else "of it"
        words.append(f"{gib(placement.ram_bytes)} GiB {what} in RAM")
    if placement.ssd_bytes:
        words.append(f"{gib(placement.ssd_bytes)} GiB on SSD")
    return "split: " + ", ".join(words)


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
    from zeropoint.plans.machines import devices

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


def device_facts(device: Any) -> dict[str, object]:
    """Return a device for JSON."""
    return {
        "id": device.id, "name": device.name, "kind": device.kind, "family": device.family.id,
        "native": list(device.family.native), "memory_bytes": device.memory_bytes,
        "usable_bytes": device.usable_bytes, "bandwidth_bytes_per_second": device.bandwidth,
        "fp16_flops": device.fp16_flops, "int8_ops": device.int8_ops,
        "price_usd": device.price_usd, "price_date": device.price_date, "source": device.source,
    }  # fmt: skip


def as_result(
    results: "Sequence[Result]", question: "Question", refused: "Refusal | None"
) -> dict[str, object]:
    """Return what `--json` prints; the keys named in docs/plan.md stay."""
    demand = question.demand
    return {
        "demand": {
            "context": demand.context, "users": demand.users, "keys": demand.keys,
            "values": demand.values, "batch": demand.batch,
            "objective": question.objective, "past": question.past,
        },
        "results": [one_result(result) for result in results],
        "refusal": vars(refused) if refused else None,
        "models": [model_facts(s) for s in {r.subject.label: r.subject for r in results}.values()],
        "devices": [device_facts(d) for d in {r.device.id: r.device for r in results}.values()],
    }  # fmt: skip


def model_facts(subject: "Subject") -> dict[str, object]:
    """Return what memory and time follow from, for a page that works them out again."""
    shape = subject.shape
    return {
        "label": subject.label, "name": shape.name, "basis": subject.basis,
        "weights": subject.weights, "width": shape.width, "vocabulary": shape.vocabulary,
        "feed_forward": shape.feed_forward, "experts": shape.experts,
        "experts_used": shape.experts_used, "context": shape.context,
        "layers": [{"count": count} | vars(layer) for layer, count in shape.kinds],
    }  # fmt: skip


def one_result(result: "Result") -> dict[str, object]:
    """Return one result for JSON."""
    memory, placement = result.memory, result.placement
    generation = result.generation
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
        "longest_context": result.longest,
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


def estimate_facts(found: "Estimate | None") -> dict[str, object] | None:
    """Return an estimate for JSON."""
    return vars(found) if found else None


def band(found: "Estimate | Placement | None") -> str:
    """Write a speed: a figure if it is known well, else the band.

    >>> from zeropoint.plans.speed import Estimate
    >>> band(Estimate(tokens_per_second=20.0, low=16.0, high=25.0, basis="estimated"))
    '16-25'
    """
    if found is None:
        return ""
    if found.high / found.low < 1.12:
        return figure(found.tokens_per_second)
    return f"{figure(found.low)}-{figure(found.high)}"


def longest(result: "Result") -> str:
    """Write the longest context that fits; "all" is what the model was trained for."""
    trained = result.subject.shape.context
    if not result.longest:
        return "-"
    if trained and result.longest >= trained:
        return f"all {tokens(trained)}"
    return tokens(result.longest)


def figure(value: float) -> str:
    """Write a speed with two or three digits.

    >>> figure(0.1234), figure(9.87), figure(123.4)
    ('0.12', '9.9', '123')
    """
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 10 else f"{value:.0f}"


def gib(count: int) -> str:
    """Write bytes as GiB without the unit."""
    return f"{count / GIB:.2f}" if count < 100 * GIB else f"{count / GIB:.0f}"


def tokens(count: int) -> str:
    """Write a number of tokens.

    >>> tokens(4096), tokens(131072), tokens(300)
    ('4k', '128k', '300')
    """
    return f"{count // 1024}k" if count >= 1024 else str(count)


def count(weights: int) -> str:
    """Write a number of weights as models are named.

    >>> count(268_098_176), count(27_000_000_000), count(10**12)
    ('268M', '27B', '1T')
    """
    for unit, size in (("T", 10**12), ("B", 10**9)):
        if weights >= 0.9995 * size:
            return f"{weights / size:.3g}{unit}"
    return f"{weights / 1e6:.3g}M"
