"""Prints the result of `bench`."""

from pathlib import Path
from typing import TYPE_CHECKING

from zeropoint.cli.output import Output
from zeropoint.formatting import format_bytes

if TYPE_CHECKING:
    from zeropoint.results.bench import BenchResult, MachinePeaks, ModelSpeed, Spread


def show(out: Output, result: "BenchResult") -> None:
    """Print one column of figures per model, then the ratios of their speeds."""
    others = [other for other in (result.vs, result.peer) if other]
    sides: list[ModelSpeed] = [result, *others]
    peaks = result.peaks
    out.say(
        f"{result.threads} threads, {result.mode} arithmetic, {result.kernels} kernels, "
        f"{result.repetitions} repetitions: median (lowest to highest)"
    )
    out.say()
    headers = [f"{Path(side.model).name} ({side.engine})" for side in sides]
    rows: list[tuple[str, list[str]]] = [
        ("File", [format_bytes(side.file_bytes) for side in sides]),
        ("Loading", [f"{side.load_seconds:.2f} s" for side in sides]),
        ("Peak memory", [format_bytes(side.peak_memory_bytes) for side in sides]),
        (f"Prompt of {result.prompt_tokens}", [rate(side.prompt) for side in sides]),
        ("  operations", [operations(side, peaks) for side in sides]),
        (f"Generating {result.generated_tokens}", [rate(side.generation) for side in sides]),
        ("  weights per token", [format_bytes(side.bytes_per_token) for side in sides]),
        ("  memory bandwidth", [bandwidth(side) for side in sides]),
    ]
    out.table(("", *headers), ((name, *cells) for name, cells in rows))
    for line in beyond_peaks(sides):
        out.say(line)
    for other in others:
        ratios = (("prompt", other.ratio.prompt), ("generation", other.ratio.generation))
        parts = [
            f"{name} {ratio.median:.2f}× ({ratio.min:.2f} to {ratio.max:.2f})"
            for name, ratio in ratios
            if ratio
        ]
        out.say()
        out.say(f"Speed relative to {name_of(other)}: {', '.join(parts)}")


def beyond_peaks(sides: "list[ModelSpeed]") -> list[str]:
    """Return why a model is faster than a measured peak of the machine, where one is."""
    lines = []
    if any((side.flops_fraction or 0) > 1 for side in sides):
        lines.append(
            "More than 100 % of the operations: the peak is of float32 multiply-adds, and products"
            " of 8-bit numbers are faster."
        )
    if any((side.bandwidth_fraction or 0) > 1 for side in sides):
        lines.append(
            "More than 100 % of the bandwidth: some of the weights stay in the processor's cache."
        )
    return lines


def name_of(other: "ModelSpeed") -> str:
    """Return the label of a model in a comparison: its engine, or the name of its file."""
    return other.engine if other.engine != "zeropoint" else Path(other.model).name


def rate(spread: "Spread | None") -> str:
    """Return tokens per second as text: the median, and the lowest and highest repetition.

    >>> from zeropoint.results.bench import Spread
    >>> rate(Spread(18.04, 17.9, 18.1))
    '18.0 tokens/s (17.9 to 18.1)'
    """
    if spread is None:
        return "-"
    return f"{spread.median:.1f} tokens/s ({spread.min:.1f} to {spread.max:.1f})"


def operations(side: "ModelSpeed", peaks: "MachinePeaks | None") -> str:
    """Return operations per second, and the fraction of the machine's float32 multiply-adds."""
    value = side.prompt_flops_per_second
    if value is None:
        return "-"
    share = f", {side.flops_fraction:.0%} of {peaks.flops / 1e9:.0f}" if peaks else ""
    return f"{value / 1e9:.0f} GFLOP/s{share}"


def bandwidth(side: "ModelSpeed") -> str:
    """Return bytes per second, and the fraction of the read bandwidth between the repetitions."""
    value, share = side.bytes_per_second, side.bandwidth_fraction
    if value is None:
        return "-"
    return f"{value / 1e9:.1f} GB/s" + (f", {share:.0%} of the read bandwidth" if share else "")
