"""What there is to say of a plan, in words: lines, notes and figures as people read them."""

from collections.abc import Iterator, Sequence

from zeropoint.plans.machines.machines import GIB
from zeropoint.plans.memory.bytes_read import distinct
from zeropoint.plans.memory.offload import Placement
from zeropoint.plans.planner.model_spec import Subject
from zeropoint.plans.planner.planning import Plan
from zeropoint.plans.planner.ranking import PROMPT, RULE, Question, Result
from zeropoint.plans.speed.speed import Estimate


def quality(result: Result) -> str:
    """Say what was measured of a model: beside others first, else beside its own reference."""
    found = result.score or result.loss
    return found.label if found else ""


def device_line(result: Result) -> str:
    """Describe the device in a line."""
    device = result.device
    speed = f", {device.bandwidth / 1e9:.4g} GB/s" if device.bandwidth else ""
    how = " measured" if device.measured else ""
    usable = gib(device.usable_bytes)
    return f"{device.name}: {usable} GiB usable ({device.margin}){speed}{how}"


def subject_line(subject: Subject, users: int) -> str:
    """Describe a model in a line, and how much is known of it."""
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


def notes(plan: Plan) -> list[str]:
    """Return what a person must know to read a plan."""
    return [*model_notes(plan.question, plan.subjects), *result_notes(plan.results, plan.question)]


def model_notes(question: Question, subjects: Sequence[Subject]) -> Iterator[str]:
    """Yield what there is to say of the models."""
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


def result_notes(results: Sequence[Result], question: Question) -> Iterator[str]:
    """Yield what there is to say of the figures."""
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


def split_words(placement: Placement) -> str:
    """Say where the parts would live."""
    words = []
    if placement.ram_bytes:
        what = "experts" if placement.expert_layers and not placement.dense_layers else "of it"
        words.append(f"{gib(placement.ram_bytes)} GiB {what} in RAM")
    if placement.ssd_bytes:
        words.append(f"{gib(placement.ssd_bytes)} GiB on SSD")
    return "split: " + ", ".join(words)


def band(found: Estimate | Placement | None) -> str:
    """Write a speed: a figure if it is known well, else the band.

    >>> from zeropoint.plans.speed.speed import Estimate
    >>> band(Estimate(tokens_per_second=20.0, low=16.0, high=25.0, basis="estimated"))
    '16-25'
    """
    if found is None:
        return ""
    if found.high / found.low < 1.12:
        return figure(found.tokens_per_second)
    return f"{figure(found.low)}-{figure(found.high)}"


def longest(result: Result) -> str:
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
