"""Result of `inspect`: what a model file or folder contains."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zeropoint.results.proof import FileProof
from zeropoint.results.schema import FLAT, HIDDEN, Record


@dataclass(frozen=True, kw_only=True)
class FileKindSummary(Record):
    """Kind of a file, and the verbs that accept it."""

    #: For programs, such as "model" or "adapter".
    name: str
    #: In words, such as "a LoRA adapter, not a model".
    described: str
    #: Input that would work instead; None for a model.
    advice: str | None = None
    #: The uses that work, such as "quantize".
    uses: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ModelOutline(Record):
    """The main figures of a model; None where the file does not state one."""

    name: str | None
    architecture: str | None
    layers: int | None
    #: Of the residual stream.
    width: int | None
    heads: int | None
    key_value_heads: int | None
    #: In tokens.
    context: int | None
    #: In tokens.
    vocabulary: int | None
    experts: int | None
    #: Experts per token.
    experts_used: int | None


@dataclass(frozen=True)
class FormatShare(Record):
    """The tensors of a file that have one format or one kind, taken together."""

    #: The format or the kind.
    label: str
    #: Number of tensors.
    tensors: int
    #: Number of weights.
    elements: int
    #: Bytes of the blocks, without headers and padding.
    nbytes: int
    #: 8 · nbytes / elements; 0 if there are no weights.
    bits_per_weight: float


@dataclass(frozen=True)
class EmbeddedRecipe(Record):
    """The recipe that gives the formats of a quantized file again."""

    text: str
    #: How it is known: "written by zeropoint", or "read off the file".
    source: str = field(metadata={"key": "from"})
    #: A recipe longer than any recipe file may be is cut.
    characters_left_out: int = 0


@dataclass(frozen=True)
class LargestWeight(Record):
    """The weight of a tensor with the largest magnitude."""

    largest: float
    #: Row, counted over all leading axes, and column.
    largest_at: tuple[int, ...]
    #: Standard deviation of the tensor's weights.
    sigma: float
    #: |largest| / sigma; about 5 for a million normally distributed weights.
    largest_over_sigma: float
    #: False if a weight is NaN or infinite; the other figures then mean nothing.
    finite: bool


@dataclass(frozen=True, kw_only=True)
class TensorEntry(Record):
    """One tensor of the file."""

    name: str
    format: str
    #: In PyTorch's order, such as (rows, columns).
    shape: tuple[int, ...]
    bytes: int
    #: None if the weights were not scanned.
    outlier: LargestWeight | None = field(default=None, metadata=FLAT)


@dataclass(frozen=True, kw_only=True)
class ModelInventory(Record):
    """Contents of a model file or folder."""

    kind: FileKindSummary
    #: Names of the files that hold the tensors.
    files: tuple[str, ...]
    #: "gguf" or "safetensors".
    container: str = field(default="", metadata=HIDDEN)
    #: Whether the weights were scanned for outliers.
    scanned: bool = field(default=False, metadata=HIDDEN)
    #: All scanned tensors, by |largest weight| / sigma, the most extreme first.
    outliers: "tuple[TensorEntry, ...]" = field(default=(), metadata=HIDDEN)
    #: Of all files.
    file_bytes: int
    #: Number of weights.
    elements: int
    #: 8 · file_bytes / elements.
    bits_per_weight: float
    model: ModelOutline
    #: By format, the largest first.
    formats: tuple[FormatShare, ...]
    #: None if the file is not quantized.
    recipe: EmbeddedRecipe | None = None
    #: Metadata of the importance matrix that the file was made with, by GGUF key.
    imatrix: Mapping[str, Any] | None = None
    #: Metadata of the origin of the file, by GGUF key.
    origin: Mapping[str, Any] = field(default_factory=dict)
    #: How the file was made and what it loses; None for a file that zeropoint did not write.
    proof: FileProof | None = None
    #: The requested tensors, in the file's order.
    tensors: tuple[TensorEntry, ...] = ()

    def __repr__(self) -> str:
        return (
            f"<ModelInventory {self.model.name or self.model.architecture}: {len(self.tensors)}"
            f" tensors, {self.file_bytes} bytes, {self.bits_per_weight:.2f} bits per weight>"
        )

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each tensor."""
        return [tensor.to_json() for tensor in self.tensors]
