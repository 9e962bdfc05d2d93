"""Everything that can go wrong for a reason outside our code, as one tree.

    ZeropointError
    ├── FormatError         these numbers cannot be stored in that format
    ├── CheckpointError     this file is not what it claims to be (path, offset, field)
    ├── RecipeError         this recipe does not parse or does not apply (line)
    ├── UnsupportedModel    this architecture, tokenizer or operation is not known here
    │   └── MissingPackage  an optional package is not installed
    ├── MeasurementError    these two models or texts cannot be compared
    ├── InfeasibleBudget    no choice of formats is small enough (smallest possible size)
    ├── OutputError         an output would replace an input, or a file that must stay
    └── NotEnoughSpace      the disk is too small, refused before starting

A message is one sentence: what, where, which rule, and what would work. The command line prints
it on stderr and exits with 2, or with 1 for InfeasibleBudget, which is a negative answer. A bug of
ours is any other exception; it exits with 70.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

MAX_MESSAGE_CHARACTERS = 290  # characters; with "error: " in front a message stays under 300
MAX_PATH_CHARACTERS = 140  # of which a path may take so many, its end being the telling part


def printable(text: str, limit: int = 64) -> str:
    """Return text from a file as it may stand in a message: escaped, and at most `limit` long.

    Whatever a terminal could obey (control characters, direction marks, surrogates) is escaped.

    >>> printable("a\\x1b[2J")
    'a\\\\x1b[2J'
    >>> printable("abcdefgh", 5)
    'ab…gh'
    """
    if len(text) > 2 * limit:  # a hostile string may have 16 MiB: cut before escaping
        text = text[:limit] + text[-limit:]
    if not text.isprintable():
        text = "".join(
            c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
        )
    if len(text) <= limit:
        return text
    return text[: limit // 2] + "…" + text[len(text) - (limit - 1) // 2 :]


class ZeropointError(Exception):
    """The root: catch this to catch everything that is the input's fault and not ours."""


class FormatError(ZeropointError):
    """Numbers that a format cannot hold: wrong row length, a non-finite weight, wrong dtype."""


class CheckpointError(ZeropointError):
    """A file that is malformed, truncated or inconsistent.

    `offset` is the byte at which the reader stopped, `field` what it was reading there. The message
    is one line, "FILE: byte OFFSET (FIELD): REASON", of at most 290 printable characters. It is cut
    here and not only by the command line, so that a long path or reason never hides the offset.
    """

    def __init__(
        self, path: Path | str, reason: str, *, offset: int | None = None, field: str | None = None
    ) -> None:
        self.path = Path(path)
        self.reason = reason
        self.offset = offset
        self.field = field
        where = ""
        named = printable(field) if field else ""
        if offset is not None:
            where = f"byte {offset}" + (f" ({named})" if named else "") + ": "
        elif named:
            where = f"{named}: "
        file = str(path)
        if len(file) > MAX_PATH_CHARACTERS:
            file = "…" + file[1 - MAX_PATH_CHARACTERS :]
        start = f"{printable(file, 2 * MAX_PATH_CHARACTERS)}: {where}"
        super().__init__(start + printable(reason, max(MAX_MESSAGE_CHARACTERS - len(start), 1)))

    def __reduce__(self) -> tuple[object, ...]:  # so that it survives the way between processes
        return _rebuild, (self.path, self.reason, self.offset, self.field)


def _rebuild(path: Path, reason: str, offset: int | None, field: str | None) -> CheckpointError:
    return CheckpointError(path, reason, offset=offset, field=field)


class RecipeError(ZeropointError):
    """A recipe that does not parse, or names what does not exist. `line` counts from 1."""

    def __init__(self, reason: str, *, line: int | None = None) -> None:
        self.line = line
        super().__init__(f"line {line}: {reason}" if line is not None else reason)


class UnsupportedModel(ZeropointError):
    """An architecture, tokenizer or operation that zeropoint does not support."""


#: The extra of this package with which pip installs an optional package.
EXTRAS = {
    "tokenizers": "models",
    "jinja2": "models",
    "torch": "torch",
    "transformers": "torch",
    "lm_eval": "lm-eval",
    "starlette": "studio",
    "uvicorn": "studio",
    "llguidance": "grammar",
    "pygls": "lsp",
    "lsprotocol": "lsp",
}


class MissingPackage(UnsupportedModel):
    """An optional package is not installed."""

    def __init__(self, purpose: str, package: str, extra: str | None = None) -> None:
        package = package.partition(".")[0]
        extra = extra or EXTRAS.get(package, "all")
        super().__init__(
            f"{purpose} needs the package {package}, which is not installed:"
            f' pip install "zeropoint[{extra}]"'
        )


@contextmanager
def needs_packages(purpose: str, extra: str | None = None) -> Iterator[None]:
    """Raise MissingPackage where an import of an optional package fails inside.

    `extra` is the extra to name; None: that of the package in EXTRAS.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in EXTRAS:
            raise
        raise MissingPackage(purpose, error.name or "", extra) from None


class MeasurementError(ZeropointError):
    """Two models or texts that cannot be compared, or a figure that is not finite."""


class InfeasibleBudget(ZeropointError):
    """A budget that no choice of formats fits into. `smallest` is the smallest one that fits.

    Both are bytes of what the budget limits: a file, the memory of a running model, or tensors.
    """

    def __init__(self, reason: str, *, smallest: int) -> None:
        self.smallest = smallest
        super().__init__(reason)

    def __reduce__(self) -> tuple[object, ...]:
        return partial(type(self), smallest=self.smallest), self.args


class OutputError(ZeropointError):
    """An output that would replace an input, another output, or a file that must stay."""


class NotEnoughSpace(ZeropointError):
    """The output would not fit on its disk; nothing was written."""
