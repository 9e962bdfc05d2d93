"""The config.json of published folders is read whole, without a remark."""

import json
from pathlib import Path

import pytest

from zeropoint.checkpoints.portability import find_unread_keys
from zeropoint.checkpoints.settings.config_to_gguf import read_configuration
from zeropoint.errors import CheckpointError

# Settings of published folders (2026), without those in HARMLESS.
_LLAMA3 = {
    "factor": 32.0,
    "high_freq_factor": 4.0,
    "low_freq_factor": 1.0,
    "original_max_position_embeddings": 8192,
    "rope_type": "llama3",
}


def published(kind: str, sizes: tuple[int, ...], eps: float = 1e-6, **more: object) -> dict:
    keys = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
            "num_attention_heads", "num_key_value_heads", "max_position_embeddings")  # fmt: skip
    names = dict(zip(keys, sizes, strict=True))
    usual = {"hidden_act": "silu", "initializer_range": 0.02, "use_cache": True, "bos_token_id": 1}
    return usual | names | {"model_type": kind, "rms_norm_eps": eps} | more


PUBLISHED = {
    "Llama-3.2-1B": published(
        "llama", (128256, 2048, 8192, 16, 32, 8, 131072), 1e-5, attention_bias=False,
        attention_dropout=0.0, head_dim=64, mlp_bias=False, pretraining_tp=1, rope_scaling=_LLAMA3,
        rope_theta=500000.0, tie_word_embeddings=True,
    ),
    "SmolLM2-135M": published(
        "llama", (49152, 576, 1536, 30, 9, 3, 8192), 1e-5, is_llama_config=True,
        rope_interleaved=False, rope_scaling=None, rope_theta=100000, tie_word_embeddings=True,
    ),
    "Mistral-7B-v0.1": published(
        "mistral", (32000, 4096, 14336, 32, 32, 8, 32768), 1e-5, rope_theta=10000.0,
        sliding_window=4096, tie_word_embeddings=False,
    ),
    "Mixtral-8x7B": published(
        "mixtral", (32000, 4096, 14336, 32, 32, 8, 32768), 1e-5, num_experts_per_tok=2,
        num_local_experts=8, output_router_logits=False, rope_theta=1e6,
        router_aux_loss_coef=0.02, sliding_window=None, tie_word_embeddings=False,
    ),
    "Qwen2.5-0.5B": published(
        "qwen2", (151936, 896, 4864, 24, 14, 2, 32768), max_window_layers=24, rope_theta=1e6,
        sliding_window=32768, tie_word_embeddings=True, use_mrope=False, use_sliding_window=False,
    ),
    "Qwen3-30B-A3B": published(
        "qwen3_moe", (151936, 2048, 6144, 48, 32, 4, 40960), attention_bias=False,
        decoder_sparse_step=1, head_dim=128, max_window_layers=48, mlp_only_layers=[],
        moe_intermediate_size=768, norm_topk_prob=True, num_experts=128, num_experts_per_tok=8,
        rope_scaling=None, rope_theta=1e6, sliding_window=None, tie_word_embeddings=False,
        use_sliding_window=False,
    ),
    "gemma-2-2b": published(
        "gemma2", (256000, 2304, 9216, 26, 8, 4, 8192), attention_bias=False,
        attn_logit_softcapping=50.0, cache_implementation="hybrid", final_logit_softcapping=30.0,
        head_dim=256, hidden_act="gelu_pytorch_tanh", hidden_activation="gelu_pytorch_tanh",
        query_pre_attn_scalar=256, rope_theta=10000.0, sliding_window=4096,
    ),
    "gemma-3-270m": published(
        "gemma3_text", (262144, 640, 2048, 18, 4, 1, 32768), _sliding_window_pattern=6,
        attn_logit_softcapping=None, final_logit_softcapping=None, head_dim=256,
        hidden_activation="gelu_pytorch_tanh", query_pre_attn_scalar=256,
        rope_local_base_freq=10000.0, rope_scaling=None, rope_theta=1000000.0, sliding_window=512,
        layer_types=(["sliding_attention"] * 5 + ["full_attention"]) * 3,
        use_bidirectional_attention=False,
    ),
    "gemma-3-4b": {
        "architectures": ["Gemma3ForConditionalGeneration"], "boi_token_index": 255999,
        "eoi_token_index": 256000, "image_token_index": 262144, "mm_tokens_per_image": 256,
        "model_type": "gemma3", "vision_config": {"hidden_size": 1152},
        "text_config": {
            "hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text",
            "num_hidden_layers": 34, "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
            "sliding_window": 1024,
        },
    },
    "Phi-3-mini-4k": published(
        "phi3", (32064, 3072, 8192, 32, 32, 32, 4096), 1e-5, attention_bias=False,
        auto_map={"AutoConfig": "configuration_phi3.Phi3Config"}, embd_pdrop=0.0,
        original_max_position_embeddings=4096, resid_pdrop=0.0, rope_scaling=None,
        rope_theta=10000.0, sliding_window=2047, tie_word_embeddings=False,
    ),
    "Phi-4-mini": published(
        "phi3", (200064, 3072, 8192, 32, 24, 8, 131072), 1e-5, full_attn_mod=1,
        interpolate_factor=1, lm_head_bias=False, mlp_bias=False,
        original_max_position_embeddings=4096, partial_rotary_factor=0.75,
        rope_scaling={"long_factor": [1.0] * 48, "short_factor": [1.0] * 48, "type": "longrope"},
        rope_theta=10000.0, sliding_window=262144, tie_word_embeddings=True,
    ),
    "SmolLM3-3B": published(
        "smollm3", (128256, 2048, 11008, 36, 16, 4, 65536), attention_bias=False,
        layer_types=["full_attention"] * 36, max_window_layers=28, mlp_bias=False,
        no_rope_layer_interval=4, no_rope_layers=[1, 1, 1, 0] * 9, rope_scaling=None,
        rope_theta=5000000.0, sliding_window=None, use_sliding_window=False,
    ),
    "bitnet-b1.58-2B-4T": published(
        "bitnet", (128256, 2560, 6912, 30, 20, 5, 4096), 1e-5, rope_theta=500000.0,
        hidden_act="relu2", tie_word_embeddings=True,
        quantization_config={"quant_method": "bitnet", "linear_class": "autobitlinear",
                             "quantization_mode": "offline"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_folders_are_read_without_a_remark(name: str) -> None:
    configuration = read_configuration(Path("config.json"), PUBLISHED[name])
    assert set(configuration.ignored) <= {"is_llama_config"}  # of no class of transformers


def test_keys_outside_of_a_text_config_are_not_the_text_models(tmp_path: Path) -> None:
    config = json.loads(json.dumps(PUBLISHED["gemma-3-4b"])) | {"sliding_window": 3}
    configuration = read_configuration(tmp_path / "config.json", config)
    assert configuration.metadata["gemma3.attention.sliding_window"] == 1024
    assert "sliding_window" not in configuration.ignored  # text_config has its own
    config["text_config"] |= {"clip_qkv": 8.0}
    assert read_configuration(tmp_path, config).ignored == ("clip_qkv",)
    config["text_config"] |= {"use_bidirectional_attention": True}
    with pytest.raises(CheckpointError, match="use_bidirectional_attention"):
        read_configuration(tmp_path, config)


def test_of_the_published_models_only_windows_are_unread_by_llama_cpp() -> None:
    found = {
        name: unread
        for name, config in PUBLISHED.items()
        if (unread := find_unread_keys(read_configuration(Path("config.json"), config).metadata))
    }
    assert found == {
        "Mistral-7B-v0.1": ["llama.attention.sliding_window"],
        "Phi-3-mini-4k": ["phi3.attention.sliding_window"],
    }
    moe = PUBLISHED["Qwen3-30B-A3B"] | {"norm_topk_prob": False}
    keys = find_unread_keys(read_configuration(Path("config.json"), moe).metadata)
    assert keys == ["qwen3moe.expert_weights_norm"]
