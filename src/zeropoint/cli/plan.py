"""`plan`: what fits on which machine, how fast, and whether bigger at fewer bits beats smaller."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zeropoint.cli import plan_page as page
from zeropoint.cli.output import AsJson, Output, Quiet

if TYPE_CHECKING:
    from zeropoint.plans.here import Here
    from zeropoint.plans.machines import Device
    from zeropoint.plans.ranking import Question, Result

GB = 10**9


def register(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Look")(plan)


def plan(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL",
            help="A file, a folder, a config.json, a hub id (only headers are read), or a size:"
            " 27B, 30B-A3B, 1T. 27B:Q4_K_M: in this format.",
        ),
    ] = None,
    device: Annotated[
        list[str] | None,
        typer.Option("--device", metavar="NAME", help="rtx3090, m4-max-40c-128gb, here, …"),
    ] = None,
    memory: Annotated[
        str, typer.Option(metavar="SIZE", help="Memory of a device that has no name: 24GiB.")
    ] = "",
    bandwidth: Annotated[
        float | None, typer.Option(metavar="GB/S", help="Its bandwidth; without it no speed.")
    ] = None,
    all_devices: Annotated[
        bool, typer.Option("--all-devices", help="On every device that is known.")
    ] = False,
    cheapest: Annotated[
        bool, typer.Option("--cheapest", help="The cheapest device that runs it.")
    ] = False,
    ctx: Annotated[str, typer.Option(help="Tokens of context for each user: 16k.")] = "4k",
    kv: Annotated[
        str, typer.Option(help="Format of the KV cache: f16, q8_0, q4_0, or K/V as q8_0/q4_0.")
    ] = "f16",
    users: Annotated[int, typer.Option(help="Sequences that run at once.")] = 1,
    to: Annotated[
        list[str] | None,
        typer.Option("--to", metavar="FORMAT", help="Plan for these presets or formats."),
    ] = None,
    objective: Annotated[
        str, typer.Option(help="What the best is best at: loss, speed or context.")
    ] = "loss",
    batch: Annotated[
        int, typer.Option(help="Tokens of a prompt computed at once (llama.cpp's -ub).")
    ] = 512,
    full_windows: Annotated[
        bool,
        typer.Option("--swa-full", help="Keep all positions of sliding windows too."),
    ] = False,
    flash: Annotated[bool, typer.Option(help="Flash attention.")] = True,
    host: Annotated[
        str, typer.Option(metavar="NAME", help="The machine around a GPU that is too small.")
    ] = "ddr5-5600-64gb",
    ram: Annotated[str, typer.Option(metavar="SIZE", help="Its memory, if another.")] = "",
    ssd: Annotated[float, typer.Option(metavar="GB/S", help="What its SSD reads.")] = 7.0,
    runs: Annotated[
        list[Path] | None,
        typer.Option(
            "--runs", metavar="DIR", help="Run folders of measure and bench. Default: ./runs"
        ),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """What fits on which machine, with which context, how fast; bigger at fewer bits or smaller.

    Weights are counted exactly; so are caches (grouped heads, windows, MLA, recurrent layers),
    and buffers are llama.cpp's. Speeds say how they are known: measured here, calibrated by your
    own bench runs, or estimated with a band. Without --device: this machine.
    Exit code 1 if nothing fits.

    [bold]Examples:[/bold]

    zeropoint plan model-Q4_K_M.gguf --ctx 32k --kv q8_0

    zeropoint plan 27B 14B 8B --device rtx3060-12gb --ctx 16k

    zeropoint plan org/name --all-devices

    zeropoint plan 1T --device rtx5090 --host epyc-12ch-1152gb --to Q4_K_M
    """
    from zeropoint.errors import RecipeError
    from zeropoint.plans import ranking
    from zeropoint.plans.advice import refusal
    from zeropoint.plans.machines import HERE
    from zeropoint.plans.subjects import describe

    out = Output(as_json=as_json, quiet=quiet)
    if not models:
        if not all_devices:
            raise typer.BadParameter("name a model: a file, a hub id, or a size such as 27B")
        page.show_devices(out)
        return
    question = ask(
        ctx=ctx, kv=kv, users=users, batch=batch, full_windows=full_windows, flash=flash,
        objective=objective, to=to, host=host, ram=ram, ssd=ssd, runs=runs,
    )  # fmt: skip
    named = bool(memory or all_devices or cheapest or bandwidth is not None)
    slugs = device or ([] if named else [HERE])
    machine = this_machine(out) if HERE in slugs else None
    question.evidence.here = machine
    where = choose_devices(slugs, machine, memory, bandwidth, all_devices or cheapest)
    asked = [describe(text) for text in models]
    results: list[Result] = []
    for subject, format in asked:
        formats = (format,) if format else question.formats
        results += ranking.plan([subject], where, replace(question, formats=formats))
    if not results:
        raise RecipeError("none of these models can be in any of these formats")
    order = ranking.cheapest(results) if cheapest else ranking.ranked(results, objective)
    page.show(out, order, question, subjects=[subject for subject, _ in asked], cheapest=cheapest)
    refused = None if any(result.fits for result in results) else refusal(results, question)
    out.finish("plan", page.as_result(order, question, refused))
    if refused:
        page.explain_refusal(refused)
        raise typer.Exit(1)


def ask(
    *,
    ctx: str,
    kv: str,
    users: int,
    batch: int,
    full_windows: bool,
    flash: bool,
    objective: str,
    to: list[str] | None,
    host: str,
    ram: str,
    ssd: float,
    runs: list[Path] | None,
) -> "Question":
    """Turn options into a question."""
    from zeropoint.errors import RecipeError
    from zeropoint.plans import parse_count, parse_size
    from zeropoint.plans.evidence import Evidence
    from zeropoint.plans.machines import described, find_device
    from zeropoint.plans.memory import Demand, parse_cache
    from zeropoint.plans.placement import Host
    from zeropoint.plans.ranking import Question

    keys, values = parse_cache(kv)
    if not 0 < ssd < 1000:
        raise RecipeError("--ssd is GB/s above 0, such as 7")
    behind = find_device(host)
    if ram:
        behind = described(parse_size(ram), None, base=behind)
    folders = runs if runs is not None else [Path("runs")]
    for folder in runs or ():
        if not folder.is_dir():
            raise RecipeError(f"{folder} is no folder of runs")
    demand = Demand(
        context=parse_count(ctx), users=users, keys=keys, values=values, batch=batch,
        full_windows=full_windows, flash=flash,
    )  # fmt: skip
    formats = tuple(part for text in to or () for part in text.split(",") if part)
    return Question(
        demand=demand, objective=objective, formats=formats,
        host=Host(ram=behind, ssd_bandwidth=ssd * GB), evidence=Evidence(folders),
    )  # fmt: skip


def this_machine(out: Output) -> "Here | None":
    """Return this machine, measured now if it was not before."""
    from zeropoint.plans.here import measure_here, remembered

    found = remembered()
    if found is None:
        out.note("measuring this machine once, some seconds …")
        found = measure_here()
    return found


def choose_devices(
    names: list[str],
    machine: "Here | None",
    memory: str,
    bandwidth: float | None,
    everything: bool,
) -> "list[Device]":
    """Return the devices that are asked about."""
    from zeropoint.errors import RecipeError
    from zeropoint.plans import parse_size
    from zeropoint.plans.machines import HERE, described, devices, find_device

    if everything:
        return list(devices().values())
    found = []
    for name in names:
        if name != HERE:
            found.append(find_device(name))
        elif machine is not None:
            found.append(machine.device)
        else:
            raise RecipeError(
                "this machine cannot be measured without the compiled kernels; name one with"
                " --device, or --memory 24GiB --bandwidth 936"
            )
    if memory:
        speed = bandwidth * GB if bandwidth is not None else None
        size = parse_size(memory)
        bases: list[Device | None] = [*found] or [None]
        return [described(size, speed, base=base) for base in bases]
    if bandwidth is not None:
        raise RecipeError("--bandwidth belongs to --memory: --memory 24GiB --bandwidth 936")
    return found
