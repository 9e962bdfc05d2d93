"""Seed-OSS: a Llama with biases of queries, keys and values, and rotary pairs half a head apart."""

from zeropoint.checkpoints.families import tensor_roles as roles
from zeropoint.checkpoints.families.llama import no_entries, rotated_keys
from zeropoint.checkpoints.families.record import HuggingFaceType, ModelFamily

SEED_OSS = ModelFamily(
    architecture="seed_oss",
    huggingface=(
        HuggingFaceType(
            model_types=("seed_oss",),
            model_class="SeedOssForCausalLM",
            config_class="SeedOssConfig",
            read_settings=rotated_keys,
            write_config=no_entries,
            defaults={"num_key_value_heads": 8, "head_dim": 128, "attention_bias": True},
            biases={
                "attention_bias": roles.QKV,
                "attention_out_bias": ("attn_output",),
                "mlp_bias": roles.MLP_BIASES,
            },
            harmless={"residual_dropout": "only training uses it"},
        ),
    ),
    roles=roles.RENAMED_NORMS | roles.ATTENTION | roles.MLP,
    stored_names={"ffn_norm": "post_attention_norm"},
    unread_by_llama_cpp=frozenset({"attention.scale", "rope.scaling.yarn_beta_fast"}),
)
