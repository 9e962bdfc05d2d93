"""Options of `ladder`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zeropoint.verbs.options.measure import DivergenceOptions

#: The levels of a ladder that names none.
DEFAULT_LEVELS = "16,8,6,5,4,3,2"


@dataclass(frozen=True, kw_only=True)
class LadderOptions(DivergenceOptions):
    """Options of `ladder`."""

    #: Levels, as a list or separated by commas: bits from 16 to 2, names of formats and presets.
    #: None: 16,8,6,5,4,3,2, or no level besides those of `with_`.
    levels: str | Sequence[str | int] | None = None
    #: "presets" adds llama.cpp's presets of different sizes; "best" adds, for each file among the
    #: levels, the recipe of at most its size that a quick search finds (its run folder is
    #: RUN-search); empty: adds nothing.
    with_: str | Sequence[str] = ""
    #: Which weights share a scale at a level of bits: G32, G128, ROW or TENSOR.
    share: str = "G32"
    #: File with the importance to quantize with (imatrix); None: without importance.
    imatrix: Path | None = None
    #: Whether a model that is already quantized may be quantized again.
    requantize: bool = False
