"""Options of `quantize_checkpoint`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zeropoint.verbs.options.checks import check_minimums

if TYPE_CHECKING:
    from zeropoint.calibration import Calibration


@dataclass(frozen=True, kw_only=True)
class QuantizeOptions:
    """How the formats are chosen, and how the output is written."""

    #: Importance matrix, or its file; None: the errors of all columns count the same.
    imatrix: "str | Path | Calibration | None" = None
    #: Threads to encode with; None: one for each processor. The bytes do not depend on it.
    threads: int | None = None
    #: Use the preset's base format for every tensor, without its exceptions.
    pure: bool = False
    #: "PATTERN=FORMAT" for tensors whose name matches a regular expression; the first match counts.
    tensor_type: str | Sequence[str] | None = None
    #: Format of the output matrix; None: as the preset or recipe says.
    output_tensor_type: str | None = None
    #: Format of the token embedding; None: as the preset or recipe says.
    token_embedding_type: str | None = None
    #: Copy output.weight unchanged.
    leave_output_tensor: bool = False
    #: Accept a model that is already quantized.
    requantize: bool = False
    #: Write several files of at most this size, such as "2GiB"; None: one file.
    split_max_size: str | None = None
    #: Folder for the evidence: error, histogram and worst block of each tensor.
    run: str | Path | None = None
    #: Replace the output if it exists.
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Raise MeasurementError for an option that is out of range."""
        check_minimums(self, threads=1)
