"""Language models that compute logits for tokens, from a 16-bit or a quantized file."""

from zeropoint.models.architecture import Architecture, LayerSpec, read_architecture
from zeropoint.models.base import LanguageModel, Mode
from zeropoint.models.batches import (
    TOGETHER,
    Batch,
    Stepped,
    Written,
    at_once,
    generate_together,
    in_batches,
    read_together,
)
from zeropoint.models.cache import Cache
from zeropoint.models.chat import encode_chat, encode_messages, has_template
from zeropoint.models.conversation import Conversation
from zeropoint.models.generation import Finished, PromptRead, Token, generate, room_for
from zeropoint.models.loading import load_model
from zeropoint.models.sampling import GREEDY, Sampling, choose
from zeropoint.models.tokenizer import Tokenizer, read_tokenizer

__all__ = [
    "GREEDY",
    "TOGETHER",
    "Architecture",
    "Batch",
    "Cache",
    "Conversation",
    "Finished",
    "LanguageModel",
    "LayerSpec",
    "Mode",
    "PromptRead",
    "Sampling",
    "Stepped",
    "Token",
    "Tokenizer",
    "Written",
    "at_once",
    "choose",
    "encode_chat",
    "encode_messages",
    "generate",
    "generate_together",
    "has_template",
    "in_batches",
    "load_model",
    "read_architecture",
    "read_together",
    "read_tokenizer",
    "room_for",
]
