"""Gives logits for tokens, from the reference or from a quant."""

from zeropoint.models.architecture import Architecture, LayerSpec, read_architecture
from zeropoint.models.base import LanguageModel, Mode
from zeropoint.models.cache import Cache
from zeropoint.models.chat import encode_chat, has_template
from zeropoint.models.conversation import Conversation
from zeropoint.models.generation import Finished, PromptRead, Token, generate, room_for
from zeropoint.models.loading import load_model
from zeropoint.models.sampling import GREEDY, Sampling
from zeropoint.models.tokenizer import Tokenizer, read_tokenizer

__all__ = [
    "GREEDY",
    "Architecture",
    "Cache",
    "Conversation",
    "Finished",
    "LanguageModel",
    "LayerSpec",
    "Mode",
    "PromptRead",
    "Sampling",
    "Token",
    "Tokenizer",
    "encode_chat",
    "generate",
    "has_template",
    "load_model",
    "read_architecture",
    "read_tokenizer",
    "room_for",
]
