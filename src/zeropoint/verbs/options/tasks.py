"""Options of `tasks`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zeropoint.verbs.options.checks import MODES, Count, check_minimums, normalize_choice


@dataclass(frozen=True, kw_only=True)
class AnswerOptions:
    """How models answer tasks."""

    #: Maximum number of tokens generated for an answer.
    tokens: int = 256
    #: Whether tasks are put as chat messages; None: if the model has a chat template.
    chat: bool | None = None
    #: Maximum number of answers generated at once.
    batch_size: int = 48
    #: "exact": float32 activations; "fast": activations rounded to 8 bits.
    mode: Literal["exact", "fast"] = "exact"
    #: Threads to compute with; None: one for each processor.
    threads: int | None = None

    def __post_init__(self) -> None:
        """Raise MeasurementError for an option that is out of range."""
        check_minimums(self, tokens=1, batch_size=1, threads=1)
        normalize_choice(self, "mode", MODES)


@dataclass(frozen=True, kw_only=True)
class TasksOptions(AnswerOptions):
    """Which tasks of a file are answered, how, and where the answers are stored."""

    #: Whether code that the models write is run, in a sandboxed process.
    allow_code: bool = False
    #: Only the first `count` tasks, or "all"; None: 8, 16, 32, 64, 128 or all, as many as take
    #: about two minutes at the speed of the first ones.
    count: Count = None
    #: The run folder, which stores all answers; an interrupted run continues from it.
    run: Path | None = None

    def __post_init__(self) -> None:
        """Raise MeasurementError for an option that is out of range."""
        super().__post_init__()
        check_minimums(self, count=1)
