"""Options for the limit of a model's size, which `search` and `quantize --to best` share."""

from typing import Annotated

import typer

from zeropoint.verbs.options.budget import Profile

Bits = Annotated[
    str | None,
    typer.Option(
        metavar="BITS",
        help="Limit: bits per weight of the whole file, such as 4.5; a tied matrix counts once."
        " For several budgets a list 2.4,3.4 or a range 2.5..5 (in steps of 0.5, or 2.5..5:0.25).",
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="Limit: size of the whole file, such as 900MB or 1.5GiB."),
]
RuntimeMemory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Limit: memory of the running model, with KV cache and buffers, such as 8GiB.",
    ),
]
DeviceLimit = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        help="Limit: usable memory of this device; `plan --all-devices` lists them.",
    ),
]
MemoryContext = Annotated[
    int,
    typer.Option(min=1, help="Tokens of context, for --runtime-memory and --device."),
]
ProfileOption = Annotated[
    Profile,
    typer.Option(
        help="Formats to choose from. any: all. cpu and gpu: without those that are slow there."
    ),
]
