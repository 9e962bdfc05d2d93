"""A model as it is named in results."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from zeropoint.formats import UNQUANTIZED
from zeropoint.results.schema import NAMED_AS, UNKNOWN, Record


@dataclass(frozen=True)
class ModelIdentity(Record):
    """One of the models of a result: a file or folder, or a quant made in memory."""

    #: The name of the file or folder, without its path.
    name: str
    #: Size of the file, or of all tensors of a quant made in memory.
    file_bytes: int = 0
    #: How many matrices have each format, by the format's name.
    formats: Mapping[str, int] = field(default_factory=dict)
    #: SHA-256 of the header and of samples of the weights.
    fingerprint: str = ""
    #: 8 · file_bytes / weights; NaN in runs of versions that did not write it.
    bits_per_weight: float = UNKNOWN

    @property
    def quantized(self) -> bool:
        """Whether some of its matrices are quantized: as a reference it is a proxy."""
        return any(name not in UNQUANTIZED for name in self.formats)

    @property
    def kind(self) -> str:
        """The formats in words, the most frequent first."""
        return ", ".join(sorted(self.formats, key=lambda name: (-self.formats[name], name)))


@dataclass(frozen=True)
class ReferenceIdentity(ModelIdentity):
    """The reference of a measurement."""

    #: Whether the reference is itself quantized, so that its own loss is not seen.
    proxy: bool = False

    @classmethod
    def of(cls, side: ModelIdentity) -> "ReferenceIdentity":
        """Return a model as the reference."""
        return cls(**vars(side), proxy=side.quantized)


@dataclass(frozen=True, kw_only=True)
class MadeInMemory(Record):
    """How a quant was made in memory, with `--as`."""

    #: The preset, format or recipe that was asked for.
    to: str = field(metadata=NAMED_AS)
    #: The file with the importance, None without one.
    imatrix: str | None = None
    #: 8 · tensor_bytes / weights.
    bits_per_weight: float
    #: Size of all tensors.
    tensor_bytes: int
