"""GGUF metadata as a Hugging Face folder's config.json: the way back of `configuration`.

What GGUF does not say (initializer ranges, dropout) is left to transformers' defaults.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from zeropoint.checkpoints.configuration import llama3_factors
from zeropoint.checkpoints.tokenizer_facts import read_tokenizer_facts
from zeropoint.errors import CheckpointError, UnsupportedModel

Json = dict[str, object]
Metadata = Mapping[str, object]


class Keys:
    """The keys of one architecture."""

    def __init__(self, metadata: Metadata, tensors: Iterable[str]) -> None:
        self.metadata = metadata
        self.architecture = str(metadata.get("general.architecture"))
        self.tensors = frozenset(tensors)

    def get(self, key: str, default: object = None) -> object:
        """Return a key's value as a plain number or text."""
        value = self.metadata.get(f"{self.architecture}.{key}", default)
        if isinstance(value, bool | str) or value is None:
            return value
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            return float(np.format_float_positional(np.float32(value), unique=True))
        return value

    def need(self, key: str) -> object:
        """Return a key's value, or raise CheckpointError if it is missing."""
        value = self.get(key)
        if value is None:
            raise CheckpointError("the source", f"{self.architecture}.{key} is missing")
        return value

    def integer(self, key: str, default: int | None = None) -> int:
        """Return a key's value as a whole number."""
        value = self.get(key, default)
        if not isinstance(value, int):
            raise CheckpointError("the source", f"{self.architecture}.{key} is {value!r}")
        return value


