"""LFM2: short convolutions beside attention; dense, and mixtures of experts."""

import numpy as np

from zeropoint.checkpoints.families import tensor_roles as roles
from zeropoint.checkpoints.families.record import (
    ExpertRule,
    HuggingFaceType,
    Json,
    Metadata,
    ModelFamily,
)
from zeropoint.checkpoints.settings.gguf_keys import GgufKeys
from zeropoint.checkpoints.settings.settings import Settings
from zeropoint.checkpoints.values import UInt32

CONVOLUTION, FULL = "conv", "full_attention"
ATTENTION = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.out_proj": "attn_output",
    "self_attn.q_layernorm": "attn_q_norm",
    "self_attn.k_layernorm": "attn_k_norm",
}
MLP = {
    "feed_forward.w1": "ffn_gate",
    "feed_forward.w3": "ffn_up",
    "feed_forward.w2": "ffn_down",
}
MIXERS = ATTENTION | {
    "operator_norm": "attn_norm",
    "ffn_norm": "ffn_norm",
    "conv.in_proj": "shortconv.in_proj",
    "conv.conv": "shortconv.conv",
    "conv.out_proj": "shortconv.out_proj",
}
DEFAULTS = {
    "conv_L_cache": 3,
    "norm_eps": 1e-5,
    "num_key_value_heads": 8,
    "tie_word_embeddings": True,
}


def read_mixers(settings: Settings) -> Metadata:
    """Return the kernel of the convolutions, and in the layers with attention the heads of keys."""
    if settings.flag("conv_bias"):
        raise settings.wrong("conv_bias", "is true, but GGUF has no place for these biases")
    count, given = settings.integer("num_hidden_layers"), settings.get("layer_types")
    chosen = settings.get("full_attn_idxs")
    if given is None:
        full = range(count) if chosen is None else chosen
        if not isinstance(full, list | range):
            raise settings.wrong("full_attn_idxs", "expected a list of numbers of layers")
        given = [FULL if index in full else CONVOLUTION for index in range(count)]
    if not isinstance(given, list) or len(given) != count:
        raise settings.wrong("layer_types", f"expected a list of {count} names")
    if not set(given) <= {CONVOLUTION, FULL}:
        raise settings.wrong("layer_types", f"expected {CONVOLUTION} and {FULL} only")
    heads = settings.integer("num_key_value_heads", minimum=1)
    return {
        "attention.head_count_kv": np.array(
            [heads if kind == FULL else 0 for kind in given], np.int32
        ),
        "shortconv.l_cache": UInt32(settings.integer("conv_L_cache", minimum=2)),
    }


def write_mixers(keys: GgufKeys) -> Json:
    """Return the entries of config.json for the mixers."""
    count = keys.integer("block_count") - keys.integer("nextn_predict_layers", 0)
    heads = [keys.integer("attention.head_count_kv", layer=index) for index in range(count)]
    return {
        "conv_L_cache": keys.integer("shortconv.l_cache"),
        "conv_bias": False,
        "layer_types": [FULL if number else CONVOLUTION for number in heads],
    }


