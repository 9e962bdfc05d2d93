"""The command line: one command per verb, which parses options, calls it and prints the result.

Heavy modules are imported inside the functions that need them, so that `--help` is fast.
"""

import os
import sys
from collections.abc import Sequence

import typer

from zeropoint._version import __version__
from zeropoint.cli.commands import (
    bench,
    calibrate,
    card,
    compare,
    demo,
    doctor,
    drift,
    explain,
    heal,
    inspect,
    ladder,
    measure,
    plan,
    quantize,
    report,
    run,
    search,
    serve,
    studio,
    tasks,
    train,
)
from zeropoint.cli.exits import Exits
from zeropoint.cli.output import show_warnings
from zeropoint.cli.verb import Program, Verb

COMPLETION_VARIABLE = "_ZEROPOINT_COMPLETE"  # set by the shell's completion script

app = typer.Typer(
    name="zeropoint",
    cls=Program,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(requested: bool) -> None:
    """Print the version and exit, if `--version` was given."""
    if requested:
        typer.echo(f"zeropoint {__version__}")
        raise typer.Exit


@app.callback()
def every_verb(
    version: bool = typer.Option(
        False, "--version", help="Print the version and exit.", callback=show_version, is_eager=True
    ),
) -> None:
    """Quantize open-weight language models, and measure what it costs.

    Start with `zeropoint demo`: it quantizes a small model and measures the loss, in about a
    minute.
    """


demo.register(app)
inspect.register(app)
explain.register(app)
plan.register(app)
quantize.register(app)
search.register(app)
heal.register(app)
train.register(app)
calibrate.register(app)
measure.register(app)
compare.register(app)
drift.register(app)
tasks.register(app)
ladder.register(app)
report.register(app)
card.register(app)
studio.register(app)
run.register(app)
serve.register(app)
bench.register(app)
doctor.register(app)
for registered in app.registered_commands:  # set in one place, so that no command lacks it
    registered.cls = Verb


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status (see `exits`)."""
    exits = Exits()
    show_warnings()
    with exits:
        command = typer.main.get_command(app)
        if COMPLETION_VARIABLE in os.environ:
            command.main(prog_name="zeropoint")  # prints completions, and exits
        words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
        with command.make_context("zeropoint", words) as context:
            command.invoke(context)
    return exits.code


__all__ = ["app", "main"]
