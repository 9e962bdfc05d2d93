"""GGUF metadata as a Hugging Face folder's config.json: the way back of `configuration`.

What GGUF does not say (initializer ranges, dropout) is left to transformers' defaults. What
transformers has no setting for is refused by name.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from zeropoint.checkpoints.settings import configuration
from zeropoint.checkpoints.settings.gguf_keys import Keys
from zeropoint.checkpoints.settings.rope_file import make_rope
from zeropoint.checkpoints.tokenizers.tokenizer_facts import read_tokenizer_facts
from zeropoint.errors import UnsupportedModel

_BIAS = r"blk\.\d+\.\w+\.bias"
Json = dict[str, object]
Metadata = Mapping[str, object]


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
        "intermediate_size": keys.integer("feed_forward_length"),
        "num_hidden_layers": keys.integer("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": keys.integer("attention.head_count_kv", heads),
        "head_dim": keys.integer("attention.key_length", width // heads),
        "max_position_embeddings": keys.integer("context_length"),
        "rms_norm_eps": keys.number("attention.layer_norm_rms_epsilon"),
        "vocab_size": vocab_size,
        "tie_word_embeddings": "output.weight" not in keys.tensors,
        "hidden_act": "silu",
        "torch_dtype": dtype,
    }
    config["rope_parameters"] = make_rope(keys, rope_factors, _rotated(keys, config))
    bos = metadata.get("tokenizer.ggml.bos_token_id")
    config["bos_token_id"] = int(bos) if isinstance(bos, int) else None
    config["eos_token_id"] = _ends(metadata, vocab_size)
    config |= family(keys, config)
    _check_computation(keys, config)
    keys.check_all_read()
    return config | _biases(keys, configuration.FAMILIES[str(config["model_type"])])


def _ends(metadata: Metadata, tokens: int) -> object:
    """Return the id that ends a generation, a list if there are several, or None."""
    named = [metadata.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom")]
    facts = read_tokenizer_facts(Path("the source"), metadata, tokens)
    ids = [int(index) for index in named if isinstance(index, int)] + sorted(facts.stops)
    ids = list(dict.fromkeys(ids))
    return ids if len(ids) > 1 else next(iter(ids), None)


def _rotated(keys: Keys, config: Json) -> int:
    """Return how many elements of a head turn; only Phi-3 may leave out some."""
    size = keys.integer("attention.key_length", int(config["head_dim"]))  # type: ignore[call-overload]
    if keys.integer("attention.value_length", size) != size:
        raise keys.unsupported("attention.value_length")
    turned = keys.integer("rope.dimension_count", size)
    if turned != size and keys.architecture != "phi3":
        raise keys.unsupported("rope.dimension_count")
    return turned


def _check_computation(keys: Keys, config: Json) -> None:
    """Raise UnsupportedModel for a way of computing that transformers' class does not have."""
    name = keys.text("hidden_activation")
    if name not in ("", config.get("hidden_activation"), config["hidden_act"]):
        raise keys.unsupported("hidden_activation")
    if keys.number("expert_weights_scale", 0.0) not in (0.0, 1.0):
        raise keys.unsupported("expert_weights_scale")
    usual = float(config["head_dim"]) ** -0.5  # type: ignore[arg-type]
    scale = keys.number("attention.scale", 0.0) or usual
    if "query_pre_attn_scalar" not in config and abs(scale / usual - 1) > 1e-6:
        raise keys.unsupported("attention.scale")


def _biases(keys: Keys, family: configuration.Family) -> Json:
    """Return the keys that say which matrices have a bias.

    Raises UnsupportedModel for a bias that transformers' class of this family does not have.
    """
    found = {name.split(".")[2] for name in keys.tensors if re.fullmatch(_BIAS, name)}
    said = {key: bool(found & set(roles)) for key, roles in family.biases.items()}
    allowed = set(family.biased).union(*(family.biases[key] for key in said if said[key]))
    for role in sorted(found - allowed):
        raise UnsupportedModel(
            f"transformers has no bias for {role} in {keys.architecture} models of this kind"
        )
    return dict(said)


def _windows(keys: Keys, period: int) -> tuple[int, list[bool]]:
    """Return the sliding window (0: none) and for each layer whether it has it.

    `period`: what files without a pattern mean, of so many layers the last one has no window; 0:
    all layers have one.
    """
    count, window = keys.integer("block_count"), keys.integer("attention.sliding_window", 0)
    flags = keys.flags("attention.sliding_window_pattern", count, period)
    return window, [bool(window) and flag for flag in flags]


def _layer_types(flags: list[bool]) -> list[str]:
    return ["sliding_attention" if flag else "full_attention" for flag in flags]


def _one_window(keys: Keys) -> int | None:
    """Return the sliding window of a family whose layers all have it, or None."""
    window, flags = _windows(keys, 0)
    if any(flags) and not all(flags):
        raise keys.unsupported("attention.sliding_window_pattern")
    return window if any(flags) else None


