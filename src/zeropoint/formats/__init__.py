"""What every block of bytes means: numpy only, slow and clear, the specification of `kernels`."""

from collections.abc import Mapping
from types import MappingProxyType

from zeropoint.errors import FormatError
from zeropoint.formats.base import F32, U8, Format, QuantizedTensor, check_shape
from zeropoint.formats.legacy import Q8_0
from zeropoint.formats.names import plain_format, suggestion
from zeropoint.formats.parts import Parts

# One explicit table; a format is found by its name and by nothing else.
FORMATS: Mapping[str, Format] = MappingProxyType({format.name: format for format in (Q8_0(),)})


def find_format(name: str) -> Format:
    """Return the format of this name: one of FORMATS, or a plain one like INT4_SYM_G128.

    Raises FormatError that says what there is.
    """
    format = FORMATS.get(name) or plain_format(name)
    if format is None:
        known = ", ".join(FORMATS)
        raise FormatError(f"there is no format {name!r}; known: {known}; {suggestion(name)}")
    return format


__all__ = [
    "F32",
    "FORMATS",
    "U8",
    "Format",
    "FormatError",
    "Parts",
    "QuantizedTensor",
    "check_shape",
    "find_format",
]
