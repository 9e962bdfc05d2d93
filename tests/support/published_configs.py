"""Figures of published models, from their config.json on the Hub (2026-10)."""

LLAMA_8B = {  # meta-llama/Llama-3.1-8B
    "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336,
    "vocab_size": 128256, "max_position_embeddings": 131072, "tie_word_embeddings": False,
}  # fmt: skip
DEEPSEEK_V3 = {  # deepseek-ai/DeepSeek-V3
    "model_type": "deepseek_v3", "hidden_size": 7168, "num_hidden_layers": 61,
    "num_attention_heads": 128, "num_key_value_heads": 128, "intermediate_size": 18432,
    "moe_intermediate_size": 2048, "n_routed_experts": 256, "n_shared_experts": 1,
    "num_experts_per_tok": 8, "first_k_dense_replace": 3, "moe_layer_freq": 1,
    "kv_lora_rank": 512, "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
    "v_head_dim": 128, "vocab_size": 129280, "tie_word_embeddings": False,
}  # fmt: skip
KIMI_K2 = DEEPSEEK_V3 | {  # moonshotai/Kimi-K2-Instruct
    "model_type": "kimi_k2", "num_attention_heads": 64, "n_routed_experts": 384,
    "first_k_dense_replace": 1, "vocab_size": 163840,
}  # fmt: skip
GEMMA_27B = {  # google/gemma-3-27b-it: the text part's own keys, as the folder leaves out the rest
    "model_type": "gemma3",
    "text_config": {
        "model_type": "gemma3_text", "hidden_size": 5376, "num_hidden_layers": 62,
        "num_attention_heads": 32, "num_key_value_heads": 16, "head_dim": 128,
        "intermediate_size": 21504, "sliding_window": 1024, "vocab_size": 262208,
    },
}  # fmt: skip
QWEN_27B = {  # Qwen/Qwen3.5-27B and its successors: three layers of four have no cache
    "model_type": "qwen3_5", "tie_word_embeddings": False,
    "text_config": {
        "model_type": "qwen3_5_text", "hidden_size": 5120, "num_hidden_layers": 64,
        "num_attention_heads": 24, "num_key_value_heads": 4, "head_dim": 256,
        "intermediate_size": 17408, "vocab_size": 248320, "full_attention_interval": 4,
        "linear_num_value_heads": 48, "linear_num_key_heads": 16, "linear_key_head_dim": 128,
        "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4,
    },
}  # fmt: skip
CODER_NEXT = {  # Qwen/Qwen3-Coder-Next
    "model_type": "qwen3_next", "hidden_size": 2048, "num_hidden_layers": 48,
    "num_attention_heads": 16, "num_key_value_heads": 2, "head_dim": 256,
    "intermediate_size": 5120, "vocab_size": 151936, "full_attention_interval": 4,
    "linear_num_value_heads": 32, "linear_num_key_heads": 16, "linear_key_head_dim": 128,
    "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4, "num_experts": 512,
    "num_experts_per_tok": 10, "moe_intermediate_size": 512,
    "shared_expert_intermediate_size": 512, "decoder_sparse_step": 1,
    "tie_word_embeddings": False,
}  # fmt: skip
QWEN_14B = {  # Qwen/Qwen3-14B
    "model_type": "qwen3", "hidden_size": 5120, "num_hidden_layers": 40,
    "num_attention_heads": 40, "num_key_value_heads": 8, "head_dim": 128,
    "intermediate_size": 17408, "vocab_size": 151936, "max_position_embeddings": 40960,
    "tie_word_embeddings": False,
}  # fmt: skip
GPT_OSS_120B = {  # openai/gpt-oss-120b
    "model_type": "gpt_oss", "hidden_size": 2880, "num_hidden_layers": 36,
    "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 64,
    "intermediate_size": 2880, "vocab_size": 201088, "sliding_window": 128,
    "num_local_experts": 128, "num_experts_per_tok": 4,
    "layer_types": ["sliding_attention", "full_attention"] * 18, "tie_word_embeddings": False,
}  # fmt: skip
LLAMA_4_SCOUT = {  # meta-llama/Llama-4-Scout-17B-16E
    "model_type": "llama4",
    "text_config": {
        "model_type": "llama4_text", "hidden_size": 5120, "num_hidden_layers": 48,
        "num_attention_heads": 40, "num_key_value_heads": 8, "head_dim": 128,
        "intermediate_size": 8192, "intermediate_size_mlp": 16384, "num_local_experts": 16,
        "num_experts_per_tok": 1, "interleave_moe_layer_step": 1, "attention_chunk_size": 8192,
        "vocab_size": 202048,
    },
}  # fmt: skip

