"""Encodes slabs of a tensor: the searched encoder, and then the rounding with error feedback."""

from dataclasses import dataclass

from zeropoint import kernels
from zeropoint.checkpoints import Checkpoint, TensorInfo
from zeropoint.errors import FormatError
from zeropoint.formats import F32, U8, Format
from zeropoint.quantizers.feedback_rounding import FeedbackRounding
from zeropoint.quantizers.slabs import Slab
from zeropoint.results.quantize import FeedbackResult

# Copied without a check of the values: float32 cannot hold all of them.
UNCHECKED_FORMATS = ("F64", "I8", "I16", "I32", "I64")


@dataclass(frozen=True)
class EncodedRows:
    """The blocks of some rows, and what feedback did to them; None for rounding to nearest."""

    blocks: U8
    change: FeedbackResult | None = None


@dataclass(frozen=True)
class SlabEncoder:
    """Encodes slabs of a checkpoint's tensors; an error names the tensor."""

    source: Checkpoint
    threads: int
    feedback: FeedbackRounding | None = None

    def encode(
        self, info: TensorInfo, slab: Slab, target: Format, weights: F32, importance: F32 | None
    ) -> EncodedRows:
        """Encode one slab, (rows, columns) float32.

        `importance` is (columns,) float32 of the slab's expert. Rows that an interrupted command
        rounded are not encoded again.
        """
        if self.feedback:
            stored = self.feedback.stored(info.name, slab.start, target)
            if stored is not None:
                return EncodedRows(stored.blocks, stored.change)
        try:
            blocks = kernels.encode(target, weights, importance, threads=self.threads)
        except FormatError as error:
            where = f"{info.name}, counted from row {slab.start}"
            raise FormatError(f"{self.source.path}: {where}: {error}") from None
        if self.feedback:
            place = info.name, slab.start, slab.expert
            recoded = self.feedback.recode(place, weights, blocks, target, self.threads)
            if recoded is not None:
                return EncodedRows(recoded.blocks, recoded.change)
        return EncodedRows(blocks)

    def check_finite(self, info: TensorInfo, slab: Slab, weights: F32) -> None:
        """Raise FormatError that names the first weight that is NaN or infinite."""
        if info.format.name in UNCHECKED_FORMATS:
            return
        first = kernels.first_not_finite(weights, threads=self.threads)
        if first is None:
            return
        row, column = divmod(first, weights.shape[1])
        raise FormatError(
            f"{self.source.path}: {info.name}: weight {slab.start * info.columns + first}"
            f" (row {slab.start + row}, column {column}) is {weights[row, column]}; a model with"
            " weights that are not finite is broken, so it is not written"
        )
