"""Prints the output of a command: data to stdout, everything else to stderr.

With `--json`, stdout carries exactly one object. Colour is used only on a terminal, and not at all
with NO_COLOR. Control characters in text from a model file are escaped before they are printed.
"""

import json
import logging
import math
import os
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, ClassVar, TextIO

import typer

from zeropoint._version import __version__

if TYPE_CHECKING:
    from rich.console import Console

LABEL_CHARACTERS = 13  # at the beginning of a line, such as "Noise floor  "
_LABEL = re.compile(r"(?=.{13}\S)(?: {13}|[A-Z][a-z][a-zA-Z ]+  )")

AsJson = Annotated[
    bool, typer.Option("--json", help="Print the result as one JSON object on stdout.")
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="Print only the result, warnings and errors: no notes, and no progress unless"
        " --progress asks for it.",
    ),
]


class ProgressStyle(StrEnum):
    """How progress is shown on stderr.

    auto    a bar on a terminal, otherwise plain
    plain   one line per tenth of the work
    json    one JSON object per record and line
    none    nothing
    """

    auto = "auto"
    plain = "plain"
    json = "json"
    none = "none"


AsProgress = Annotated[
    ProgressStyle,
    typer.Option(
        "--progress",
        case_sensitive=False,
        help="How to show progress on stderr: auto is a bar on a terminal and plain elsewhere;"
        " plain prints a line per 10 % of the work; json prints an object per record.",
    ),
]


class Output:
    """Prints the output of a command in the form that its options select.

    `say` and `table` print text, and nothing with `--json`. `finish` prints the JSON
    object, and nothing without `--json`. A command therefore calls both and needs no condition.
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet

    def progress(self, style: ProgressStyle) -> ProgressStyle:
        """Return the progress style: `--quiet` disables `auto`, but not a style that was chosen.

        >>> Output(quiet=True).progress(ProgressStyle.auto).value
        'none'
        >>> Output(quiet=True).progress(ProgressStyle.json).value
        'json'
        """
        return ProgressStyle.none if self.quiet and style is ProgressStyle.auto else style

    def say(self, text: str = "", *, style: str = "") -> None:
        """Print a line of text on stdout; nothing with `--json`."""
        if not self.as_json:
            shown = hanging(printable(text), terminal_width())
            console(sys.stdout).print(shown, style=style or None)

    def note(self, text: str) -> None:
        """Print a remark or a next step on stderr; nothing with `--quiet`."""
        if not self.quiet:
            console(sys.stderr).print(printable(text), style="dim")

    def warn(self, text: str) -> None:
        """Print a warning on stderr, with `--quiet` too."""
        console(sys.stderr).print("warning: " + printable(text), style="yellow")

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Print a table on stdout.

        A column whose name begins with ">" is aligned to the right. One with "?" is left out on a
        terminal that is too narrow for the table, from right to left.
        """
        if self.as_json:
            return
        columns, rows = fitting_columns(columns, list(rows), terminal_width())
        from rich.table import Table
        from rich.text import Text

        grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for name in columns:
            right = name.startswith(">")
            grid.add_column(
                Text(name.removeprefix(">")),
                justify="right" if right else "left",
                no_wrap=right,
                overflow="fold",  # nothing of a name or a hash is lost
            )
        for row in rows:
            grid.add_row(*(Text(printable(cell)) for cell in row))
        screen = console(sys.stdout)
        if screen.is_terminal:
            screen.print(grid)
            return
        with screen.capture() as captured:
            screen.print(grid)
        for line in captured.get().splitlines():
            print(line.rstrip())

    def finish(self, verb: str, result: Mapping[str, object]) -> None:
        """Print the JSON object of a command's result; nothing without `--json`."""
        if self.as_json:
            head = {"schema": f"zeropoint.{verb}/1", "zeropoint": __version__}
            warned = {"warnings": _Warnings.texts} if _Warnings.texts else {}
            for piece in json_pieces({**head, **result, **warned}):
                print(piece, end="")
            print()


