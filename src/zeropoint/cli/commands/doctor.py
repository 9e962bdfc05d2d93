"""`doctor`: processor, memory, measured bandwidth, and missing packages of this machine."""

import platform
from typing import TYPE_CHECKING, Annotated

import typer

from zeropoint._version import __version__
from zeropoint.cli.output import AsJson, Output
from zeropoint.formatting import format_bytes

if TYPE_CHECKING:
    from zeropoint.kernels.benchmark_machine import MachineBenchmark
    from zeropoint.kernels.machine import Machine, Peaks

OPTIONAL_PACKAGES = {  # package: what requires it
    "tokenizers": "run, measure and calibrate models",
    "jinja2": "chat with models",
    "torch": "search for recipes",
    "transformers": "search for recipes",
    "uvicorn": "open the studio",
}

EXAMPLE_MODEL = "8B:Q4_K_M"  # whose speed is predicted


def register(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="This machine")(doctor)


def doctor(
    measure: Annotated[
        bool,
        typer.Option(
            help="Measure read bandwidth and arithmetic throughput, which takes a few seconds."
            " Without it, earlier measurements are shown."
        ),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Show this machine: instruction sets, memory, measured bandwidth, missing packages.

    [bold]Example:[/bold] zeropoint doctor

    Read bandwidth and arithmetic are measured, which takes some seconds; `plan` predicts speed from
    them. Products with one row read each weight once, as generation does. Their matrix has 48 MiB,
    which a large cache may hold. The exit status is 1 if the compiled kernels are missing.
    """
    from zeropoint.calibration.moment_cache import BUDGET_BYTES, cached_bytes, moment_directory
    from zeropoint.kernels.benchmark_machine import load_benchmark, measure_machine
    from zeropoint.kernels.machine import BandwidthProbe, best_buffer, measure_peaks, this_machine
    from zeropoint.plans.machines.local_machine import processor_family

    out = Output(as_json=as_json)
    machine = this_machine()
    plain = BandwidthProbe(best_buffer(machine)) if measure else None
    measured = (
        [measure_peaks(plain, count) for count in sorted({1, machine.cores})] if plain else []
    )
    peaks = [peak for peak in measured if peak is not None]
    benchmark = measure_machine(machine.cores, plain, peaks[-1]) if peaks else load_benchmark()
    parts = {name: installed(name) for name in OPTIONAL_PACKAGES}
    hints = advice(machine.instruction_set, machine.features, parts)
    show(out, machine, peaks)
    show_products(out, benchmark)
    if benchmark:
        show_meaning(out)
    out.table(
        ("Optional package", "Version"), [(n, v or "not installed") for n, v in parts.items()]
    )
    cached = cached_bytes()
    out.say()
    out.say(
        f"Cache       {format_bytes(cached)} of second moments in {moment_directory()}, of at most"
        f" {format_bytes(BUDGET_BYTES)}; deleting the folder is safe"
    )
    for hint in hints:
        out.say(f"Hint: {hint}")
    out.finish(
        "doctor",
        vars(machine)
        | {
            "peaks": [vars(p) for p in peaks],
            "parts": parts,
            "hints": hints,
            "native": list(processor_family(machine).native) if benchmark else [],
            "cache": {
                "second_moments": str(moment_directory()),
                "bytes": cached,
                "budget_bytes": BUDGET_BYTES,
            },
            "products": [vars(rate) for rate in benchmark.rates] if benchmark else [],
        },
    )
    if machine.instruction_set == "numpy":
        raise typer.Exit(1)


def show(out: Output, machine: "Machine", peaks: "list[Peaks]") -> None:
    """Print the processor, the memory and the measured peaks."""
    out.say(f"zeropoint {__version__}   Python {platform.python_version()}   {platform.system()}")
    out.say(f"Processor   {machine.processor}, {machine.cores} cores")
    has = " ".join(machine.features)
    out.say(f"Kernels     {machine.instruction_set}   (this processor has: {has})")
    if machine.memory_bytes and machine.available_bytes:
        free = format_bytes(machine.available_bytes)
        out.say(f"Memory      {format_bytes(machine.memory_bytes)}, {free} of it available")
    if peaks:
        out.say()
        out.table(
            (">Threads", ">Read bandwidth, GB/s", ">Multiply-add, GFLOP/s"),
            [
                (p.threads, f"{p.read_bytes_per_second / 1e9:.1f}", f"{p.flops / 1e9:.0f}")
                for p in peaks
            ],
        )
    out.say()


def show_products(out: Output, benchmark: "MachineBenchmark | None") -> None:
    """Print the measured speed of products with each format, which `plan` predicts from."""
    from zeropoint.plans.machines.local_machine import processor_family

    if benchmark is None:
        return
    family = processor_family(benchmark.machine)
    out.say(f"Multiplies  {', '.join(family.native)}   ({family.name})")
    out.table(
        ("Products with", ">One row, GB/s", ">Many rows, GFLOP/s"),
        [
            (r.format, f"{r.read_bytes_per_second / 1e9:.1f}",
             f"{2 * r.weights_per_second / 1e9:.0f}")
            for r in benchmark.rates
        ],
    )  # fmt: skip
    out.say()


def show_meaning(out: Output) -> None:
    """Print what the figures mean for a model of a common size."""
    from zeropoint.plans.planner.text import band
    from zeropoint.verbs.options.plan import PlanOptions
    from zeropoint.verbs.plan import plan_models

    (row,) = plan_models([EXAMPLE_MODEL], PlanOptions(device="local", runs=[])).results
    out.say(
        "The read bandwidth limits generation, and multiply-adds limit prompt processing. For"
        f" example, {EXAMPLE_MODEL} would process about {band(row.prompt)} tokens per second of a"
        f" prompt and generate about {band(row.placement or row.generation)};"
        " `zeropoint plan MODEL` predicts others."
    )
    out.say()


def installed(package: str) -> str | None:
    """Return the version of an installed package, without importing it; None without it."""
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def advice(kernels: str, features: tuple[str, ...], parts: dict[str, str | None]) -> list[str]:
    """Return what would make zeropoint faster or more capable on this machine."""
    hints = []
    if kernels == "numpy":
        hints.append(
            "the compiled kernels are missing, so everything is slow: install a C++ compiler"
            " (Debian: `apt install g++`), then reinstall zeropoint"
        )
    if kernels == "baseline" and "avx2" in features:
        hints.append(
            "ZEROPOINT_CPU=baseline is set, but this processor supports faster instructions"
        )
    missing = [name for name, version in parts.items() if version is None]
    if missing:
        uses = sorted({OPTIONAL_PACKAGES[name] for name in missing})
        hints.append(
            f'`pip install "zeropoint[all]"` installs what is required to {"; to ".join(uses)}'
        )
    return hints
