"""Prints what `compare` reports, with a reference and without one."""

from typing import TYPE_CHECKING

from zeropoint.cli.output import Output
from zeropoint.cli.views import drift as figures
from zeropoint.cli.views.measure import (
    UNKNOWN_CONSEQUENCE,
    VERDICT_STYLES,
    format_interval,
    format_nats,
)
from zeropoint.formatting import format_bytes

if TYPE_CHECKING:
    from zeropoint.results.chains import ChainsResult
    from zeropoint.results.divergence import CompareResult
    from zeropoint.results.interval import Interval
    from zeropoint.results.tasks import AcrossResult, ModelCompared, ModelTasks
    from zeropoint.verbs.compare_models import WindowsPrepared
    from zeropoint.verbs.records import ModelStarted


FEW_WINDOWS = 8  # with fewer, an interval says little


class ModelViews:
    """Prints models of any kind; the first one that is evaluated is the baseline."""

    def __init__(self) -> None:
        self._baseline = ""

    def show_model(self, out: Output, started: "ModelStarted") -> None:
        """Print which model is loaded or evaluated."""
        self._baseline = self._baseline or started.model.name
        out.note(f"{started.model.name}: {format_bytes(started.model.file_bytes)}")

    def show_result(self, out: Output, result: "AcrossResult") -> None:
        """Print the table, the smallest memory first, and the differences from the baseline."""
        show_models(out, result, self._baseline)


def show_windows(out: Output, prepared: "WindowsPrepared") -> None:
    """Print how much text is scored."""
    out.say(
        f"Text         {prepared.windows} windows; {prepared.scored_bytes} bytes of them are scored"
    )


def show_quants(out: Output, result: "CompareResult") -> None:
    """Print the verdicts, then the quantized models as a table, the smallest loss first."""
    out.say()
    for quant in result.results:
        word = quant.measured.verdict.word
        style = VERDICT_STYLES.get(word, "bold")
        out.say(
            f"Verdict      {quant.name}: {word}, {quant.measured.verdict.meaning}.", style=style
        )
    for names in result.inseparable:
        out.say(f"             Cannot be told apart (more text may): {', '.join(names)}.")
    out.say(f"             {UNKNOWN_CONSEQUENCE}")
    out.say()
    out.table(
        ("Quant", ">Size", ">KL mean", ">95 % interval", ">?99 %", ">?Top-1", ">?PPL ratio",
         "Group", "Frontier"),
        (
            (quant.name, format_bytes(quant.bytes), format_nats(measured.kl.mean),
             format_interval(measured.kl, ".5f") or "-", format_nats(measured.kl.p99),
             f"{measured.top1:.2%}", f"{measured.perplexity.ratio.mean:.4f}", quant.group,
             "*" if quant.frontier else "")
            for quant in result.results
            for measured in [quant.measured]
        ),
    )  # fmt: skip
    out.say()
    if result.floor is not None:
        out.say(
            f"Noise floor  {result.floor:.6f}: the reference against itself in another arithmetic"
        )
    out.say("* No file of at most this size has a significantly smaller loss.")


def show_models(out: Output, result: "AcrossResult", first: str) -> None:
    """Print models of any kind, the smallest memory first; `first` is the name of the baseline."""
    out.say()
    for model in result.results:
        if model.name != first:
            out.say(f"Verdict      {model.name} compared with {first}: {_differences(model)}")
    if all(model.tasks is None for model in result.results):
        out.say(f"             {UNKNOWN_CONSEQUENCE}")
    out.say()
    out.table(
        ("Model", ">Memory", ">Nats per byte", ">95 % interval", "Group", ">Tasks",
         ">Chains, last step"),
        (
            (model.name, format_bytes(model.memory_bytes),
             figures.format_mean(model.text.nats_per_byte), _ends(model.text.nats_per_byte),
             model.text.group, _tasks(model.tasks), _chains(model.chains))
            for model in result.results
        ),
    )  # fmt: skip
    out.say()
    windows = result.results[0].text.windows
    if windows < FEW_WINDOWS:
        out.say(f"The intervals are wide because only {windows} windows of text were scored.")
    out.say(
        f"Memory is the file and a 16-bit key-value cache of {result.context} tokens. The test"
        " cannot separate models that share a letter on this text."
    )


def _differences(model: "ModelCompared") -> str:
    parts = [f"nats per byte {figures.spread(model.text.difference, '+.4f')}, p {model.text.p:.2g}"]
    if model.tasks:
        flips = model.tasks.beside_first
        parts.append(
            f"tasks {figures.spread(flips.difference, '+.0%')}, {len(flips.lost)} lost and"
            f" {len(flips.won)} won, p {flips.p:.2g}"
        )
        parts.append(flips.consequence.rstrip("."))
    if model.chains and model.chains.together:
        last = model.chains.together.steps[-1]
        parts.append(
            f"chains after the last step {figures.spread(last.difference, '+.0%')}, p {last.p:.2g}"
        )
    return "; ".join(parts)


def _ends(figure: "Interval") -> str:
    return "-" if figure.ends is None else f"{figure.ends[0]:.4f} … {figure.ends[1]:.4f}"


def _tasks(tasks: "ModelTasks | None") -> str:
    return "-" if tasks is None else f"{tasks.right} of {tasks.tasks}"


def _chains(chains: "ChainsResult | None") -> str:
    if chains is None:
        return "-"
    if not chains.together:
        return "at floor"
    return figures.format_rate(chains.together.quant.accuracy[-1])
