"""Model shapes (names, shapes and metadata; no weights) on which presets are compared.

Widths are those of real models or are cut down; the numbers that choose formats (layers, heads,
experts, divisibility of the rows) are real. `golden/make_presets.py` writes them as GGUF files with
holes for weights and asks llama.cpp; the tests ask zeropoint. Both import this file, so it imports
nothing of either.
"""

from collections.abc import Callable

from support.shape_parts import (
    ModelShape,
    attention,
    dense,
    experts,
    mixture,
    mlp,
    role_and_layer,
    source_format,
)

__all__ = ["SHAPES", "ModelShape", "role_and_layer", "source_format"]


def gemma3() -> ModelShape:
    model = dense("gemma3", layers=18, width=640, heads=4, kv_heads=1, inner=2048, tied=True,
                  size=256, kind="BF16")  # fmt: skip
    model.keys["attention.sliding_window"] = 512
    for layer in range(18):
        model.add(f"blk.{layer}.post_attention_norm.weight", 640)
        model.add(f"blk.{layer}.attn_q_norm.weight", 256)
    return model


def fused() -> ModelShape:
    """Phi-3: one matrix for q, k and v, one for gate and up."""
    model = ModelShape("phi3", 32, 3072)
    model.keys = {
        "feed_forward_length": 8192,
        "attention.head_count": 32,
        "attention.head_count_kv": 32,
        "rope.dimension_count": 96,
        "vocab_size": 512,
    }
    model.add("token_embd.weight", 512, 3072)
    model.add("output.weight", 512, 3072)
    model.add("output_norm.weight", 3072)
    for layer in range(32):
        model.add(f"blk.{layer}.attn_norm.weight", 3072)
        model.add(f"blk.{layer}.attn_qkv.weight", 9216, 3072)
        model.add(f"blk.{layer}.attn_output.weight", 3072, 3072)
        model.add(f"blk.{layer}.ffn_up.weight", 16384, 3072)
        model.add(f"blk.{layer}.ffn_down.weight", 3072, 8192)
    return model


def falcon(layers: int = 32, width: int = 4544) -> ModelShape:
    model = ModelShape("falcon", layers, width)
    model.keys = {
        "feed_forward_length": 4 * width,
        "attention.head_count": width // 64,
        "attention.head_count_kv": 1,
        "vocab_size": 512,
    }
    model.add("token_embd.weight", 512, width)
    model.add("output.weight", 512, width)
    for layer in range(layers):
        model.add(f"blk.{layer}.attn_norm.weight", width)
        model.add(f"blk.{layer}.attn_qkv.weight", width + 128, width)
        model.add(f"blk.{layer}.attn_output.weight", width, width)
        model.add(f"blk.{layer}.ffn_up.weight", 4 * width, width)
        model.add(f"blk.{layer}.ffn_down.weight", width, 4 * width)
    return model


def latent() -> ModelShape:
    """DeepSeek-V2 Lite: latent attention, 64 experts, two shared, a dense first layer."""
    model = ModelShape("deepseek2", 27, 2048)
    model.keys = {
        "feed_forward_length": 10944,
        "expert_feed_forward_length": 1408,
        "attention.head_count": 16,
        "attention.head_count_kv": 16,
        "attention.key_length": 192,
        "attention.value_length": 128,
        "attention.kv_lora_rank": 512,
        "leading_dense_block_count": 1,
        "expert_count": 64,
        "expert_used_count": 6,
        "expert_shared_count": 2,
        "expert_weights_scale": 1.0,
        "rope.dimension_count": 64,
        "vocab_size": 512,
    }
    model.add("token_embd.weight", 512, 2048)
    model.add("output.weight", 512, 2048)
    for layer in range(27):
        block = f"blk.{layer}"
        model.add(f"{block}.attn_q.weight", 3072, 2048)
        model.add(f"{block}.attn_kv_a_mqa.weight", 576, 2048)
        model.add(f"{block}.attn_kv_b.weight", 4096, 512)
        model.add(f"{block}.attn_k_b.weight", 16, 512, 128)
        model.add(f"{block}.attn_v_b.weight", 16, 128, 512)
        model.add(f"{block}.attn_output.weight", 2048, 2048)
        if layer == 0:
            mlp(model, block, 2048, 10944)
        else:
            experts(model, block, 64, 2048, 1408)
            mlp(model, block, 2048, 2816, "_shexp")
    return model


def oss() -> ModelShape:
    """gpt-oss: biases, sinks, rows of 2880."""
    model = mixture("gpt-oss", layers=24, width=2880, heads=64, kv_heads=8, inner=2880, count=32,
                    used=4, size=64)  # fmt: skip
    model.keys["attention.sliding_window"] = 128
    for layer in range(24):
        model.add(f"blk.{layer}.attn_sinks.weight", 64)
        model.add(f"blk.{layer}.ffn_gate_exps.bias", 32, 2880)
    return model


