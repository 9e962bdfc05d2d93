"""`plan`: what fits on which machine, how fast, and whether bigger at fewer bits beats smaller."""

from pathlib import Path
from typing import Annotated

import typer

from zeropoint.cli.output import AsJson, Output, Quiet
from zeropoint.cli.paths import InputRole
from zeropoint.cli.views import plan as page


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
        InputRole.MODEL,
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
        InputRole.NAMES,
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
        InputRole.MODEL,
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
    from zeropoint.plans.machines import this_machine as here
    from zeropoint.plans.machines.machines import HERE
    from zeropoint.plans.planner.as_json import as_record
    from zeropoint.plans.planner.planning import Asking, opened
    from zeropoint.plans.planner.planning import plan as answer

    out = Output(as_json=as_json, quiet=quiet)
    if not models:
        if not all_devices:
            raise typer.BadParameter("name a model: a file, a hub id, or a size such as 27B")
        page.show_devices(out)
        return
    options: Asking = {
        "memory": memory, "all_devices": all_devices, "cheapest": cheapest, "ctx": ctx, "kv": kv,
        "users": users, "to": to or (), "objective": objective, "batch": batch,
        "full_windows": full_windows, "flash": flash, "host": host, "ram": ram, "ssd": ssd,
    }  # fmt: skip
    if bandwidth is not None:
        options["bandwidth"] = bandwidth
    if runs is not None:
        options["runs"] = runs
    subjects, asked = [opened(text) for text in dict.fromkeys(models)], device or []
    other = memory or all_devices or cheapest or bandwidth is not None
    if (HERE in asked or not (asked or other)) and here.remembered() is None:
        out.note("measuring this machine once, some seconds …")
    found = answer(*subjects, device=asked, **options)
    page.show(out, found, cheapest=cheapest)
    out.finish("plan", as_record(found))
    if found.refusal:
        page.explain_refusal(found.refusal)
        raise typer.Exit(1)
