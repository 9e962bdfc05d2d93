"""Tiny random models of mixtures of experts whose mixer is attention."""

from support.tiny_family import SMALL, WINDOW, Family, T, rope

MULTIPLIERS = {
    "embedding_multiplier": 3.0,
    "residual_multiplier": 0.4,
    "attention_multiplier": 0.3,
    "logits_scaling": 1.7,
}
MULTIPLIER_KEYS = {
    "embedding_scale": 3.0,
    "residual_scale": 0.4,
    "attention.scale": 0.3,
    "logit_scale": 1.7,
}
GPT_OSS = SMALL | {
    "head_dim": 32,
    "num_local_experts": 5,
    "num_experts_per_tok": 2,
    "sliding_window": WINDOW,
}
GPT_OSS_KEYS = {
    "attention.key_length": 32,
    "attention.value_length": 32,
    "attention.sliding_window": WINDOW,
    "expert_count": 5,
    "expert_used_count": 2,
}
GLM = SMALL | {
    "head_dim": 32,
    "n_routed_experts": 6,
    "num_experts_per_tok": 2,
    "n_shared_experts": 1,
    "moe_intermediate_size": 64,
    "first_k_dense_replace": 1,
    "n_group": 3,
    "topk_group": 2,
    "routed_scaling_factor": 1.5,
}
GLM_KEYS = {
    "attention.key_length": 32,
    "attention.value_length": 32,
    "rope.dimension_count": 16,
    "expert_count": 6,
    "expert_used_count": 2,
    "expert_shared_count": 1,
    "leading_dense_block_count": 1,
    "expert_group_count": 3,
    "expert_group_used_count": 2,
    "expert_weights_scale": 1.5,
    "expert_weights_norm": True,
}
MIXTURES = {
    "gpt-oss": Family("gpt-oss", T.GptOssConfig, GPT_OSS | rope(), GPT_OSS_KEYS),
    "gpt-oss yarn": Family(
        "gpt-oss",
        T.GptOssConfig,
        GPT_OSS
        | rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=64, truncate=False),
        GPT_OSS_KEYS
        | {
            "rope.scaling.type": "yarn",
            "rope.scaling.factor": 4.0,
            "rope.scaling.original_context_length": 64,
        },
    ),
    "ernie4_5 moe": Family(
        "ernie4_5-moe",
        T.Ernie4_5_MoeConfig,
        SMALL
        | {
            "moe_num_experts": 5,
            "moe_k": 2,
            "moe_intermediate_size": 64,
            "moe_num_shared_experts": 1,
            "moe_layer_start_index": 1,
        },
        {
            "expert_count": 5,
            "expert_used_count": 2,
            "expert_shared_count": 1,
            "leading_dense_block_count": 1,
            "interleave_moe_layer_step": 1,
        },
    ),
    "glm4moe": Family("glm4moe", T.Glm4MoeConfig, GLM, GLM_KEYS),
    "glm4moe normed": Family(
        "glm4moe",
        T.Glm4MoeConfig,
        GLM | {"use_qk_norm": True, "attention_bias": True, "n_shared_experts": 2},
        GLM_KEYS | {"expert_shared_count": 2},
    ),
    "granitemoe": Family(
        "granitemoe",
        T.GraniteMoeConfig,
        SMALL | MULTIPLIERS | {"num_local_experts": 5, "num_experts_per_tok": 2},
        MULTIPLIER_KEYS | {"expert_count": 5, "expert_used_count": 2},
        permuted=True,
    ),
}
