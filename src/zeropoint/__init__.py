"""zeropoint: the best file at every size, with the loss measured and shown."""

from zeropoint.errors import (
    CheckpointError,
    FormatError,
    MeasurementError,
    RecipeError,
    UnsupportedModel,
    ZeropointError,
)
from zeropoint.formats import FORMATS, Format, QuantizedTensor, find_format

__version__ = "0.1.0"

__all__ = [
    "FORMATS",
    "CheckpointError",
    "Format",
    "FormatError",
    "MeasurementError",
    "QuantizedTensor",
    "RecipeError",
    "UnsupportedModel",
    "ZeropointError",
    "find_format",
]
