"""Options of `calibrate`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zeropoint.verbs.options.checks import Count, check_minimums


@dataclass(frozen=True, kw_only=True)
class CalibrateOptions:
    """Which text the model reads, and what is collected."""

    #: Text files, one domain per file, or built-in text such as "builtin:code"; None: "builtin".
    text: str | Path | Sequence[str | Path] | None = None
    #: Tokens per chunk; all of them count.
    context: int = 512
    #: Maximum number of chunks, or "all"; None: 32, 64, 128 or all, as many as take about two
    #: minutes at the speed of the first one.
    chunks: Count = None
    #: Folder for the second moments Σ x xᵀ of each input; None: they are not collected.
    second_moments: str | Path | None = None
    #: Replace the output if it exists.
    overwrite: bool = False
    #: Threads to compute with; None: one for each processor.
    threads: int | None = None

    def __post_init__(self) -> None:
        """Raise MeasurementError for an option that is out of range."""
        check_minimums(self, chunks=1, threads=1)
