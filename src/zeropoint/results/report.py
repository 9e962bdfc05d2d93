"""Result of `report`: the page that was written."""

from dataclasses import dataclass

from zeropoint.results.schema import Record


@dataclass(frozen=True)
class ReportResult(Record):
    """A report or a walk, written as one HTML file."""

    #: Path of the page.
    output: str
    #: Size of the page.
    bytes: int
    #: Run folders and models on the page, as they were given.
    runs: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<ReportResult {self.output}: {self.bytes} bytes, of {', '.join(self.runs)}>"
