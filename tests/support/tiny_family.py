"""What tiny random models are made of: a family's configuration class, options and keys."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import transformers

LAYERS, VOCABULARY = 4, 272
SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "tie_word_embeddings": False,
}


@dataclass
class Family:
    """One family: transformers' config and the keys of its file (without "ARCHITECTURE.")."""

    architecture: str
    config: Callable[..., Any]
    options: dict[str, Any]
    keys: dict[str, Any] = field(default_factory=dict)
    permuted: bool = False  # q and k rows are stored for interleaved rotary pairs
    norm_offset: float = 0.0  # what the file adds to the weights of norms
    factors: Callable[[Any], dict[str, np.ndarray]] = lambda config: {}


def llama3_factors(config: Any) -> dict[str, np.ndarray]:
    """Frequency divisors of Llama 3.1, from its configuration."""
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    base = config.rope_parameters["rope_theta"]
    size = config.head_dim
    plain = 1.0 / base ** (torch.arange(0, size, 2).float() / size)
    return {"rope_freqs.weight": (plain / scaled).numpy()}


def first_pairs(config: Any) -> dict[str, np.ndarray]:
    """Divisors of Gemma 4: pairs behind the first quarter do not rotate."""
    half = config.per_layer_config["full_attention"].head_dim // 2
    divisors = np.where(np.arange(half) < half // 4, 1.0, 1e30)
    return {"rope_freqs.weight": divisors.astype(np.float32)}


def longrope_factors(config: Any) -> dict[str, np.ndarray]:
    """Phi-3's two sets of divisors."""
    sets = {kind: config.rope_parameters[f"{kind}_factor"] for kind in ("short", "long")}
    return {f"rope_factors_{kind}.weight": np.array(sets[kind], np.float32) for kind in sets}


def rope(**more: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"} | more}


T, WINDOW = transformers, 7
