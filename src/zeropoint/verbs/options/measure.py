"""Options of `measure`, and those that `compare` and `ladder` share with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zeropoint.errors import MeasurementError
from zeropoint.verbs.options.checks import Count, check_minimums

if TYPE_CHECKING:
    from zeropoint.plans import Recipe


@dataclass(frozen=True, kw_only=True)
class DivergenceOptions:
    """Options of every measurement of KL divergence: the text, and where the scores are stored."""

    #: Text files, each of them one domain, or built-in text such as "builtin:code,long" (see
    #: `open_corpus`); None: "builtin".
    text: str | Path | Sequence[str | Path] | None = None
    #: Tokens per chunk; the second half of each chunk is scored.
    context: int = 512
    #: Maximum number of chunks, or "all"; None: 8, 16, 32, 64, 128 or all, as many as take about
    #: two minutes at the speed of the first one.
    chunks: Count = None
    #: Chunks that the noise floor is measured on; 0: no noise floor.
    floor_chunks: int = 4
    #: The run folder, which stores the scores of every position; an interrupted run resumes there.
    run: Path | None = None
    #: Threads to compute with; None: one for each processor.
    threads: int | None = None

    def __post_init__(self) -> None:
        """Raise MeasurementError for an option that is out of range."""
        check_minimums(self, chunks=1, floor_chunks=0, threads=1)


@dataclass(frozen=True, kw_only=True)
class MeasureOptions(DivergenceOptions):
    """Options of `measure`."""

    #: Quantize the model in memory and measure that: a preset, a format, or a recipe.
    to: "str | Recipe" = ""
    #: File with the importance to quantize with (imatrix); None: without importance.
    imatrix: Path | None = None
    #: Whether a model that is already quantized may be quantized again.
    requantize: bool = False
    #: How the quantized model stores keys and values: "f32" (exact), "f16", "q8_0", "q4_0", or
    #: "K/V" such as "q8_0/q4_0"; the reference stores them as F32. Unless it is "f32", `ref` and
    #: `to` may both be absent, and only the loss of the cache is measured.
    kv: str = "f32"
    #: Whether blocks of 8 and 4 bits hold rotated keys and values, as in llama.cpp.
    kv_rotation: bool = True
    #: Stop when the 95 % interval of the mean KL has this half-width, in nats per token. Without
    #: `chunks`, all of the text may then be read.
    until: float | None = None
    #: Folder for the reference's hidden states, so that other quantized models need no new pass.
    reference_cache: Path | None = None
    #: Store the loss in the metadata of the quantized model's file, which zeropoint must have
    #: written. Only fields that are reserved for it change.
    store: bool = False
    #: Conditions such as "kl.mean<0.05" that the 95 % interval has to satisfy.
    gates: str | Sequence[str] | None = None

    def __post_init__(self) -> None:
        """Raise MeasurementError for an option that is out of range."""
        super().__post_init__()
        if self.until is not None and not self.until > 0:
            raise MeasurementError(f"until (--until) must be greater than 0, not {self.until!r}")
        if self.store and self.kv.lower() != "f32":
            raise MeasurementError(
                "the loss that a file stores is that of its weights; leave out kv (--kv) or store"
                " (--store)"
            )
        if self.store and self.to:
            raise MeasurementError(
                "a model that is quantized in memory has no file to store a loss in; write it with"
                " `zeropoint quantize` first, or leave out store (--store)"
            )
