"""Options of `train`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zeropoint.errors import MeasurementError, OutputError
from zeropoint.verbs.options.checks import check_minimums, option_name

DEFAULT_FORMATS = ("NVFP4",)
DEMO_FORMATS = ("NVFP4", "TERNARY")
DEFAULT_RATE, DEFAULT_TUNING_RATE = 3e-3, 1e-4
MIN_CONTEXT = 32


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """What is trained, in which formats, and on which text."""

    #: One format or several: NVFP4, MXFP4, MXFP6, MXFP8, TERNARY or BF16; None: NVFP4.
    format: str | Sequence[str] | None = None
    #: Format of the baseline, trained on the same data from the same weights; "none": no baseline.
    against: str = "BF16"
    #: Model to continue training from; None: a new small model.
    model: str | Path | None = None
    #: Text files, or built-in text such as "builtin:code"; None: the sources of Python's standard
    #: library. A twentieth is held out.
    text: str | Path | Sequence[str | Path] | None = None
    #: Tokens that each run is trained on.
    tokens: int = 300_000
    #: Runs of each format, with other batches, random numbers and, if it is new, first weights.
    seeds: int = 1
    #: Tokens of a window; a step has four windows.
    context: int = 256
    #: Highest learning rate in bfloat16; None: 3e-3 for a new model, 1e-4 for an existing one.
    rate: float | None = None
    #: Also train each format without one ingredient of its recipe after the other.
    ablate: bool = False
    #: Train NVFP4 and TERNARY, whatever `format` says.
    demo: bool = False
    #: Folder with the state and the curves; None: a folder next to the output, which is deleted
    #: when the output is complete.
    run: Path | None = None
    #: Replace the output if it exists.
    overwrite: bool = False
    #: Threads to compute with; None: one for each processor. The bits of the result depend on it.
    threads: int | None = None

    def __post_init__(self) -> None:
        """Raise MeasurementError for an option that is out of range."""
        check_minimums(self, tokens=1, seeds=1, context=MIN_CONTEXT, threads=1)
        if self.context % MIN_CONTEXT:
            raise MeasurementError(
                f"{option_name('context')} must be a multiple of {MIN_CONTEXT}, the largest block,"
                f" not {self.context}"
            )
        if self.rate is not None and not 0 < self.rate < 1:
            raise MeasurementError(
                f"{option_name('rate')} must be between 0 and 1, not {self.rate!r}"
            )

    @property
    def formats(self) -> tuple[str, ...]:
        """The names of the formats to train, in capitals."""
        if self.demo:
            return DEMO_FORMATS
        names = [self.format] if isinstance(self.format, str) else self.format
        return tuple(dict.fromkeys(name.upper() for name in names or DEFAULT_FORMATS))

    @property
    def baseline(self) -> str | None:
        """The name of the baseline's format, or None."""
        return None if self.against.lower() == "none" else self.against.upper()

    def targets(self, output: Path) -> dict[str, Path]:
        """Return the file of each format: `output`, or with several formats one in that folder.

        Raises OutputError for a name that does not fit.
        """
        if len(self.formats) > 1:
            if output.suffix == ".gguf":
                raise OutputError(
                    f"{output}: several formats are written to a folder; leave out .gguf"
                )
            return {name: output / f"{name.lower()}.gguf" for name in self.formats}
        if output.suffix != ".gguf":
            raise OutputError(f"{output}: the name of the trained model must end in .gguf")
        return {name: output for name in self.formats}
