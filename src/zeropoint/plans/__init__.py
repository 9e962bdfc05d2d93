"""Formats for each tensor, and predictions of size, memory and speed, without weights.

This room reads no file and measures nothing: models, devices and results are passed in.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zeropoint.plans.formats.choose import Choice, check_importance, choose_formats, formats_of
    from zeropoint.plans.formats.from_formats import recipe_of
    from zeropoint.plans.formats.model_facts import ModelFacts
    from zeropoint.plans.formats.overrides import (
        TensorType,
        format_tensor_types,
        parse_tensor_types,
    )
    from zeropoint.plans.formats.presets import ALIASES, PRESETS, RULES_VERSION, Preset, find_preset
    from zeropoint.plans.formats.recipe import Recipe, Rule
    from zeropoint.plans.formats.sizes import bits_per_weight, predict_size, quantized_metadata
    from zeropoint.plans.machines.quantities import parse_count, parse_size

# Imported on first use, so that the command line can read the defaults of `plan` without numpy.
_MODULES = {
    name: f"zeropoint.plans.{module}"
    for module, names in {
        "formats.choose": "Choice check_importance choose_formats formats_of",
        "formats.from_formats": "recipe_of",
        "formats.model_facts": "ModelFacts",
        "formats.overrides": "TensorType format_tensor_types parse_tensor_types",
        "formats.presets": "ALIASES PRESETS RULES_VERSION Preset find_preset",
        "formats.recipe": "Recipe Rule",
        "formats.sizes": "bits_per_weight predict_size quantized_metadata",
        "machines.quantities": "parse_count parse_size",
    }.items()
    for name in names.split()
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'zeropoint.plans' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


__all__ = [
    "ALIASES",
    "PRESETS",
    "RULES_VERSION",
    "Choice",
    "ModelFacts",
    "Preset",
    "Recipe",
    "Rule",
    "TensorType",
    "bits_per_weight",
    "check_importance",
    "choose_formats",
    "find_preset",
    "format_tensor_types",
    "formats_of",
    "parse_count",
    "parse_size",
    "parse_tensor_types",
    "predict_size",
    "quantized_metadata",
    "recipe_of",
]