def gemma3n() -> ModelShape:
    """Gemma 3n: tied, embeddings per layer, small altup and laurel matrices."""
    model = dense("gemma3n", layers=30, width=2048, heads=8, kv_heads=2, inner=8192, tied=True,
                  size=256)  # fmt: skip
    model.keys["attention.sliding_window"] = 512
    model.keys["embedding_length_per_layer_input"] = 256
    model.add("per_layer_token_embd.weight", 512, 7680)
    model.add("per_layer_model_proj.weight", 7680, 2048)
    model.add("altup_proj.weight", 3, 2048, 2048)
    for layer in range(30):
        model.add(f"blk.{layer}.laurel_l.weight", 64, 2048)
        model.add(f"blk.{layer}.laurel_r.weight", 2048, 64)
        model.add(f"blk.{layer}.inp_gate.weight", 256, 2048)
        model.add(f"blk.{layer}.proj.weight", 2048, 256)
        model.add(f"blk.{layer}.altup_router.weight", 4, 2048)
    return model


def hybrid() -> ModelShape:
    """LFM2: convolution blocks first (no key heads in layer 0), tied."""
    kv_heads = [8 if layer in (2, 5, 8, 10, 12, 14) else 0 for layer in range(16)]
    model = ModelShape("lfm2", 16, 1024)
    model.keys = {
        "feed_forward_length": 4608,
        "attention.head_count": 16,
        "attention.head_count_kv": kv_heads,
        "shortconv.l_cache": 3,
        "vocab_size": 512,
    }
    model.add("token_embd.weight", 512, 1024)
    model.add("token_embd_norm.weight", 1024)
    for layer in range(16):
        block = f"blk.{layer}"
        mlp(model, block, 1024, 4608)
        if kv_heads[layer]:
            attention(model, block, 16, 8, 64, 1024)
        else:
            model.add(f"{block}.shortconv.conv.weight", 1024, 3)
            model.add(f"{block}.shortconv.in_proj.weight", 3072, 1024)
            model.add(f"{block}.shortconv.out_proj.weight", 1024, 1024)
    return model


def recurrent() -> ModelShape:
    """Mamba: no attention at all."""
    model = ModelShape("mamba", 24, 768)
    model.keys = {
        "feed_forward_length": 0,
        "attention.head_count": 0,
        "ssm.conv_kernel": 4,
        "ssm.inner_size": 1536,
        "ssm.state_size": 16,
        "ssm.time_step_rank": 48,
        "vocab_size": 512,
    }
    model.add("token_embd.weight", 512, 768)
    model.add("output_norm.weight", 768)
    for layer in range(24):
        block = f"blk.{layer}"
        model.add(f"{block}.ssm_in.weight", 3072, 768)
        model.add(f"{block}.ssm_conv1d.weight", 1536, 4)
        model.add(f"{block}.ssm_x.weight", 80, 1536)
        model.add(f"{block}.ssm_dt.weight", 1536, 48)
        model.add(f"{block}.ssm_a", 1536, 16)
        model.add(f"{block}.ssm_out.weight", 768, 1536)
    return model


def encoder() -> ModelShape:
    """BERT: positions and token types stay as they are; no gate."""
    model = ModelShape("bert", 12, 384)
    model.keys = {
        "feed_forward_length": 1536,
        "attention.head_count": 12,
        "attention.causal": False,
        "vocab_size": 512,
    }
    model.add("token_embd.weight", 512, 384)
    model.add("position_embd.weight", 512, 384)
    model.add("token_types.weight", 2, 384)
    for layer in range(12):
        block = f"blk.{layer}"
        attention(model, block, 12, 12, 32, 384)
        model.add(f"{block}.ffn_up.weight", 1536, 384)
        model.add(f"{block}.ffn_down.weight", 384, 1536)
    return model


def nextn() -> ModelShape:
    """GLM 4.5 Air cut down: a layer for multi-token prediction counts as a layer."""
    model = mixture("glm4moe", layers=47, width=1024, heads=96, kv_heads=8, inner=256, count=128,
                    used=8, size=128, shared=256, dense_layers=1)  # fmt: skip
    model.keys |= {
        "leading_dense_block_count": 1,
        "expert_shared_count": 1,
        "expert_weights_scale": 1.0,
        "nextn_predict_layers": 1,
    }
    model.add("blk.46.nextn.eh_proj.weight", 1024, 2048)
    model.add("blk.46.nextn.embed_tokens.weight", 512, 1024)
    return model


LATENT_KEYS: dict[str, object] = {
    "attention.key_length_mla": 192,
    "attention.value_length_mla": 128,
    "attention.q_lora_rank": 512,
    "attention.kv_lora_rank": 512,
    "ssm.conv_kernel": 4,
    "kda.head_dim": 128,
    "kda.gate_lower_bound": -5.0,
    "expert_gating_func": 2,
    "expert_shared_count": 1,
    "leading_dense_block_count": 1,
    "attention.indexer.head_count": 32,
    "attention.indexer.key_length": 128,
    "attention.indexer.top_k": 2048,
    "attention.indexer.kpool": 4,
    "hyper_connection.count": 4,
    "hyper_connection.sinkhorn_iterations": 20,
    "hyper_connection.epsilon": 1e-6,
}