def read_settings(family: ModelFamily, settings: Settings) -> Metadata:
    """Return the mixers, and the width of the feed-forward part as its matrices have it."""
    key = "intermediate_size" if settings.get("block_ff_dim") is None else "block_ff_dim"
    inner = settings.integer(key)
    multiplier = settings.get("block_ffn_dim_multiplier")
    step = settings.integer("block_multiple_of", minimum=1)
    if settings.flag("block_auto_adjust_ff_dim"):
        inner = 2 * inner // 3
        if multiplier is not None:
            inner = int(settings.positive("block_ffn_dim_multiplier") * inner)
            inner = -(-inner // step) * step
    return read_mixers(settings) | {"feed_forward_length": UInt32(inner)}


def write_config(family: ModelFamily, keys: GgufKeys, config: Json) -> Json:
    """Return the mixers, and that the width of the feed-forward part is what it says."""
    return write_mixers(keys) | {"block_auto_adjust_ff_dim": False}


SIGMOID = 2  # of expert_gating_func
EXPERTS = {
    "feed_forward.gate": "ffn_gate_inp",
    "feed_forward.experts.*.w1": "ffn_gate_exps",
    "feed_forward.experts.*.w3": "ffn_up_exps",
    "feed_forward.experts.*.w2": "ffn_down_exps",
}


def read_experts(family: ModelFamily, settings: Settings) -> Metadata:
    """Return the mixers, and the experts."""
    for key, value in (("norm_topk_prob", True), ("routed_scaling_factor", 1.0)):
        if (given := settings.get(key)) not in (None, value):
            raise settings.wrong(key, f"is {given}; {family.architecture} files mean {value}")
    return read_mixers(settings) | {
        "leading_dense_block_count": UInt32(settings.integer("num_dense_layers")),
        "expert_count": UInt32(settings.integer("num_experts", minimum=1)),
        "expert_used_count": UInt32(settings.integer("num_experts_per_tok")),
        "expert_feed_forward_length": UInt32(settings.integer("moe_intermediate_size")),
        "expert_gating_func": UInt32(SIGMOID),
    }


def write_experts(family: ModelFamily, keys: GgufKeys, config: Json) -> Json:
    """Return the mixers, and the experts."""
    if keys.integer("expert_gating_func", SIGMOID) not in (0, SIGMOID):
        raise keys.unsupported("expert_gating_func")
    if keys.integer("interleave_moe_layer_step", 1) not in (0, 1):
        raise keys.unsupported("interleave_moe_layer_step")
    return write_mixers(keys) | {
        "num_dense_layers": keys.integer("leading_dense_block_count", 0),
        "num_experts": keys.integer("expert_count"),
        "num_experts_per_tok": keys.integer("expert_used_count"),
        "moe_intermediate_size": keys.integer("expert_feed_forward_length"),
    }


LFM2 = ModelFamily(
    architecture="lfm2",
    huggingface=(
        HuggingFaceType(
            model_types=("lfm2",),
            model_class="Lfm2ForCausalLM",
            config_class="Lfm2Config",
            read_settings=read_settings,
            write_config=write_config,
            defaults=DEFAULTS
            | {
                "intermediate_size": 12288,
                "block_auto_adjust_ff_dim": True,
                "block_ffn_dim_multiplier": 1.0,
                "block_multiple_of": 256,
            },
            activation_key="",
            epsilon_key="norm_eps",
            rope_theta=1000000.0,
            harmless={
                "tie_embedding": "the tensors say whether the output matrix is the embedding",
                "block_dim": "hidden_size says the same",
                "conv_dim": "hidden_size says the same",
                "conv_dim_out": "hidden_size says the same",
                "block_norm_eps": "norm_eps says the same",
                "block_use_swiglu": "transformers' class has no other feed-forward part",
            },
        ),
    ),
    roles=MIXERS | MLP,
    whole_names={"embedding_norm.weight": "token_embd_norm.weight"},
    changes=roles.UNIT_CONVOLUTION,
    recurrent_mixer="short_convolution",
)
LFM2MOE = ModelFamily(
    architecture="lfm2moe",
    huggingface=(
        HuggingFaceType(
            model_types=("lfm2_moe",),
            model_class="Lfm2MoeForCausalLM",
            config_class="Lfm2MoeConfig",
            read_settings=read_experts,
            write_config=write_experts,
            defaults=DEFAULTS
            | {
                "intermediate_size": 7168,
                "moe_intermediate_size": 1792,
                "num_dense_layers": 2,
                "num_experts": 32,
                "num_experts_per_tok": 4,
                "use_expert_bias": True,
            },
            activation_key="",
            epsilon_key="norm_eps",
            rope_theta=1000000.0,
            biases={"use_expert_bias": ("exp_probs_b",)},
            harmless={
                "tie_embedding": "the tensors say whether the output matrix is the embedding"
            },
        ),
    ),
    roles=MIXERS | MLP | EXPERTS,
    parameters={"feed_forward.expert_bias": "exp_probs_b.bias"},
    whole_names=LFM2.whole_names,
    changes=LFM2.changes,
    recurrent_mixer=LFM2.recurrent_mixer,
    experts=ExpertRule(
        gating="sigmoid",
        optional_gating=True,
        selection_bias=True,
        epsilon=1e-6,
        some_layers_dense=True,
    ),
)
