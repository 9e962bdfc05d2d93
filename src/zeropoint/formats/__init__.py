"""The meaning of every block of bytes, in slow and clear numpy: the specification of `kernels`."""

from collections.abc import Mapping
from types import MappingProxyType

from zeropoint.errors import FormatError
from zeropoint.formats.base import F32, U8, Format, QuantizedTensor, check_shape
from zeropoint.formats.iquants import IQUANTS
from zeropoint.formats.kquants import KQUANTS
from zeropoint.formats.legacy import LEGACY
from zeropoint.formats.names import plain_format, suggestion
from zeropoint.formats.nonlinear import NONLINEAR
from zeropoint.formats.parts import Parts
from zeropoint.formats.scalars import SCALARS
from zeropoint.formats.storage import StorageFormat
from zeropoint.formats.ternary import TERNARY

# The tensor types of GGUF, by the number that they have there.
GGML_TYPES: Mapping[int, StorageFormat] = MappingProxyType(
    {
        format.ggml_type: format
        for format in (*SCALARS, *LEGACY, *KQUANTS, *NONLINEAR, *TERNARY, *IQUANTS)
    }
)

# The same formats, by name.
FORMATS: Mapping[str, StorageFormat] = MappingProxyType(
    {format.name: format for format in GGML_TYPES.values()}
)

# The formats of plain numbers: a tensor in one of them is not quantized.
UNQUANTIZED = frozenset({"F32", "F16", "BF16", "F64", "I8", "I16", "I32", "I64"})


def find_format(name: str) -> Format:
    """Return the format of this name, in any case: one of FORMATS, or one such as INT4_SYM_G128.

    Raises FormatError, with similar names, for an unknown name.
    """
    upper = name.upper()
    format = FORMATS.get(upper) or plain_format(upper)
    if format is None:
        raise FormatError(f"there is no format {name!r}; {suggestion(name, FORMATS)}")
    return format


__all__ = [
    "F32",
    "FORMATS",
    "GGML_TYPES",
    "U8",
    "UNQUANTIZED",
    "Format",
    "FormatError",
    "Parts",
    "QuantizedTensor",
    "StorageFormat",
    "check_shape",
    "find_format",
]
