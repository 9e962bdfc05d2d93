"""Formats for each tensor, and predictions of size, memory and speed; no weight is read."""

from zeropoint.plans.formats.choose import Choice, check_importance, choose_formats, formats_of
from zeropoint.plans.formats.from_formats import recipe_of
from zeropoint.plans.formats.model_facts import ModelFacts
from zeropoint.plans.formats.overrides import TensorType, format_tensor_types, parse_tensor_types
from zeropoint.plans.formats.presets import ALIASES, PRESETS, RULES_VERSION, Preset, find_preset
from zeropoint.plans.formats.recipe import Recipe, Rule
from zeropoint.plans.formats.sizes import bits_per_weight, predict_size, quantized_metadata
from zeropoint.plans.machines.quantities import format_size, parse_count, parse_size

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
    "format_size",
    "format_tensor_types",
    "formats_of",
    "parse_count",
    "parse_size",
    "parse_tensor_types",
    "predict_size",
    "quantized_metadata",
    "recipe_of",
]
