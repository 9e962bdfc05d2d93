"""Turns words typed into calls of the verbs below and prints what they yield.

Everything heavy is imported inside the verb that needs it, so that `--help` answers at once.
"""

import sys
from collections.abc import Sequence

import typer

from zeropoint._version import __version__
from zeropoint.cli.commands import (
    bench,
    calibrate,
    compare,
    demo,
    doctor,
    drift,
    explain,
    inspect,
    ladder,
    measure,
    plan,
    quantize,
    report,
    run,
    studio,
    tasks,
)
from zeropoint.cli.exits import Exits
from zeropoint.cli.output import show_warnings
from zeropoint.cli.verb import Verb

app = typer.Typer(
    name="zeropoint",
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        typer.echo(f"zeropoint {__version__}")
        raise typer.Exit


@app.callback()
def every_verb(
    version: bool = typer.Option(
        False, "--version", help="Print the version.", callback=show_version, is_eager=True
    ),
) -> None:
    """The best file at every size, with the loss measured and shown.

    Start with `zeropoint demo`: a real small model, made smaller, in about a minute.
    """


demo.register(app)
inspect.register(app)
explain.register(app)
plan.register(app)
quantize.register(app)
calibrate.register(app)
measure.register(app)
compare.register(app)
drift.register(app)
tasks.register(app)
ladder.register(app)
report.register(app)
studio.register(app)
run.register(app)
bench.register(app)
doctor.register(app)
for registered in app.registered_commands:  # here, so that no verb can forget it
    registered.cls = Verb


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code (see `exits`)."""
    exits = Exits()
    show_warnings()
    with exits:
        command = typer.main.get_command(app)
        words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
        with command.make_context("zeropoint", words) as context:
            command.invoke(context)
    return exits.code


__all__ = ["app", "main"]
