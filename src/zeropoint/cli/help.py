"""The help of a command: one column, which reads well on a terminal of 80 characters.

--chunks N|all
    Maximum number of chunks, or all. …
"""

import inspect
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import typer

MAX_WIDTH = 100  # longer lines are hard to read
INDENT = "    "
_BRACES = re.compile("[{}]")
_MARKUP = re.compile(r"\[/?bold\]")


def command_list(group: Any, context: Any, usage: str) -> str:
    """Return the help of the whole program: its commands by panel, one or two lines each."""
    width, colour = _screen()
    panels: dict[str, list[str]] = {}
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        summary = paragraphs(command.help or "")[0]
        rows = _wrapped(summary, width, f"  {name:<10} ", " " * 13)
        rows[0] = rows[0].replace(name, _styled(name, colour, fg="cyan"), 1)
        panels.setdefault(command.rich_help_panel or "Commands", []).extend(rows)
    lines = [*_wrapped(usage, width), ""]
    for paragraph in paragraphs(group.help or ""):
        lines += [*_wrapped(paragraph, width), ""]
    for panel, rows in panels.items():
        lines += [_styled(f"{panel}:", colour, bold=True), *rows, ""]
    lines += [_styled("Options:", colour, bold=True)]
    for parameter in group.params:
        lines += _option(parameter, width, colour)
    return "\n".join([*lines, "", "`zeropoint COMMAND --help` describes a command."])


def help_of(command: Any, usage: str) -> str:
    """Return the help of a command, as wide as the terminal but at most MAX_WIDTH characters.

    Headings and names are coloured if stdout is a terminal and NO_COLOR is not set.
    """
    width, colour = _screen()
    return "\n".join(_lines(command, usage, width, colour))


def _screen() -> tuple[int, bool]:
    """Return the width of the help, and whether it is coloured."""
    width = min(shutil.get_terminal_size((80, 24)).columns, MAX_WIDTH)
    return width, sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _styled(text: str, colour: bool, **style: Any) -> str:
    return typer.style(text, **style) if colour else text


def _lines(command: Any, usage: str, width: int, colour: bool) -> Iterator[str]:
    yield from _wrapped(_BRACES.sub("", usage).replace("......", "..."), width)
    after_example = False
    for paragraph in paragraphs(command.help or ""):
        is_example = paragraph.startswith("zeropoint ")
        if not is_example or not after_example:
            yield ""
        after_example = is_example
        if is_example:
            yield from _wrapped(paragraph, width, "  ", "      ")
        elif paragraph.endswith(":") and len(paragraph.split()) == 1:
            yield _styled(paragraph, colour, bold=True)
            after_example = True  # the first one follows directly
        else:
            yield from _wrapped(paragraph, width)
    shown = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    for heading, kind in (("Arguments", "argument"), ("Options", "option")):
        parameters = [one for one in shown if one.param_type_name == kind]
        if parameters:
            yield from ("", _styled(f"{heading}:", colour, bold=True))
        for parameter in parameters:
            yield from _option(parameter, width, colour)


def _option(parameter: Any, width: int, colour: bool) -> list[str]:
    """Return the lines of one parameter: its spelling, and below it what it does."""
    required = (
        "  (required)" if parameter.required and parameter.param_type_name == "option" else ""
    )
    words = " ".join(filter(None, (parameter.help, _range(parameter), _default(parameter))))
    return [
        f"  {_styled(title(parameter), colour, fg='cyan')}{required}",
        *_wrapped(words, width, INDENT + "  ", INDENT + "  "),
    ]


def paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a docstring, each as one line and without markup."""
    plain = _MARKUP.sub("", inspect.cleandoc(text)).replace("\\[", "[")
    return [" ".join(paragraph.split()) for paragraph in plain.split("\n\n") if paragraph.strip()]


def title(parameter: Any) -> str:
    """Return the spellings of an option with what follows it, or the name of an argument."""
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    names = [*sorted(parameter.opts, key=len), *parameter.secondary_opts]
    return ", ".join(names) + (f" {value}" if (value := _value(parameter)) else "")


def default_of(parameter: Any) -> str:
    """Return the default as words; empty for none."""
    value = parameter.default
    if value is None or value is False or value == "" or value == () or callable(value):
        return ""
    value = getattr(value, "value", value)
    return "on" if value is True else str(value)


def _default(parameter: Any) -> str:
    value = default_of(parameter)
    return f"Default: {value}." if value and "Default:" not in (parameter.help or "") else ""


def _value(parameter: Any) -> str:
    """Return what follows an option: its metavar, or its choices; empty for a flag."""
    if parameter.is_flag:
        return ""
    choices = parameter.type_descriptor.choices
    if choices and not parameter.metavar:
        return "|".join(str(getattr(choice, "value", choice)) for choice in choices)
    return str(parameter.metavar or "VALUE")


def _range(parameter: Any) -> str:
    """Return the range of a number as a sentence; empty for none."""
    if not parameter.type_descriptor.is_ranged:
        return ""
    info = parameter.type_descriptor.parameter_info
    low, high = info.min, info.max
    if low is not None and high is not None:
        return "" if f"{low} to {high}" in parameter.help else f"From {low} to {high}."
    return "" if low is None else f"At least {low}."


def _wrapped(text: str, width: int, first: str = "", rest: str = "") -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=rest,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
