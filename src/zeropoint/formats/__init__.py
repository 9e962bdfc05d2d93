"""What every block of bytes means: numpy only, slow and clear, the specification of `kernels`."""

from collections.abc import Mapping
from types import MappingProxyType

from zeropoint.errors import FormatError
from zeropoint.formats.base import F32, U8, Format, QuantizedTensor, check_shape
from zeropoint.formats.legacy import Q8_0

# One explicit table; a format is found by its name and by nothing else.
FORMATS: Mapping[str, Format] = MappingProxyType({format.name: format for format in (Q8_0(),)})


def find_format(name: str) -> Format:
    """Return the format of this name. Raises FormatError that lists what there is."""
    if name in FORMATS:
        return FORMATS[name]
    raise FormatError(f"there is no format {name!r}; known: {', '.join(FORMATS)}")


__all__ = [
    "F32",
    "FORMATS",
    "U8",
    "Format",
    "FormatError",
    "QuantizedTensor",
    "check_shape",
    "find_format",
]
