"""Write `cli.md` from the command line itself: python docs/cli_page.py (a test compares)."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from zeropoint.cli import app

HERE = Path(__file__).parent
HEAD = """# The command line

Generated from the program by `python docs/cli_page.py`; a test holds them equal.

Data goes to stdout, everything else (progress, notes, warnings, errors) to stderr. With `--json`
stdout carries one object; its keys stay. No colour in a pipe, none at all with `NO_COLOR`.

| Exit code | Meaning |
|---|---|
| 0 | done, or yes |
| 1 | done, and the answer is no: does not fit, gate failed, verify mismatch |
| 2 | could not do it: usage, bad input, disk full, out of memory |
| 70 | a bug of ours; `ZEROPOINT_DEBUG=1` adds the traceback |
| 130 | interrupted (Ctrl-C or SIGTERM); no existing file was changed |

| Variable | Meaning |
|---|---|
| `ZEROPOINT_CPU` | `baseline`, `avx2` or `avx512`: use no more than that |
| `ZEROPOINT_DEBUG` | show the traceback of a bug |
| `NO_COLOR` | no colour |
| `HF_HUB_OFFLINE` | take models of the hub from its cache only |
| `XDG_CACHE_HOME` | where the demo model is kept (default `~/.cache`) |
"""


def render() -> str:
    """Return the whole page."""
    command: Any = typer.main.get_command(app)
    with command.make_context("zeropoint", ["doctor"], resilient_parsing=True) as context:
        parts = [HEAD, *(verb(command.commands[name]) for name in command.list_commands(context))]
    return "\n".join(parts)


def verb(command: Any) -> str:
    """Return the section of one verb."""
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    usage = " ".join(
        ["zeropoint", command.name, *map(placeholder, arguments), "[OPTIONS]" * bool(options)]
    )
    lines = [f"## {command.name}", "", *paragraphs(command.help), "", f"`{usage}`", ""]
    lines += ["| | | |", "|---|---|---|"]
    lines += [row(f"`{p.metavar or p.name.upper()}`", "", p.help) for p in arguments]
    lines += [row(names(p), default(p), p.help) for p in options]
    return "\n".join(lines) + "\n"


def paragraphs(text: str) -> Iterator[str]:
    """Turn a docstring into Markdown: examples become code."""
    for line in inspect.cleandoc(text).splitlines():
        plain = re.sub(r"\[(?:bold)\](.*?)\[/(?:bold)\]", r"\1", line).replace("\\[", "[")
        yield f"    {plain.strip()}" if plain.strip().startswith("zeropoint ") else plain


def placeholder(parameter: Any) -> str:
    """Return an argument as it stands in a usage line."""
    name = parameter.metavar or parameter.name.upper()
    name += "..." if parameter.nargs == -1 or parameter.multiple else ""
    return name if parameter.required else f"[{name}]"


def names(parameter: Any) -> str:
    """Return the spellings of an option, with what follows it."""
    spelled = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    return f"{spelled} {parameter.metavar}" if parameter.metavar else spelled


def default(parameter: Any) -> str:
    """Return the default as words; empty for none."""
    value = parameter.default
    if value is None or value is False or value == "" or value == () or callable(value):
        return ""
    value = getattr(value, "value", value)
    return f"default: {'on' if value is True else value}"


def row(*cells: str | None) -> str:
    """Return a line of a table."""
    return "| " + " | ".join((cell or "").replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    (HERE / "cli.md").write_text(render())
