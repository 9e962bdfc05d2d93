"""Options of `quantize_checkpoint`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from zeropoint.verbs.options.budget import BudgetOptions
from zeropoint.verbs.options.checks import check_minimums

if TYPE_CHECKING:
    from zeropoint.calibration import Calibration


Rounding = Literal["auto", "nearest", "feedback"]
Inputs = Literal["reference", "sequential"]
Effort = Literal["quick", "normal", "long"]

#: Maximum number of tokens of the calibration text, by effort.
EFFORT_TOKENS = {"quick": 8192, "normal": 32768, "long": 131072}


@dataclass(frozen=True, kw_only=True)
class QuantizeOptions(BudgetOptions):
    """How the formats are chosen, and how the output is written.

    The options of the limit and the profile are for `to="best"`.
    """

    #: Importance matrix, or its file; None: the errors of all columns count the same.
    imatrix: "str | Path | Calibration | None" = None
    #: Folder with second moments of the inputs, as `calibrate --second-moments` writes it. Without
    #: `imatrix`, their diagonals are the importance.
    calibration: str | Path | None = None
    #: Text files to collect second moments from, which are cached for later commands with the same
    #: model and text; None: no text.
    text: str | Path | Sequence[str | Path] | None = None
    #: "nearest": each weight gets the nearest code. "feedback": codes are chosen with error
    #: feedback; without `calibration` and `text` the built-in text is read. "auto": feedback for
    #: the formats that it is shown to improve, if `calibration` or `text` is given.
    rounding: Rounding = "auto"
    #: The inputs whose second moments feedback uses. "reference": those of the 16-bit model.
    #: "sequential": those that the quantized layers before a layer produce, from a text.
    inputs: Inputs = "reference"
    #: How much of the text is read: at most 8k tokens (quick), 32k (normal) or 128k (long).
    effort: Effort = "normal"
    #: Threads to encode with; None: one for each processor. The bytes do not depend on it.
    threads: int | None = None
    #: Use the preset's base format for every tensor, without its exceptions.
    pure: bool = False
    #: "PATTERN=FORMAT" for tensors whose name matches a regular expression; the first match counts.
    tensor_type: str | Sequence[str] | None = None
    #: Format of the output matrix; None: the format in the preset or recipe.
    output_tensor_type: str | None = None
    #: Format of the token embedding; None: the format in the preset or recipe.
    token_embedding_type: str | None = None
    #: Copy output.weight unchanged.
    leave_output_tensor: bool = False
    #: Accept a model that is already quantized.
    requantize: bool = False
    #: Write several files of at most this size, such as "2GiB"; None: one file.
    split_max_size: str | None = None
    #: Folder for the evidence: error, histogram and worst block of each tensor.
    run: str | Path | None = None
    #: Folder whose text to optimize for, with `to="best"`: a repository, or notes.
    for_folder: Path | None = None
    #: Replace the output if it exists.
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Raise MeasurementError for an option that is out of range."""
        check_minimums(self, threads=1, context=1)