COMMON = {"tie_word_embeddings": False, "num_key_value_heads": 8, "num_attention_heads": 32}
FAMILIES = {  # billions of weights, layers with a cache, and what the config says
    "Mixtral 8x7B": (46.7, 32, COMMON | {
        "model_type": "mixtral", "hidden_size": 4096, "num_hidden_layers": 32,
        "intermediate_size": 14336, "num_local_experts": 8, "num_experts_per_tok": 2,
        "vocab_size": 32000,
    }),
    "Gemma 2 9B": (9.24, 42, {
        "model_type": "gemma2", "hidden_size": 3584, "num_hidden_layers": 42,
        "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 256,
        "intermediate_size": 14336, "vocab_size": 256000, "sliding_window": 4096,
    }),
    "Mamba 2 2.7B": (2.7, 0, {
        "model_type": "mamba2", "hidden_size": 2560, "num_hidden_layers": 64, "state_size": 128,
        "num_heads": 80, "head_dim": 64, "expand": 2, "n_groups": 1, "conv_kernel": 4,
        "vocab_size": 50288, "tie_word_embeddings": True,
    }),
    "Jamba v0.1": (51.6, 4, COMMON | {
        "model_type": "jamba", "hidden_size": 4096, "num_hidden_layers": 32,
        "intermediate_size": 14336, "num_experts": 16, "num_experts_per_tok": 2,
        "expert_layer_period": 2, "expert_layer_offset": 1, "attn_layer_period": 8,
        "attn_layer_offset": 4, "mamba_d_state": 16, "mamba_d_conv": 4, "mamba_expand": 2,
        "vocab_size": 65536,
    }),
    "Nemotron-H 8B": (8.1, 4, COMMON | {
        "model_type": "nemotron_h", "hidden_size": 4096, "num_hidden_layers": 52, "head_dim": 128,
        "intermediate_size": 21504, "ssm_state_size": 128, "mamba_num_heads": 128,
        "mamba_head_dim": 64, "n_groups": 8, "conv_kernel": 4, "vocab_size": 131072,
        "hybrid_override_pattern": "M-M-M-M*-" + 3 * "M-M-M-M-M*-" + 5 * "M-",
    }),
    "Granite 4.0 H Small": (32.2, 4, COMMON | {
        "model_type": "granitemoehybrid", "hidden_size": 4096, "num_hidden_layers": 40,
        "intermediate_size": 768, "shared_intermediate_size": 1536, "num_local_experts": 72,
        "num_experts_per_tok": 10, "mamba_d_state": 128, "mamba_n_heads": 128, "mamba_d_head": 64,
        "mamba_n_groups": 1, "mamba_d_conv": 4, "vocab_size": 100352, "tie_word_embeddings": True,
        "layer_types": 4 * (5 * ["mamba"] + ["attention"] + 4 * ["mamba"]),
    }),
    "LFM2 1.2B": (1.17, 6, COMMON | {
        "model_type": "lfm2", "hidden_size": 2048, "num_hidden_layers": 16,
        "intermediate_size": 12288, "block_auto_adjust_ff_dim": True, "block_multiple_of": 256,
        "block_ffn_dim_multiplier": 1.0, "conv_L_cache": 3, "vocab_size": 65536,
        "layer_types": 3 * ["conv", "conv", "full_attention"] + ["conv"]
        + 3 * ["full_attention", "conv"], "tie_word_embeddings": True,
    }),
    "DeepSeek V2 Lite": (15.7, 27, DEEPSEEK_V3 | {
        "model_type": "deepseek_v2", "hidden_size": 2048, "num_hidden_layers": 27,
        "num_attention_heads": 16, "num_key_value_heads": 16, "intermediate_size": 10944,
        "moe_intermediate_size": 1408, "n_routed_experts": 64, "n_shared_experts": 2,
        "num_experts_per_tok": 6, "first_k_dense_replace": 1, "q_lora_rank": None,
        "vocab_size": 102400,
    }),
    "Qwen2 57B-A14B": (57.4, 28, COMMON | {
        "model_type": "qwen2_moe", "hidden_size": 3584, "num_hidden_layers": 28,
        "num_attention_heads": 28, "num_key_value_heads": 4, "intermediate_size": 18944,
        "moe_intermediate_size": 2560, "shared_expert_intermediate_size": 20480,
        "num_experts": 64, "num_experts_per_tok": 8, "vocab_size": 151936,
    }),
    "Mamba 2.8B": (2.77, 0, {  # its output matrix is its embedding, which its config leaves out
        "model_type": "mamba", "hidden_size": 2560, "num_hidden_layers": 64, "state_size": 16,
        "conv_kernel": 4, "expand": 2, "vocab_size": 50280,
    }),
    "Falcon 7B": (6.92, 32, {
        "model_type": "falcon", "hidden_size": 4544, "num_hidden_layers": 32,
        "num_attention_heads": 71, "multi_query": True, "vocab_size": 65024,
    }),
    "MPT 7B": (6.65, 32, {
        "model_type": "mpt", "d_model": 4096, "n_heads": 32, "n_layers": 32, "vocab_size": 50432,
    }),
    "GPT-2": (0.124, 12, {
        "model_type": "gpt2", "n_embd": 768, "n_head": 12, "n_layer": 12, "vocab_size": 50257,
    }),
    "RecurrentGemma 2B": (2.68, 8, {
        "model_type": "recurrent_gemma", "hidden_size": 2560, "num_hidden_layers": 26,
        "num_attention_heads": 10, "num_key_value_heads": 1, "intermediate_size": 15360,
        "attention_window_size": 2048, "block_types": ["recurrent", "recurrent", "attention"],
        "vocab_size": 256000,
    }),
    "Gemma 3 12B": (11.77, 48, {"model_type": "gemma3", "text_config": {  # as it was published
        "model_type": "gemma3_text", "hidden_size": 3840, "num_hidden_layers": 48,
        "num_attention_heads": 16, "num_key_value_heads": 8, "intermediate_size": 15360,
        "sliding_window": 1024,
    }}),
    "gpt-oss 20B": (20.9, 24, GPT_OSS_120B | {
        "num_hidden_layers": 24, "num_local_experts": 32,
        "layer_types": ["sliding_attention", "full_attention"] * 12,
    }),
    "Qwen3 30B-A3B": (30.53, 48, COMMON | {
        "model_type": "qwen3_moe", "hidden_size": 2048, "num_hidden_layers": 48, "head_dim": 128,
        "num_key_value_heads": 4, "intermediate_size": 6144, "moe_intermediate_size": 768,
        "num_experts": 128, "num_experts_per_tok": 8, "vocab_size": 151936,
    }),
}  # fmt: skip
