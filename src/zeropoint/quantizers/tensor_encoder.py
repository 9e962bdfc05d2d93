"""Encodes one tensor slab by slab, and sums up the errors of its slabs."""

from dataclasses import dataclass, field

from zeropoint import kernels
from zeropoint.checkpoints import NewTensor, TensorInfo
from zeropoint.errors import FormatError
from zeropoint.formats import F32, U8, Format, QuantizedTensor
from zeropoint.kernels import TranscodedRows
from zeropoint.quantizers.details import DetailsCollector
from zeropoint.quantizers.encoding import SlabEncoder
from zeropoint.quantizers.records import TensorWritten
from zeropoint.quantizers.slabs import Slab, cut_slabs
from zeropoint.results.quantize import FeedbackResult


@dataclass
class TensorEncoder:
    """Encodes one tensor slab by slab, in order. It reads and writes no file."""

    encoder: SlabEncoder
    info: TensorInfo
    target: Format
    #: (columns,) or (experts, columns)
    importance: F32 | None
    details: bool = False
    error: float = field(default=0.0, init=False)
    power: float = field(default=0.0, init=False)
    nbytes: int = field(default=0, init=False)
    change: FeedbackResult | None = field(default=None, init=False)
    collector: DetailsCollector | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.details and self.changes:
            self.collector = DetailsCollector(self.target, self.encoder.threads)

    @property
    def changes(self) -> bool:
        """Whether the format changes; if not, the bytes are copied."""
        return self.target.name != self.info.format.name

    @property
    def output(self) -> NewTensor:
        """The tensor in the target format."""
        return NewTensor(self.info.name, self.info.shape, self.target)

    def slabs(self) -> list[Slab]:
        """Return the slabs of the tensor; a tensor without rows has one slab without rows."""
        slabs = list(cut_slabs(self.info.shape, self.info.format, self.target))
        return slabs or [Slab(0, 0, 0)]

    def encode(self, slab: Slab, rows: QuantizedTensor) -> U8:
        """Return the blocks of a slab in the target format, (blocks, block_bytes)."""
        data = rows.data
        if not self.changes:
            self._finite_weights(slab, rows)
        elif data.size:
            data = self._encoded(slab, rows)
        self.nbytes += data.size
        return data

    def record(self, done: int) -> TensorWritten:
        """Return the record of the whole tensor. `done`: weights written, over all tensors."""
        return TensorWritten(
            name=self.info.name, shape=self.info.shape, source_format=self.info.format.name,
            format=self.target.name, source_bytes=self.info.nbytes, nbytes=self.nbytes,
            error=self.error, power=self.power, weighted=self.importance is not None, done=done,
            details=self.collector.details() if self.collector else None, feedback=self.change,
        )  # fmt: skip

    def _encoded(self, slab: Slab, rows: QuantizedTensor) -> U8:
        importance = self.importance
        if importance is not None and importance.ndim == 2:
            importance = importance[slab.expert]
        found = self._transcoded(rows, importance) or self._in_steps(slab, rows, importance)
        self.error += found.error
        self.power += found.power
        if self.collector:
            weights = self._finite_weights(slab, rows)
            decoded = self._decode(self.target, found.blocks, rows.shape)
            self.collector.add(slab.start, weights, decoded, found.blocks, importance)
        return found.blocks

    def _transcoded(self, rows: QuantizedTensor, importance: F32 | None) -> TranscodedRows | None:
        """Encode in one pass; None if feedback chooses the codes, or if a weight is not valid."""
        if self.encoder.feedback:
            return None
        try:
            return kernels.transcode(rows, self.target, importance, threads=self.encoder.threads)
        except FormatError:
            return None

    def _in_steps(
        self, slab: Slab, rows: QuantizedTensor, importance: F32 | None
    ) -> TranscodedRows:
        """Encode with feedback; raise an error that names the tensor for an invalid weight."""
        threads = self.encoder.threads
        weights = self._finite_weights(slab, rows)
        encoded = self.encoder.encode(self.info, slab, self.target, weights, importance)
        if encoded.change:
            self.change = self.change + encoded.change if self.change else encoded.change
        decoded = self._decode(self.target, encoded.blocks, rows.shape)
        error = kernels.weighted_error(weights, decoded, importance, threads=threads)
        power = kernels.weighted_error(weights, None, importance, threads=threads)
        return TranscodedRows(encoded.blocks, error, power)

    def _finite_weights(self, slab: Slab, rows: QuantizedTensor) -> F32:
        """Return (rows, columns) float32. Raises FormatError that names a weight not finite."""
        weights = self._decode(rows.format, rows.data, rows.shape)
        self.encoder.check_finite(self.info, slab, weights)
        return weights

    def _decode(self, format: Format, blocks: U8, shape: tuple[int, ...]) -> F32:
        return kernels.decode(format, blocks, threads=self.encoder.threads).reshape(shape)
