"""zeropoint: the best file at every size, with the loss measured and shown."""

from importlib import import_module
from typing import TYPE_CHECKING

from zeropoint.errors import (
    CheckpointError,
    FormatError,
    MeasurementError,
    RecipeError,
    UnsupportedModel,
    ZeropointError,
)
from zeropoint.formats import FORMATS, Format, Parts, QuantizedTensor, find_format

if TYPE_CHECKING:
    from zeropoint.checkpoints import open_checkpoint
    from zeropoint.plans import choose_formats
    from zeropoint.quantizers import dequantize, quantize, quantize_checkpoint

__version__ = "0.1.0"

# The verbs come from their rooms when they are first used: `import zeropoint` stays quick.
_VERBS = {
    "choose_formats": "zeropoint.plans",
    "dequantize": "zeropoint.quantizers",
    "open_checkpoint": "zeropoint.checkpoints",
    "quantize": "zeropoint.quantizers",
    "quantize_checkpoint": "zeropoint.quantizers",
}


def __getattr__(name: str) -> object:
    if name not in _VERBS:
        raise AttributeError(f"module 'zeropoint' has no attribute {name!r}")
    return getattr(import_module(_VERBS[name]), name)


__all__ = [
    "FORMATS",
    "CheckpointError",
    "Format",
    "FormatError",
    "MeasurementError",
    "Parts",
    "QuantizedTensor",
    "RecipeError",
    "UnsupportedModel",
    "ZeropointError",
    "choose_formats",
    "dequantize",
    "find_format",
    "open_checkpoint",
    "quantize",
    "quantize_checkpoint",
]
