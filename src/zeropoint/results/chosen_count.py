"""The number of chunks, prompts or tasks that a verb chose by the time of the first one."""

from dataclasses import dataclass
from pathlib import Path

from zeropoint.results.run_store import RunFolder
from zeropoint.results.schema import Record


@dataclass(frozen=True)
class ChosenCount(Record):
    """How much of its input a verb used, where no option gave the count."""

    #: What is counted, in the plural: "chunks", "windows", "prompts", "chains" or "tasks".
    unit: str
    #: 0 if even the fewest would take too long.
    count: int
    #: How many there are.
    available: int

    def problem(self) -> str:
        """The count lies within what there is."""
        return "" if 0 <= self.count <= self.available else "count is not from 0 to available"

    def save(self, folder: RunFolder | None) -> None:
        """Store the count in a run folder, which resumes with it."""
        if folder:
            folder.save_table(_table(self.unit), self.to_json())


def stored_count(path: Path | None, unit: str) -> ChosenCount | None:
    """Return the count that an earlier run in this folder chose; None if there is none.

    Raises CheckpointError if the folder is damaged.
    """
    if path is None or not (path / f"{_table(unit)}.json").exists():
        return None
    return RunFolder.open(path).load_record(_table(unit), ChosenCount)


def _table(unit: str) -> str:
    return f"chosen_{unit}"
