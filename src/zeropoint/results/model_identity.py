"""How results identify a model."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from zeropoint.formats import UNQUANTIZED
from zeropoint.results.schema import NAMED_AS, UNKNOWN_NUMBER, Record


@dataclass(frozen=True)
class ModelIdentity(Record):
    """One of the models of a result: a file, a folder, or a model quantized in memory."""

    #: The name of the file or folder, without its path.
    name: str
    #: Size of the file, or of all tensors of a model quantized in memory.
    file_bytes: int = 0
    #: Number of matrices by format.
    formats: Mapping[str, int] = field(default_factory=dict)
    #: SHA-256 of the header and of samples of the weights.
    fingerprint: str = ""
    #: 8 · file_bytes / weights; NaN in runs of versions that did not store it.
    bits_per_weight: float = UNKNOWN_NUMBER

    @property
    def quantized(self) -> bool:
        """Whether some of its matrices are quantized, so that it is only a proxy reference."""
        return any(name not in UNQUANTIZED for name in self.formats)

    @property
    def kind(self) -> str:
        """The names of its formats, the most frequent first."""
        return ", ".join(sorted(self.formats, key=lambda name: (-self.formats[name], name)))


@dataclass(frozen=True)
class ReferenceIdentity(ModelIdentity):
    """The reference of a measurement."""

    #: Whether the reference is itself quantized, so that its own loss is not measured.
    proxy: bool = False

    @classmethod
    def of(cls, side: ModelIdentity) -> "ReferenceIdentity":
        """Return a model as the reference."""
        return cls(**vars(side), proxy=side.quantized)


@dataclass(frozen=True, kw_only=True)
class InMemoryQuantization(Record):
    """How a model was quantized in memory."""

    #: The requested preset, format or recipe.
    to: str = field(metadata=NAMED_AS)
    #: The file with the importance; None without importance.
    imatrix: str | None = None
    #: 8 · tensor_bytes / weights.
    bits_per_weight: float
    #: Size of all tensors.
    tensor_bytes: int
