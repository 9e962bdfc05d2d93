"""Result of `calibrate`: what was read, and how well it covers each matrix."""

from dataclasses import dataclass, field
from typing import Any

from zeropoint.results.chosen_count import ChosenCount
from zeropoint.results.schema import HIDDEN, OMIT, Record


@dataclass(frozen=True)
class TensorCoverage(Record):
    """Amount of calibration data for the inputs of one tensor."""

    name: str
    #: full; thin: few rows; partial: some experts have no data; empty: none has; missing: no entry.
    state: str
    #: Number of experts, or 1.
    matrices: int
    #: How many of them have no data: their columns all count the same.
    without: int
    #: How many of them have data from few rows.
    few: int
    #: Fewest and most rows that a matrix with data was given; (0, 0) if none has data.
    row_range: tuple[int, ...] = field(metadata={"key": "rows"})
    #: Columns that were always zero, in matrices that have data.
    dead_columns: int


@dataclass(frozen=True, kw_only=True)
class CalibrateResult(Record):
    """The importance matrix that `calibrate` wrote."""

    #: Path of the file.
    output: str
    #: Number of chunks of text that the model read.
    chunks: int
    #: chunks · context.
    tokens: int
    #: Tokens per chunk.
    context: int
    #: SHA-256 of the text.
    corpus: str
    domains: tuple[str, ...]
    #: Number of entries of the file.
    tensors: int
    #: The tensors of which less than everything is known.
    coverage: tuple[TensorCoverage, ...]
    #: Path of the folder with the second moments; None if they were not stored.
    second_moments: str | None = None
    #: The number of chunks, if it was chosen by the time of the first one.
    chosen_count: ChosenCount | None = field(default=None, metadata=OMIT)
    #: Number of matrices of the model, all states.
    matrices: int = field(default=0, metadata=HIDDEN)

    def __repr__(self) -> str:
        return (
            f"<CalibrateResult {self.output}: {self.tensors} tensors, {self.tokens} tokens,"
            f" {len(self.coverage)} tensors with thin or no data>"
        )

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each tensor of which less than everything is known."""
        return [tensor.to_json() for tensor in self.coverage]
