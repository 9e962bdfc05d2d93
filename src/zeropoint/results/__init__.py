"""Typed results of every verb, their JSON, and the run store that keeps them.

A verb returns a frozen record, as `result.kl.mean`, with documented units. The same record
is written to a run folder and read back by `read_run`, the only reader of a run.json.
"""

from zeropoint.results.bench import BenchResult
from zeropoint.results.divergence import CompareResult, LadderResult, MeasureResult
from zeropoint.results.drift import DriftResult
from zeropoint.results.interval import Interval
from zeropoint.results.quantize import QuantizeResult
from zeropoint.results.run_store import RunFolder
from zeropoint.results.runs import Run, finished_runs, read_run
from zeropoint.results.tasks import AcrossResult, HarnessResult, TasksResult

__all__ = [
    "AcrossResult",
    "BenchResult",
    "CompareResult",
    "DriftResult",
    "HarnessResult",
    "Interval",
    "LadderResult",
    "MeasureResult",
    "QuantizeResult",
    "Run",
    "RunFolder",
    "TasksResult",
    "finished_runs",
    "read_run",
]