def _some_windows(keys: Keys) -> Json:
    """Return the keys of a family whose single layers may have a sliding window."""
    window, flags = _windows(keys, 0)
    if not any(flags):
        return {"use_sliding_window": False}
    kinds = _layer_types(flags)
    return {"use_sliding_window": True, "sliding_window": window, "layer_types": kinds}


def _named(model_type: str, model_class: str) -> Json:
    return {"model_type": model_type, "architectures": [model_class]}


def _llama(keys: Keys, config: Json) -> Json:
    window = _one_window(keys)
    if keys.integer("expert_count", 0):
        return _named("mixtral", "MixtralForCausalLM") | {
            "intermediate_size": keys.integer("expert_feed_forward_length", 0)
            or keys.integer("feed_forward_length"),
            "num_local_experts": keys.integer("expert_count"),
            "num_experts_per_tok": keys.integer("expert_used_count"),
            "sliding_window": window,
        }
    if window:
        return _named("mistral", "MistralForCausalLM") | {"sliding_window": window}
    return _named("llama", "LlamaForCausalLM")


def _qwen2(keys: Keys, config: Json) -> Json:
    return _named("qwen2", "Qwen2ForCausalLM") | _some_windows(keys)


def _qwen3(keys: Keys, config: Json) -> Json:
    return _named("qwen3", "Qwen3ForCausalLM") | _some_windows(keys)


def _qwen3moe(keys: Keys, config: Json) -> Json:
    window = _one_window(keys)
    return _named("qwen3_moe", "Qwen3MoeForCausalLM") | {
        "num_experts": keys.integer("expert_count"),
        "num_experts_per_tok": keys.integer("expert_used_count"),
        "moe_intermediate_size": keys.integer("expert_feed_forward_length"),
        "norm_topk_prob": keys.flag("expert_weights_norm", default=True),
        "use_sliding_window": window is not None,
        "sliding_window": window,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
    }


def _gemma(keys: Keys, config: Json, period: int, wide: int) -> Json:
    window, flags = _windows(keys, period)
    return {
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": _query_scalar(keys, config, wide),
        "sliding_window": window or keys.integer("context_length"),
        "layer_types": _layer_types(flags),
    }


def _query_scalar(keys: Keys, config: Json, wide: int) -> int:
    """Return the whole number s for which attention scores are divided by √s."""
    heads, width = keys.integer("attention.head_count"), keys.integer("embedding_length")
    usual = width // heads if keys.integer("block_count") == wide else config["head_dim"]
    scale = keys.number("attention.scale", 0.0)
    if not scale:
        return int(usual)  # type: ignore[call-overload, no-any-return]
    scalar = scale**-2
    if abs(scalar - round(scalar)) > 1e-5 * scalar or round(scalar) < 1:
        raise keys.unsupported("attention.scale")
    return round(scalar)


def _gemma2(keys: Keys, config: Json) -> Json:
    return _named("gemma2", "Gemma2ForCausalLM") | {
        **_gemma(keys, config, 2, 46),
        "attn_logit_softcapping": keys.number("attn_logit_softcapping", 50.0) or None,
        "final_logit_softcapping": keys.number("final_logit_softcapping", 30.0) or None,
    }


def _gemma3(keys: Keys, config: Json) -> Json:
    if keys.number(
        "attn_logit_softcapping", 0.0
    ):  # transformers' class has it and does not apply it
        raise keys.unsupported("attn_logit_softcapping")
    local = {"rope_type": "default", "rope_theta": keys.number("rope.freq_base_swa", 10000.0)}
    return _named("gemma3_text", "Gemma3ForCausalLM") | {
        **_gemma(keys, config, 6, 62),
        "final_logit_softcapping": keys.number("final_logit_softcapping", 0.0) or None,
        "rope_parameters": {
            "full_attention": config["rope_parameters"],
            "sliding_attention": local,
        },
    }


def _phi3(keys: Keys, config: Json) -> Json:
    rope = dict(config["rope_parameters"])  # type: ignore[call-overload]
    size = keys.integer("attention.key_length", int(config["head_dim"]))  # type: ignore[call-overload]
    turned = keys.integer("rope.dimension_count", size)
    part = turned / size
    rope["partial_rotary_factor"] = part if int(part * size) == turned else (turned + 0.5) / size
    context = config["max_position_embeddings"]
    return _named("phi3", "Phi3ForCausalLM") | {
        "rope_parameters": rope,
        "original_max_position_embeddings": rope.get("original_max_position_embeddings", context),
        "sliding_window": _one_window(keys),
        "pad_token_id": None,
    }


def _smollm3(keys: Keys, config: Json) -> Json:
    count = keys.integer("block_count")
    with_positions = [int((i + 1) % 4 != 0) for i in range(count)]
    return _named("smollm3", "SmolLM3ForCausalLM") | {
        "no_rope_layers": with_positions,
        "pad_token_id": None,
        **_some_windows(keys),
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
