"""Granite 3: a Llama with four multipliers, dense or a mixture of experts."""

from zeropoint.checkpoints.families import tensor_roles as roles
from zeropoint.checkpoints.families.llama import rotated_keys
from zeropoint.checkpoints.families.record import HuggingFaceType, Json, Metadata, ModelFamily
from zeropoint.checkpoints.settings.gguf_keys import GgufKeys
from zeropoint.checkpoints.settings.settings import Settings
from zeropoint.checkpoints.values import Float32, UInt32

# Settings of config.json, which all default to 1, and keys of a file.
MULTIPLIERS = {
    "embedding_multiplier": "embedding_scale",
    "residual_multiplier": "residual_scale",
    "attention_multiplier": "attention.scale",
    "logits_scaling": "logit_scale",
}
EXPERTS = {
    "block_sparse_moe.router.layer": "ffn_gate_inp",
    "block_sparse_moe.router": "ffn_gate_inp",
    "block_sparse_moe.input_linear": "ffn_gate_up_exps",
    "block_sparse_moe.output_linear": "ffn_down_exps",
}


def read_dense(family: ModelFamily, settings: Settings) -> Metadata:
    """Return the multipliers. 0 means in a file that there is none, so it is refused."""
    keys = rotated_keys(family, settings)
    for setting, key in MULTIPLIERS.items():
        value = 1.0 if settings.get(setting) is None else settings.number(setting)
        if value == 0:
            raise settings.wrong(setting, f"is 0; {family.architecture} files cannot express it")
        keys[key] = Float32(value)
    return keys


def write_dense(family: ModelFamily, keys: GgufKeys, config: Json) -> Json:
    """Return the multipliers."""
    if not keys.flag("rope.scaling.finetuned", default=True):
        raise keys.unsupported("rope.scaling.finetuned")
    default = float(config["head_dim"]) ** -0.5  # type: ignore[arg-type]
    found: Json = {setting: keys.number(key, 0.0) or 1.0 for setting, key in MULTIPLIERS.items()}
    if not keys.number("attention.scale", 0.0):
        found["attention_multiplier"] = default
    return found


def read_experts(family: ModelFamily, settings: Settings) -> Metadata:
    """Return the multipliers and the experts."""
    return read_dense(family, settings) | {
        "expert_count": UInt32(settings.integer("num_local_experts")),
        "expert_used_count": UInt32(settings.integer("num_experts_per_tok")),
    }


def write_experts(family: ModelFamily, keys: GgufKeys, config: Json) -> Json:
    """Return the multipliers and the experts."""
    return write_dense(family, keys, config) | {
        "intermediate_size": keys.integer("expert_feed_forward_length", 0)
        or keys.integer("feed_forward_length"),
        "num_local_experts": keys.integer("expert_count"),
        "num_experts_per_tok": keys.integer("expert_used_count"),
    }


UNREAD_BY_LLAMA_CPP = frozenset({"rope.scaling.yarn_beta_fast"})

GRANITE = ModelFamily(
    architecture="granite",
    huggingface=(
        HuggingFaceType(
            model_types=("granite",),
            model_class="GraniteForCausalLM",
            config_class="GraniteConfig",
            read_settings=read_dense,
            write_config=write_dense,
            biases={"attention_bias": roles.ATTENTION_BIASES, "mlp_bias": roles.MLP_BIASES},
        ),
    ),
    roles=roles.LLAMA,
    permuted_roles=("attn_q", "attn_k"),
    interleaved_rope=True,
    multipliers=True,
    rope_switch=True,
    unread_by_llama_cpp=UNREAD_BY_LLAMA_CPP,
)
GRANITEMOE = ModelFamily(
    architecture="granitemoe",
    huggingface=(
        HuggingFaceType(
            model_types=("granitemoe",),
            model_class="GraniteMoeForCausalLM",
            config_class="GraniteMoeConfig",
            read_settings=read_experts,
            write_config=write_experts,
            defaults={"num_local_experts": 8, "num_experts_per_tok": 2},
            biases={"attention_bias": roles.ATTENTION_BIASES},
        ),
    ),
    roles=roles.NORMS | roles.ATTENTION | EXPERTS,
    permuted_roles=("attn_q", "attn_k"),
    interleaved_rope=True,
    multipliers=True,
    unread_by_llama_cpp=UNREAD_BY_LLAMA_CPP,
)
