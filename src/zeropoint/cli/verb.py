"""The classes of all commands: they print help, and check parameters before a command runs."""

import math
from typing import Any

from typer import BadParameter, Context
from typer.core import TyperCommand, TyperGroup

from zeropoint.cli.help import command_list, help_of
from zeropoint.cli.paths import check_paths
from zeropoint.cli.renamed_options import with_current_names

MAX_INTEGER = 2**31 - 1
MAX_SEED = 2**64 - 1
MAX_THREADS = 1024  # more threads may fail to start


class Verb(TyperCommand):
    """A command whose parameters are checked before it is called."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        parameters: list[Any] = self.params
        for parameter in parameters:
            numeric = parameter.type_descriptor.annotation in (int, float)
            if parameter.metavar is None and numeric:
                parameter.metavar = "N"  # the help shows the range behind it

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words of a command line; options may have their old names."""
        return super().parse_args(ctx, with_current_names(self.name or "", args))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help in one column."""
        formatter.write(help_of(self, self.get_usage(ctx)) + "\n")

    def invoke(self, ctx: Any) -> Any:
        """Check the parameters, then call the command. Raises BadParameter or OutputError."""
        check_numbers(ctx)
        check_paths(self, ctx.params)
        return super().invoke(ctx)


class Program(TyperGroup):
    """All commands."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands."""
        formatter.write(command_list(self, ctx, self.get_usage(ctx)) + "\n")


def check_numbers(ctx: Context) -> None:
    """Check that every number is finite and not too large. Raises BadParameter.

    An option's own range states which values make sense. These bounds apply to all other numbers,
    so that none overflows an integer or turns into infinity in a computation.
    """
    for parameter in ctx.command.params:
        value = ctx.params.get(parameter.name or "")
        name = " / ".join(parameter.opts)
        for number in value if isinstance(value, list | tuple) else [value]:
            if isinstance(number, float) and not math.isfinite(number):
                raise BadParameter(f"{number} is not a finite number", ctx, param_hint=name)
            if isinstance(number, int) and abs(number) > (limit := _limit(parameter.name)):
                raise BadParameter(f"the maximum is {limit}", ctx, param_hint=name)


def _limit(name: str | None) -> int:
    return {"seed": MAX_SEED, "threads": MAX_THREADS}.get(name or "", MAX_INTEGER)
