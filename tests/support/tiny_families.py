"""The tiny random models of every family: their configuration, and the keys of their files.

The keys are written by hand from what llama.cpp's files hold (2026-10).
"""

import numpy as np

from support.tiny_family import (
    LAYERS,
    SMALL,
    VOCABULARY,
    WINDOW,
    Family,
    T,
    first_pairs,
    llama3_factors,
    longrope_factors,
    rope,
)
from support.tiny_mixtures import MIXTURES, MULTIPLIER_KEYS, MULTIPLIERS

__all__ = ["FAMILIES", "LAYERS", "SMALL", "VOCABULARY", "Family", "T"]

LINEAR, FULL = "linear_attention", "full_attention"
HYBRID = {
    "head_dim": 32,
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 24,
    "linear_value_head_dim": 24,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 8,
    "rms_norm_eps": 1e-6,
    "layer_types": [LINEAR, FULL, LINEAR, LINEAR],
}
HYBRID_EXPERTS = {
    "num_experts": 6,
    "num_experts_per_tok": 3,
    "moe_intermediate_size": 64,
    "shared_expert_intermediate_size": 96,
}
HYBRID_KEYS = {
    "attention.key_length": 32,
    "attention.value_length": 32,
    "rope.dimension_count": 8,
    "full_attention_interval": 4,
    "attention.recurrent_layers": np.array([True, False, True, True]),
}
GEMMA4 = SMALL | {
    "num_hidden_layers": 4,
    "head_dim": 16,
    "global_head_dim": 32,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "sliding_window": WINDOW,
    "tie_word_embeddings": True,
    "rope_parameters": {
        "full_attention": {
            "rope_type": "proportional",
            "partial_rotary_factor": 0.25,
            "rope_theta": 1e6,
        },
        "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
    },
}
GEMMA4_KEYS = {
    "attention.key_length": 32,
    "attention.value_length": 32,
    "attention.key_length_swa": 16,
    "attention.value_length_swa": 16,
    "rope.dimension_count": 32,
    "rope.dimension_count_swa": 16,
    "rope.freq_base": 1e6,
    "attention.sliding_window": WINDOW,
    "attention.sliding_window_pattern": np.array([True, False] * 2),
}
FAMILIES = {
    "llama": Family("llama", T.LlamaConfig, SMALL, permuted=True),
    "llama tied": Family(
        "llama", T.LlamaConfig, SMALL | {"tie_word_embeddings": True}, permuted=True
    ),
    "llama biased": Family(
        "llama", T.LlamaConfig, SMALL | {"attention_bias": True, "mlp_bias": True}, permuted=True
    ),
    "llama 3.1": Family(
        "llama",
        T.LlamaConfig,
        SMALL
        | rope(
            rope_type="llama3",
            factor=8.0,
            low_freq_factor=1.0,
            high_freq_factor=4.0,
            original_max_position_embeddings=64,
        ),
        permuted=True,
        factors=llama3_factors,
    ),
    "llama linear": Family(
        "llama",
        T.LlamaConfig,
        SMALL | rope(rope_type="linear", factor=4.0),
        {"rope.scaling.type": "linear", "rope.scaling.factor": 4.0},
        permuted=True,
    ),
    "llama yarn": Family(
        "llama",
        T.LlamaConfig,
        SMALL | rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=64),
        {
            "rope.scaling.type": "yarn",
            "rope.scaling.factor": 4.0,
            "rope.scaling.original_context_length": 64,
        },
        permuted=True,
    ),
    "mistral": Family(
        "llama",
        T.MistralConfig,
        SMALL | {"sliding_window": WINDOW},
        {"attention.sliding_window": WINDOW},
        permuted=True,
    ),
    "mixtral": Family(
        "llama",
        T.MixtralConfig,
        SMALL | {"num_local_experts": 4, "num_experts_per_tok": 2},
        {"expert_count": 4, "expert_used_count": 2},
        permuted=True,
    ),
    "mistral3": Family(
        "mistral3",
        T.Ministral3Config,
        SMALL | {"head_dim": 16} | rope(
            rope_type="yarn", factor=4.0, original_max_position_embeddings=16,
            mscale=1.0, mscale_all_dim=0.5, llama_4_scaling_beta=0.1,
        ),
        {
            "rope.scaling.type": "yarn", "rope.scaling.factor": 4.0,
            "rope.scaling.original_context_length": 16, "rope.scaling.yarn_log_multiplier": 0.5,
            "attention.temperature_scale": 0.1,
        },
        permuted=True,
    ),
    "qwen2": Family("qwen2", T.Qwen2Config, SMALL),
    "qwen3": Family(
        "qwen3",
        T.Qwen3Config,
        SMALL | {"head_dim": 32},
        {"attention.key_length": 32, "attention.value_length": 32},
    ),
    "qwen3 moe": Family(
        "qwen3moe",
        T.Qwen3MoeConfig,
        SMALL
        | {
            "head_dim": 32,
            "num_experts": 6,
            "num_experts_per_tok": 3,
            "moe_intermediate_size": 64,
            "norm_topk_prob": True,
        },
        {
            "attention.key_length": 32,
            "attention.value_length": 32,
            "expert_count": 6,
            "expert_used_count": 3,
        },
    ),
    "gemma": Family(
        "gemma",
        T.GemmaConfig,
        SMALL | {"head_dim": 32, "tie_word_embeddings": True},
        {"attention.key_length": 32, "attention.value_length": 32},
        norm_offset=1.0,
    ),
    "gemma2": Family(
        "gemma2",
        T.Gemma2Config,
        SMALL
        | {
            "head_dim": 32,
            "query_pre_attn_scalar": 32,
            "sliding_window": WINDOW,
            "tie_word_embeddings": True,
        },
        {
            "attention.key_length": 32,
            "attention.value_length": 32,
            "attention.sliding_window": WINDOW,
            "attn_logit_softcapping": 50.0,
            "final_logit_softcapping": 30.0,
        },
        norm_offset=1.0,
    ),
    "gemma3": Family(
        "gemma3",
        T.Gemma3TextConfig,
        SMALL
        | {
            "num_hidden_layers": 7,
            "head_dim": 32,
            "query_pre_attn_scalar": 32,
            "sliding_window": WINDOW,
            "tie_word_embeddings": True,
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            },
        },
        {
            "attention.key_length": 32,
            "attention.value_length": 32,
            "attention.sliding_window": WINDOW,
            "rope.freq_base": 1e6,
            "rope.scaling.type": "linear",
            "rope.scaling.factor": 8.0,
        },
        norm_offset=1.0,
    ),
    "gemma4": Family(
        "gemma4",
        T.Gemma4TextConfig,
        GEMMA4
        | {
            "hidden_size_per_layer_input": 32,
            "vocab_size_per_layer_input": VOCABULARY,
            "num_kv_shared_layers": 2,
            "use_double_wide_mlp": True,
            "final_logit_softcapping": 20.0,
        },
        GEMMA4_KEYS
        | {
            "attention.shared_kv_layers": 2,
            "final_logit_softcapping": 20.0,
        },
        factors=first_pairs,
    ),
    "gemma4 equal": Family(  # values are keys in layers without a window
        "gemma4",
        T.Gemma4TextConfig,
        GEMMA4
        | {
            "hidden_size_per_layer_input": 0,
            "attention_k_eq_v": True,
            "tie_word_embeddings": False,
            "num_global_key_value_heads": 1,
        },
        GEMMA4_KEYS
        | {
            "attention.head_count_kv": np.array([2, 1, 2, 1], np.int32),
            "final_logit_softcapping": 0.0,  # without the key it would be 30
        },
        factors=first_pairs,
    ),
    "gemma4 moe": Family(
        "gemma4",
        T.Gemma4TextConfig,
        GEMMA4
        | {
            "hidden_size_per_layer_input": 0,
            "enable_moe_block": True,
            "num_experts": 5,
            "top_k_experts": 2,
            "moe_intermediate_size": 96,
            "final_logit_softcapping": 20.0,
        },
        GEMMA4_KEYS | {"final_logit_softcapping": 20.0},
        factors=first_pairs,
    ),
    "phi3": Family(
        "phi3",
        T.Phi3Config,
        SMALL | {"sliding_window": WINDOW} | rope(partial_rotary_factor=0.75),
        {"attention.sliding_window": WINDOW, "rope.dimension_count": 12},
    ),
    "phi3 long": Family(
        "phi3",
        T.Phi3Config,
        SMALL
        | rope(
            rope_type="longrope",
            short_factor=[1.0 + 0.1 * i for i in range(8)],
            long_factor=[2.0 + 0.5 * i for i in range(8)],
            original_max_position_embeddings=32,
            attention_factor=1.1,
        )
        | {"original_max_position_embeddings": 32},
        {
            "rope.scaling.type": "longrope",
            "rope.scaling.original_context_length": 32,
            "rope.scaling.attn_factor": 1.1,
        },
        factors=longrope_factors,
    ),
    "smollm3": Family("smollm3", T.SmolLM3Config, SMALL, permuted=True),
    "ernie4_5": Family("ernie4_5", T.Ernie4_5Config, SMALL | {"head_dim": 16, "use_bias": True}),
    "olmo2": Family("olmo2", T.Olmo2Config, SMALL),
    "olmo3": Family(
        "olmo2",
        T.Olmo3Config,
        SMALL
        | {
            "num_hidden_layers": 5,
            "sliding_window": WINDOW,
            "rope_parameters": {
                "full_attention": {
                    "rope_type": "yarn",
                    "factor": 4.0,
                    "rope_theta": 10000.0,
                    "original_max_position_embeddings": 64,
                },
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            },
        },
        {
            "attention.sliding_window": WINDOW,
            "rope.freq_base": 10000.0,
            "rope.scaling.type": "yarn",
            "rope.scaling.factor": 4.0,
            "rope.scaling.original_context_length": 64,
        },
    ),
    "granite": Family(
        "granite",
        T.GraniteConfig,
        SMALL | MULTIPLIERS | {"mlp_bias": True},
        MULTIPLIER_KEYS,
        permuted=True,
    ),
    "seed_oss": Family(
        "seed_oss",
        T.SeedOssConfig,
        SMALL | {"head_dim": 32},
        {"attention.key_length": 32, "attention.value_length": 32},
    ),
    "qwen35": Family(
        "qwen35",
        T.Qwen3_5TextConfig,
        SMALL | HYBRID | rope(partial_rotary_factor=0.25, mrope_section=[2, 1, 1]),
        HYBRID_KEYS | {"rope.dimension_sections": np.array([2, 1, 1, 0], np.int32)},
        norm_offset=1.0,
    ),
    "qwen35 moe": Family(
        "qwen35moe",
        T.Qwen3_5MoeTextConfig,
        SMALL | HYBRID | HYBRID_EXPERTS
        | rope(partial_rotary_factor=0.25, mrope_section=[2, 1, 1]),
        HYBRID_KEYS | {"rope.dimension_sections": np.array([2, 1, 1, 0], np.int32)}
        | {"expert_count": 6, "expert_used_count": 3},
        norm_offset=1.0,
    ),
    "qwen3 next": Family(
        "qwen3next",
        T.Qwen3NextConfig,
        SMALL | HYBRID | HYBRID_EXPERTS | rope(partial_rotary_factor=0.25),
        HYBRID_KEYS | {"expert_count": 6, "expert_used_count": 3},
        norm_offset=1.0,
    ),
    "lfm2": Family(
        "lfm2",
        T.Lfm2Config,
        SMALL
        | {"layer_types": ["conv", FULL, "conv", "conv"], "conv_L_cache": 3, "norm_eps": 1e-5}
        | {"block_auto_adjust_ff_dim": False},
        {"shortconv.l_cache": 3},
    ),
    "lfm2moe": Family(
        "lfm2moe",
        T.Lfm2MoeConfig,
        SMALL
        | {"layer_types": ["conv", FULL, "conv", "conv"], "conv_L_cache": 3, "norm_eps": 1e-5}
        | {"num_dense_layers": 1, "num_experts": 5, "num_experts_per_tok": 2}
        | {"moe_intermediate_size": 64},
        {"shortconv.l_cache": 3, "leading_dense_block_count": 1, "expert_count": 5}
        | {"expert_used_count": 2, "expert_gating_func": 2},
    ),
    "nemotron_h": Family(
        "nemotron_h",
        T.NemotronHConfig,
        SMALL
        | {"layers_block_type": [LINEAR, "mlp", FULL, LINEAR], "head_dim": 32}
        | {"mamba_num_heads": 4, "mamba_head_dim": 24, "n_groups": 2, "ssm_state_size": 11}
        | {"conv_kernel": 4, "time_step_min": 1e-9, "layer_norm_epsilon": 1e-5},
        {"attention.key_length": 32, "attention.value_length": 32}
        | {"attention.layer_norm_epsilon": 1e-5},
    ),
    "bitnet": Family("bitnet", T.BitNetConfig, SMALL | {"hidden_act": "silu"}),
    "bitnet relu": Family("bitnet-b1.58", T.BitNetConfig, SMALL | {"hidden_act": "relu2"}),
}  # fmt: skip
FAMILIES |= MIXTURES
