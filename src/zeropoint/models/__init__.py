"""Gives logits for tokens, from the reference or from a quant."""

from zeropoint.models.architecture import Architecture, LayerSpec, read_architecture
from zeropoint.models.base import LanguageModel, Mode
from zeropoint.models.cache import Cache
from zeropoint.models.loading import load_model
from zeropoint.models.tokenizer import Tokenizer, read_tokenizer

__all__ = [
    "Architecture",
    "Cache",
    "LanguageModel",
    "LayerSpec",
    "Mode",
    "Tokenizer",
    "load_model",
    "read_architecture",
    "read_tokenizer",
]