def make_config(metadata: Metadata, tensors: Iterable[str], rope_factors: Mapping[str, list[float]],
                vocab_size: int, dtype: str) -> Json:  # fmt: skip
    """Return config.json for a GGUF file's keys.

    `rope_factors` are the values of its rope_* tensors. Raises UnsupportedModel for an
    architecture, or a scaling of rotary positions, that transformers has no name for.
    """
    keys = Keys(metadata, tensors)
    family = FAMILIES.get(keys.architecture)
    if family is None:
        raise UnsupportedModel(
            f"{keys.architecture!r} files cannot be written as a Hugging Face folder here; "
            f"these can: {', '.join(FAMILIES)}"
        )
    heads = keys.integer("attention.head_count")
    width = keys.integer("embedding_length")
    config: Json = {
        "hidden_size": width,
        "intermediate_size": keys.need("feed_forward_length"),
        "num_hidden_layers": keys.integer("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": keys.get("attention.head_count_kv", heads),
        "head_dim": keys.integer("attention.key_length", width // heads),
        "max_position_embeddings": keys.need("context_length"),
        "rms_norm_eps": keys.need("attention.layer_norm_rms_epsilon"),
        "vocab_size": vocab_size,
        "tie_word_embeddings": "output.weight" not in keys.tensors,
        "hidden_act": "silu",
        "torch_dtype": dtype,
    }
    base = keys.get("rope.freq_base", 10000.0)
    config["rope_parameters"] = _rope(keys, rope_factors, base)
    bos = metadata.get("tokenizer.ggml.bos_token_id")
    config["bos_token_id"] = int(bos) if isinstance(bos, int) else None
    config["eos_token_id"] = _ends(metadata, vocab_size)
    config |= family(keys, config)
    return config


def _ends(metadata: Metadata, tokens: int) -> object:
    """Return the id that ends a generation, a list if there are several, or None."""
    named = [metadata.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom")]
    facts = read_tokenizer_facts(Path("the source"), metadata, tokens)
    ids = [int(index) for index in named if isinstance(index, int)] + sorted(facts.stops)
    ids = list(dict.fromkeys(ids))
    return ids if len(ids) > 1 else next(iter(ids), None)


def _rope(keys: Keys, factors: Mapping[str, list[float]], base: object) -> Json:
    kind = keys.get("rope.scaling.type", "none")
    rope: Json = {"rope_type": "default", "rope_theta": base}
    if "rope_freqs.weight" in factors:
        return rope | _llama3(keys, factors["rope_freqs.weight"], base)
    scale = keys.get("rope.scaling.factor", 1.0)
    if kind in ("linear", "yarn") and scale not in (None, 1.0, 0.0):
        rope |= {"rope_type": kind, "factor": scale}
        if kind == "yarn":
            original = keys.get("rope.scaling.original_context_length")
            rope["original_max_position_embeddings"] = original
    elif "rope_factors_long.weight" in factors:
        rope |= {
            "rope_type": "longrope",
            "long_factor": factors["rope_factors_long.weight"],
            "short_factor": factors["rope_factors_short.weight"],
            "original_max_position_embeddings": keys.get("rope.scaling.original_context_length"),
        }
    return rope


def _llama3(keys: Keys, factors: list[float], base: object) -> Json:
    """Find the parameters that give these factors; those of the published models are tried."""
    size = 2 * len(factors)
    assert isinstance(base, float | int)
    for original in (8192, 4096, 16384, 2048, 1024, 512, 256, 128, 64, 32):
        for high in (4.0, 2.0, 8.0):
            scaling: Json = {
                "rope_type": "llama3",
                "factor": max(factors),
                "low_freq_factor": 1.0,
                "high_freq_factor": high,
                "original_max_position_embeddings": original,
            }
            made = llama3_factors(size, float(base), max(factors), (1.0, high), original)
            if np.array_equal(np.array(made, np.float32), np.array(factors, np.float32)):
                return scaling
    raise UnsupportedModel("rope_freqs.weight holds factors that transformers has no name for")


def _named(model_type: str, model_class: str) -> Json:
    return {"model_type": model_type, "architectures": [model_class]}


def _llama(keys: Keys, config: Json) -> Json:
    biased = "blk.0.attn_q.bias" in keys.tensors
    if keys.get("expert_count"):
        experts = {
            "num_local_experts": keys.need("expert_count"),
            "num_experts_per_tok": keys.need("expert_used_count"),
            "sliding_window": None,
        }
        return _named("mixtral", "MixtralForCausalLM") | experts
    if keys.get("attention.sliding_window"):
        window = {"sliding_window": keys.get("attention.sliding_window")}
        return _named("mistral", "MistralForCausalLM") | window
    more: Json = {"attention_bias": biased, "mlp_bias": "blk.0.ffn_up.bias" in keys.tensors}
    return _named("llama", "LlamaForCausalLM") | more


def _qwen2(keys: Keys, config: Json) -> Json:
    return _named("qwen2", "Qwen2ForCausalLM") | {"use_sliding_window": False}


def _qwen3(keys: Keys, config: Json) -> Json:
    biased = "blk.0.attn_q.bias" in keys.tensors
    return _named("qwen3", "Qwen3ForCausalLM") | {"attention_bias": biased}


def _qwen3moe(keys: Keys, config: Json) -> Json:
    return _named("qwen3_moe", "Qwen3MoeForCausalLM") | {
        "num_experts": keys.need("expert_count"),
        "num_experts_per_tok": keys.need("expert_used_count"),
        "moe_intermediate_size": keys.need("expert_feed_forward_length"),
        "norm_topk_prob": True,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
    }


def _gemma(keys: Keys, config: Json, wide: int) -> Json:
    heads, width = keys.integer("attention.head_count"), keys.integer("embedding_length")
    size = keys.integer("attention.key_length", width // heads)
    scalar = width // heads if keys.integer("block_count") == wide else size
    return {
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": scalar,
        "sliding_window": keys.need("attention.sliding_window"),
        "final_logit_softcapping": keys.get("final_logit_softcapping"),
        "attn_logit_softcapping": keys.get("attn_logit_softcapping"),
    }


def _gemma2(keys: Keys, config: Json) -> Json:
    return _named("gemma2", "Gemma2ForCausalLM") | _gemma(keys, config, 46)


def _gemma3(keys: Keys, config: Json) -> Json:
    count = keys.integer("block_count")
    kinds = ["full_attention" if i % 6 == 5 else "sliding_attention" for i in range(count)]
    local = {"rope_type": "default", "rope_theta": keys.get("rope.freq_base_swa", 10000.0)}
    rope = {"full_attention": config["rope_parameters"], "sliding_attention": local}
    more: Json = {"layer_types": kinds, "rope_parameters": rope}
    return _named("gemma3_text", "Gemma3ForCausalLM") | _gemma(keys, config, 62) | more


def _phi3(keys: Keys, config: Json) -> Json:
    rope = dict(config["rope_parameters"])  # type: ignore[call-overload]
    size = keys.integer("embedding_length") // keys.integer("attention.head_count")
    rope["partial_rotary_factor"] = keys.integer("rope.dimension_count", size) / size
    original = keys.get("rope.scaling.original_context_length", config["max_position_embeddings"])
    window = keys.get("attention.sliding_window") or None
    return _named("phi3", "Phi3ForCausalLM") | {
        "rope_parameters": rope,
        "original_max_position_embeddings": original,
        "sliding_window": window,
        "pad_token_id": None,
    }


def _smollm3(keys: Keys, config: Json) -> Json:
    count = keys.integer("block_count")
    with_positions = [int((i + 1) % 4 != 0) for i in range(count)]
    return _named("smollm3", "SmolLM3ForCausalLM") | {
        "no_rope_layers": with_positions,
        "use_sliding_window": False,
        "pad_token_id": None,
    }


def _bitnet(keys: Keys, config: Json) -> Json:
    activation = "silu" if keys.architecture == "bitnet" else "relu2"
    return _named("bitnet", "BitNetForCausalLM") | {"hidden_act": activation}


FAMILIES: Mapping[str, Callable[[Keys, Json], Json]] = {
    "llama": _llama,
    "qwen2": _qwen2,
    "qwen3": _qwen3,
    "qwen3moe": _qwen3moe,
    "gemma2": _gemma2,
    "gemma3": _gemma3,
    "phi3": _phi3,
    "smollm3": _smollm3,
    "bitnet": _bitnet,
    "bitnet-b1.58": _bitnet,
}
