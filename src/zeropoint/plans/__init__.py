"""Decides on paper: recipes, presets, sizes, memory, machines. No weight is read here."""

from zeropoint.plans.choices import Choice, check_importance, choose_formats, formats_of
from zeropoint.plans.condense import recipe_of
from zeropoint.plans.facts import ModelFacts
from zeropoint.plans.overrides import TensorType, format_tensor_types, parse_tensor_types
from zeropoint.plans.presets import ALIASES, PRESETS, RULES_VERSION, Preset, find_preset
from zeropoint.plans.quantities import format_size, parse_count, parse_size
from zeropoint.plans.recipe import Recipe, Rule
from zeropoint.plans.sizes import bits_per_weight, predict_size, quantized_metadata

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
