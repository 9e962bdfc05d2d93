"""`plan`: which models fit on which devices, how fast, and in which format."""

from pathlib import Path
from typing import Annotated

import typer

from zeropoint.cli.output import AsJson, Output, Quiet
from zeropoint.cli.paths import InputRole
from zeropoint.cli.views import plan as view
from zeropoint.verbs.options.plan import PlanOptions

DEFAULTS = PlanOptions()


def register(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(rich_help_panel="Look")(plan)


def plan(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL",
            help="A GGUF file, a model folder, a config.json, a hub id (only its headers are read),"
            " the name of a well-known model, such as Qwen3.5-27B, or a size: 27B, 30B-A3B, 1T."
            " A colon adds a format: 27B:Q4_K_M.",
        ),
        InputRole.MODEL,
    ] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(
            "--device",
            metavar="NAME",
            help="Device to plan for: rtx3090, m4-max-40c-128gb, or local for this machine."
            " Repeatable. Default: local.",
        ),
    ] = None,
    memory: Annotated[
        str,
        typer.Option(
            metavar="SIZE", help="Memory of a device without a name, such as 24GiB or 24GB."
        ),
    ] = "",
    bandwidth: Annotated[
        float | None,
        typer.Option(
            metavar="GB/S",
            help="Read bandwidth of that device in GB/s. Without it no speed is estimated.",
        ),
    ] = DEFAULTS.bandwidth,
    all_devices: Annotated[
        bool,
        typer.Option(
            "--all-devices",
            help="Plan for every device with a name. Without MODEL: list the devices.",
        ),
    ] = DEFAULTS.all_devices,
    cheapest: Annotated[
        bool,
        typer.Option(
            "--cheapest",
            help="Rank the devices on which the model fits by their price, with the memory per"
            " dollar.",
        ),
    ] = DEFAULTS.cheapest,
    price: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=USD",
            help="Price of a device in US dollars, such as rtx3090=900, instead of the price at its"
            " launch. Repeatable.",
        ),
    ] = None,
    ctx: Annotated[
        str,
        typer.Option(
            metavar="TOKENS",
            help="Context length of each user in tokens: a number such as 4096, 16k or 1M.",
        ),
    ] = str(DEFAULTS.context),
    kv: Annotated[
        str,
        typer.Option(
            metavar="FORMAT",
            help="Format of the KV cache: f16, q8_0, q4_0, … or K/V, such as q8_0/q4_0.",
        ),
    ] = DEFAULTS.kv,
    users: Annotated[
        int, typer.Option(help="Number of sequences that are generated at the same time.")
    ] = DEFAULTS.users,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            metavar="FORMAT",
            help="Presets or formats to plan for. Default: a quantized file as it is, any other"
            " model in nine presets from Q8_0 to IQ2_XXS.",
        ),
        InputRole.NAMES,
    ] = None,
    objective: Annotated[
        str,
        typer.Option(
            metavar="loss|speed|context", help="Rank the plans by loss, speed or context."
        ),
    ] = DEFAULTS.objective,
    batch: Annotated[
        int, typer.Option(help="Number of prompt tokens in one forward pass (llama.cpp's -ub).")
    ] = DEFAULTS.batch,
    full_windows: Annotated[
        bool,
        typer.Option(
            "--swa-full",
            help="Cache all positions also in layers with a sliding window, as llama.cpp's"
            " --swa-full does.",
        ),
    ] = DEFAULTS.full_windows,
    flash: Annotated[
        bool, typer.Option(help="Compute with flash attention, which needs smaller buffers.")
    ] = DEFAULTS.flash,
    host: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Machine whose RAM holds the part of a model that does not fit on the device.",
        ),
    ] = DEFAULTS.host,
    ram: Annotated[
        str,
        typer.Option(metavar="SIZE", help="RAM of that machine. Default: the RAM of --host."),
    ] = "",
    ssd: Annotated[
        float,
        typer.Option(metavar="GB/S", help="Read bandwidth of that machine's SSD in GB/s."),
    ] = DEFAULTS.ssd,
    runs: Annotated[
        list[Path] | None,
        typer.Option(
            "--runs",
            metavar="DIR",
            help="Run folders of measure, compare, tasks and bench, whose results replace"
            " estimates. Repeatable. Default: ./runs, if it exists.",
        ),
        InputRole.MODEL,
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show which models fit on which devices, with how much context, how fast and in which format.

    Weights and KV caches are counted exactly (grouped heads, sliding windows, MLA, recurrent
    layers); compute buffers follow llama.cpp. Each speed says what it is known from: measured on
    this machine, calibrated by your own bench runs, or estimated with a band.
    Exit status 1 if nothing fits.

    [bold]Examples:[/bold]

    zeropoint plan model-Q4_K_M.gguf --ctx 32k --kv q8_0

    zeropoint plan Qwen3.5-27B gpt-oss-20b --device rtx3090 --ctx 32k

    zeropoint plan 27B 14B 8B --device rtx3060-12gb --ctx 16k

    zeropoint plan org/name --all-devices

    zeropoint plan 27B:Q4_K_M --cheapest --price rtx3090=900

    zeropoint plan 1T --device rtx5090 --host epyc-12ch-1152gb --to Q4_K_M
    """
    out = Output(as_json=as_json, quiet=quiet)
    if not models and not all_devices:
        raise typer.BadParameter("name a model: a file, a hub id, or a size such as 27B")
    if not models:
        view.show_devices(out)
        return
    from zeropoint.verbs.plan import plan_models

    options = PlanOptions(
        device=device, memory=memory, bandwidth=bandwidth,
        all_devices=all_devices, cheapest=cheapest, price=price, context=ctx, kv=kv, users=users,
        to=to, objective=objective, batch=batch, full_windows=full_windows,
        flash=flash, host=host, ram=ram, ssd=ssd, runs=runs,
    )  # fmt: skip
    result = plan_models(models, options, progress=lambda started: view.note_benchmark(out))
    view.show(out, result, cheapest=cheapest or bool(price))
    out.finish("plan", result.to_json())
    if result.refusal:
        view.show_refusal(result.refusal)
        raise typer.Exit(1)