def hanging(text: str, width: int | None) -> str:
    """Return a text whose long lines continue below their text, not below their label.

    A label, such as "Verdict", takes the first LABEL_CHARACTERS characters of a line.

    >>> print(hanging("Verdict      the text that follows the label", 30))
    Verdict      the text that
                 follows the label
    """
    lines = []
    for line in text.split("\n"):
        labelled = _LABEL.match(line) is not None
        if width is None or not labelled or len(line) <= width or width < 2 * LABEL_CHARACTERS:
            lines.append(line)
            continue
        label, rest = line[:LABEL_CHARACTERS], line[LABEL_CHARACTERS:]
        lines += textwrap.wrap(
            rest, width, initial_indent=label, subsequent_indent=" " * LABEL_CHARACTERS,
            break_on_hyphens=False,
        )  # fmt: skip
    return "\n".join(lines)


def terminal_width() -> int | None:
    """Return the width of the terminal that stdout is; None for a pipe or a file."""
    return console(sys.stdout).width if sys.stdout.isatty() else None


def fitting_columns(
    columns: Sequence[str], rows: Sequence[Sequence[object]], width: int | None
) -> tuple[list[str], list[list[object]]]:
    """Return a table without the optional columns that do not fit into `width` characters.

    >>> fitting_columns(["Name", ">?Median", ">?Max"], [["all", 1.5, 2.5]], 12)
    (['Name', '>Median'], [['all', 1.5]])
    """
    widths = [
        2 + max([len(name.lstrip(">?")), *(len(str(row[at])) for row in rows)])
        for at, name in enumerate(columns)
    ]
    kept = list(range(len(columns)))
    for at in reversed(range(len(columns))):
        optional = columns[at].lstrip(">").startswith("?")
        if width is not None and optional and sum(widths[i] for i in kept) - 2 > width:
            kept.remove(at)
    return [columns[at].replace("?", "", 1) for at in kept], [
        [row[at] for at in kept] for row in rows
    ]


def json_pieces(result: Mapping[str, object]) -> Iterator[str]:
    """Yield the text of an object's JSON, indented by two spaces.

    A value that is an iterator becomes a list, whose items are encoded one at a time.

    >>> print("".join(json_pieces({"a": [1], "rows": iter([{"b": 2}])})).replace("\\n", ""))
    {  "a": [    1  ],  "rows": [    {      "b": 2    }  ]}
    """

    def encode(value: object, depth: int) -> str:
        text = json.dumps(plain(value), indent=2, ensure_ascii=False)
        return text.replace("\n", "\n" + "  " * depth)

    comma = "{"
    for key, value in result.items():
        yield f"{comma}\n  {json.dumps(key)}: "
        comma = ","
        if not isinstance(value, Iterator):
            yield encode(value, 1)
            continue
        row_comma = "["
        for row in value:
            yield f"{row_comma}\n    {encode(row, 2)}"
            row_comma = ","
        yield "[]" if row_comma == "[" else "\n  ]"
    yield "\n}"


def console(stream: TextIO) -> "Console":
    """Return a rich console for `stream`, without markup; only a terminal gets escape codes."""
    from rich.console import Console

    colour = stream.isatty() and not os.environ.get("NO_COLOR")
    return Console(
        file=stream,
        markup=False,
        emoji=False,
        highlight=False,
        soft_wrap=not stream.isatty(),
        color_system="auto" if colour else None,
        force_terminal=None if stream.isatty() else False,
        # A pipe has no width, so nothing is cut or wrapped there.
        width=None if stream.isatty() else 10_000,
    )


def printable(value: object) -> str:
    """Return `value` as text in which control characters, except newlines, are escaped.

    A tensor's name or a file's description could otherwise move the cursor or change the title of
    the terminal.

    >>> printable("attn" + chr(27) + "[2J")
    'attn\\\\x1b[2J'
    """
    text = str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def plain(value: object) -> object:
    """Return `value` with types that JSON has: numpy values as numbers, NaN as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


class _Warnings(logging.Handler):
    """Prints each log message of the package once, such as a model setting that is ignored."""

    texts: ClassVar[list[str]] = []  # of this command, for the JSON object

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text not in self.texts:
            self.texts.append(text)
            Output().warn(text)


def show_warnings() -> None:
    """Print the package's log messages of level WARNING and above on stderr.

    With `--json`, the object lists them under `warnings` as well.
    """
    _Warnings.texts.clear()
    logger = logging.getLogger("zeropoint")
    if not any(isinstance(handler, _Warnings) for handler in logger.handlers):
        logger.addHandler(_Warnings(logging.WARNING))
