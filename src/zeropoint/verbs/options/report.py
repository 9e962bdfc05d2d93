"""Options of `report`."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Which page is written."""

    #: Write the walk, an introduction to quantization on a real model, and not the report of runs.
    walk: bool = False
    #: Threads to run the models of a walk with; None: one for each processor.
    threads: int | None = None
