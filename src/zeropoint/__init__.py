"""zeropoint: the best file at every size, with the loss measured and shown."""

from importlib import import_module
from typing import TYPE_CHECKING

from zeropoint._version import __version__
from zeropoint.errors import (
    CheckpointError,
    FormatError,
    MeasurementError,
    RecipeError,
    UnsupportedModel,
    ZeropointError,
)

if TYPE_CHECKING:
    from zeropoint.checkpoints import open_checkpoint
    from zeropoint.formats import FORMATS, Format, Parts, QuantizedTensor, find_format
    from zeropoint.models import load_model
    from zeropoint.plans import choose_formats
    from zeropoint.quantizers import dequantize, quantize
    from zeropoint.verbs.bench import bench
    from zeropoint.verbs.calibrate import calibrate
    from zeropoint.verbs.card import card
    from zeropoint.verbs.compare import compare
    from zeropoint.verbs.drift import drift
    from zeropoint.verbs.generate import generate
    from zeropoint.verbs.heal import heal
    from zeropoint.verbs.inspect import inspect
    from zeropoint.verbs.ladder import ladder
    from zeropoint.verbs.measure import measure
    from zeropoint.verbs.plan import plan
    from zeropoint.verbs.quantize import preview_quantization, quantize_checkpoint
    from zeropoint.verbs.report import report
    from zeropoint.verbs.search import search
    from zeropoint.verbs.tasks import tasks
    from zeropoint.verbs.train import train

# Public names are imported from their room at first use, so `zeropoint --help` loads no numpy.
_ROOMS = {
    "FORMATS": "zeropoint.formats",
    "Format": "zeropoint.formats",
    "Parts": "zeropoint.formats",
    "QuantizedTensor": "zeropoint.formats",
    "bench": "zeropoint.verbs.bench",
    "calibrate": "zeropoint.verbs.calibrate",
    "card": "zeropoint.verbs.card",
    "choose_formats": "zeropoint.plans",
    "compare": "zeropoint.verbs.compare",
    "dequantize": "zeropoint.quantizers",
    "drift": "zeropoint.verbs.drift",
    "find_format": "zeropoint.formats",
    "generate": "zeropoint.verbs.generate",
    "heal": "zeropoint.verbs.heal",
    "inspect": "zeropoint.verbs.inspect",
    "ladder": "zeropoint.verbs.ladder",
    "measure": "zeropoint.verbs.measure",
    "load_model": "zeropoint.models",
    "open_checkpoint": "zeropoint.checkpoints",
    "plan": "zeropoint.verbs.plan",
    "preview_quantization": "zeropoint.verbs.quantize",
    "quantize": "zeropoint.quantizers",
    "quantize_checkpoint": "zeropoint.verbs.quantize",
    "report": "zeropoint.verbs.report",
    "search": "zeropoint.verbs.search",
    "tasks": "zeropoint.verbs.tasks",
    "train": "zeropoint.verbs.train",
}


def __getattr__(name: str) -> object:
    if name not in _ROOMS:
        raise AttributeError(f"module 'zeropoint' has no attribute {name!r}")
    return getattr(import_module(_ROOMS[name]), name)


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
    "__version__",
    "bench",
    "calibrate",
    "card",
    "choose_formats",
    "compare",
    "dequantize",
    "drift",
    "find_format",
    "generate",
    "heal",
    "inspect",
    "ladder",
    "load_model",
    "measure",
    "open_checkpoint",
    "plan",
    "preview_quantization",
    "quantize",
    "quantize_checkpoint",
    "report",
    "search",
    "tasks",
    "train",
]
