"""The folder in which an unfinished command keeps its state, beside its output."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def work_folder(output: Path) -> Path:
    """Return the folder of what an unfinished command has done."""
    return output.with_name(output.name + ".work")


@contextmanager
def state_folder(run: Path | None, output: Path) -> Iterator[Path]:
    """Yield the folder of a command's state: `run`, or one of our own.

    Ours is deleted when the block is complete; after an exception it stays, to be continued.
    """
    if run:
        yield run
        return
    work = work_folder(output)
    yield work
    shutil.rmtree(work, ignore_errors=True)
