"""Language models that compute logits for tokens, from a 16-bit or a quantized file."""

from zeropoint.models.architecture import Architecture, LayerSpec, read_architecture
from zeropoint.models.base import LanguageModel, Mode
from zeropoint.models.batches import (
    MAX_BATCH_SEQUENCES,
    Batch,
    BatchStep,
    CompletedText,
    fitting_batch_size,
    generate_batch,
    in_batches,
    read_batch,
)
from zeropoint.models.cache import Cache
from zeropoint.models.cached_rows import CacheTypes
from zeropoint.models.chat import encode_chat, encode_messages, has_template
from zeropoint.models.conversation import Conversation
from zeropoint.models.generation import Finished, PromptRead, Token, generate, room_for
from zeropoint.models.loading import load_model
from zeropoint.models.sampling import GREEDY, Sampling, choose
from zeropoint.models.tokenizer import Tokenizer, read_tokenizer

__all__ = [
    "GREEDY",
    "MAX_BATCH_SEQUENCES",
    "Architecture",
    "Batch",
    "BatchStep",
    "Cache",
    "CacheTypes",
    "CompletedText",
    "Conversation",
    "Finished",
    "LanguageModel",
    "LayerSpec",
    "Mode",
    "PromptRead",
    "Sampling",
    "Token",
    "Tokenizer",
    "choose",
    "encode_chat",
    "encode_messages",
    "fitting_batch_size",
    "generate",
    "generate_batch",
    "has_template",
    "in_batches",
    "load_model",
    "read_architecture",
    "read_batch",
    "read_tokenizer",
    "room_for",
]
