"""Everything that can go wrong for a reason outside our code, as one tree.

    ZeropointError
    ├── FormatError         these numbers cannot be stored in that format
    ├── CheckpointError     this file is not what it claims to be (path, offset, field)
    ├── RecipeError         this recipe does not parse or does not apply (line)
    ├── UnsupportedModel    this architecture, tokenizer or operation is not known here
    ├── MeasurementError    these two models or texts cannot be compared
    └── NotEnoughSpace      the disk is too small, refused before starting

A message is one sentence: what, where, which rule, and what would work. The command line prints
it on stderr and exits with 2. A bug of ours is any other exception; it exits with 70.
"""

from pathlib import Path


class ZeropointError(Exception):
    """The root: catch this to catch everything that is the input's fault and not ours."""


class FormatError(ZeropointError):
    """Numbers that a format cannot hold: wrong row length, a non-finite weight, wrong dtype."""


class CheckpointError(ZeropointError):
    """A file that is malformed, truncated or inconsistent.

    `offset` is the byte at which the reader stopped, `field` what it was reading there.
    """

    def __init__(
        self, path: Path | str, reason: str, *, offset: int | None = None, field: str | None = None
    ) -> None:
        self.path = Path(path)
        self.reason = reason
        self.offset = offset
        self.field = field
        where = ""
        if offset is not None:
            where = f"byte {offset}" + (f" ({field})" if field else "") + ": "
        elif field:
            where = f"{field}: "
        super().__init__(f"{path}: {where}{reason}")


class RecipeError(ZeropointError):
    """A recipe that does not parse, or names what does not exist. `line` counts from 1."""

    def __init__(self, reason: str, *, line: int | None = None) -> None:
        self.line = line
        super().__init__(f"line {line}: {reason}" if line is not None else reason)


class UnsupportedModel(ZeropointError):
    """An architecture, tokenizer or operation that zeropoint does not know."""


class MeasurementError(ZeropointError):
    """Two models or texts that cannot be compared, or a figure that is not finite."""


class NotEnoughSpace(ZeropointError):
    """The output would not fit on its disk; nothing was written."""