def latent_hybrid(architecture: str) -> ModelShape:
    """GLM5-NEXT and BailingMoE 3: stacked matrices that are no experts, delicate ones, a filter."""
    model = mixture(architecture, layers=20, width=1024, heads=16, kv_heads=2, inner=512, count=64,
                    used=4, size=128, shared=512, dense_layers=1)  # fmt: skip
    model.keys |= LATENT_KEYS
    for layer in range(20):
        block = f"blk.{layer}"
        for part in ("attn_q_a", "attn_q_b", "indexer.attn_q_b", "indexer.attn_k", "indexer.proj",
                     "ssm_f_a", "ssm_g_b", "ssm_beta", "ssm_out", "attn_kv_a_mqa", "hc_attn_fn",
                     "indexer_compressor_gate", "indexer_compressor_ape"):  # fmt: skip
            model.add(f"{block}.{part}.weight", 512, 1024)
        model.add(f"{block}.attn_k_b.weight", 16, 512, 128)
        model.add(f"{block}.attn_v_b.weight", 16, 128, 512)
        model.add(f"{block}.attn_kv_b.weight", 4096, 512)
    model.add("blk.19.nextn.eh_proj.weight", 1024, 2048)
    return model


def looped() -> ModelShape:
    """Nanbeige: its layers are walked through twice and count twice."""
    model = dense("nanbeige", layers=12, width=1024, heads=16, kv_heads=16, inner=2048)
    model.keys["num_loops"] = 2
    return model


def awkward() -> ModelShape:
    """Rows that fit nothing, matrices of one row, odd names."""
    model = dense("llama", layers=9, width=320, heads=5, kv_heads=5, inner=1000, tied=True)
    model.add("blk.0.single_row.weight", 1, 320)
    model.add("blk.0.single_column.weight", 320, 1)
    model.add("blk.0.single_expert.weight", 1, 4, 320)
    model.add("blk.1.one_of_many.weight", 4, 1, 320)
    model.add("blk.0.weight_last", 320, 320)
    model.add("blk.0.attn_v.weightless.bias", 320, 320)
    model.add("per_layer_token_embd.weight", 512, 320)
    model.add("blk.10.attn_v.weight", 320, 320)
    model.add("blk.0.attn_v_norm.weight", 320, 320)
    model.add("blk.0.extra_attn_v.weight", 320, 320)
    return model


SHAPES: dict[str, Callable[[], ModelShape]] = {
    "gemma3-270m": gemma3,
    "smollm2-135m": lambda: dense("llama", layers=30, width=576, heads=9, kv_heads=3, inner=1536,
                                  tied=True),
    "qwen2-0.5b": lambda: dense("qwen2", layers=24, width=896, heads=14, kv_heads=2, inner=4864,
                                tied=True, bias=True),
    "qwen2-1.5b-untied": lambda: dense("qwen2", layers=28, width=1536, heads=12, kv_heads=2,
                                       inner=8960, bias=True),
    "llama-1b-16": lambda: dense("llama", layers=16, width=2048, heads=32, kv_heads=8, inner=8192,
                                 tied=True),
    "llama-28": lambda: dense("llama", layers=28, width=3072, heads=24, kv_heads=8, inner=8192),
    "llama-8b-32": lambda: dense("llama", layers=32, width=4096, heads=32, kv_heads=8,
                                 inner=14336, kind="F32"),
    "llama-7b-mha": lambda: dense("llama", layers=32, width=4096, heads=32, kv_heads=32,
                                  inner=11008),
    "qwen3-36": lambda: dense("qwen3", layers=36, width=2560, heads=32, kv_heads=8, inner=9728,
                              size=128, tied=True),
    "llama-70b-80": lambda: dense("llama", layers=80, width=8192, heads=64, kv_heads=8,
                                  inner=28672),
    "llama-65b-80": lambda: dense("llama", layers=80, width=8192, heads=64, kv_heads=64,
                                  inner=22016),
    "qwen2-72b-80": lambda: dense("qwen2", layers=80, width=8192, heads=64, kv_heads=8,
                                  inner=29568, bias=True),
    "mixtral-8x7b": lambda: mixture("llama", layers=32, width=4096, heads=32, kv_heads=8,
                                    inner=14336, count=8, used=2, size=128),
    "qwen3-moe-128": lambda: mixture("qwen3moe", layers=48, width=2048, heads=32, kv_heads=4,
                                     inner=768, count=128, used=8, size=128),
    "glm4-moe-nextn": nextn,
    "gpt-oss-20b": oss,
    "deepseek2-lite": latent,
    "phi3-fused": fused,
    "falcon-7b": falcon,
    "falcon-40b": lambda: falcon(60, 8192),
    "glm5-next": lambda: latent_hybrid("glm5-next"),
    "bailingmoe3": lambda: latent_hybrid("bailingmoe3"),
    "nanbeige-looped": looped,
    "gemma3n": gemma3n,
    "lfm2-hybrid": hybrid,
    "mamba": recurrent,
    "bert": encoder,
    "awkward": awkward,
}  # fmt: skip
