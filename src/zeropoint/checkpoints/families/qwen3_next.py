"""Qwen 3 Next and the mixtures of Qwen 3.5: delta nets beside gated attention, shared experts."""

from dataclasses import replace

from zeropoint.checkpoints.families import tensor_roles as roles
from zeropoint.checkpoints.families.delta_net import (
    JOINED_CHANGES,
    ROLES,
    TILED_CHANGES,
    read_delta_net,
    write_delta_net,
)
from zeropoint.checkpoints.families.qwen3_5 import (
    DEFAULTS,
    DELTA_NET,
    DRAFT_SETTINGS,
    NORMS,
    QWEN35,
    rotary_parameters,
)
from zeropoint.checkpoints.families.record import (
    ExpertRule,
    HuggingFaceType,
    Json,
    Metadata,
    ModelFamily,
    StoredChange,
)
from zeropoint.checkpoints.settings.gguf_keys import GgufKeys
from zeropoint.checkpoints.settings.settings import Settings
from zeropoint.checkpoints.values import UInt32

SHARED_EXPERT = {
    "mlp.shared_expert.gate_proj": "ffn_gate_shexp",
    "mlp.shared_expert.up_proj": "ffn_up_shexp",
    "mlp.shared_expert.down_proj": "ffn_down_shexp",
    "mlp.shared_expert_gate": "ffn_gate_inp_shexp",
}
SHARED_CHANGES = {"ffn_gate_inp_shexp": StoredChange(unit_axis=0)}
EXPERT_KEYS = {
    "expert_count": "num_experts",
    "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size",
    "expert_shared_feed_forward_length": "shared_expert_intermediate_size",
}
LAYERS = NORMS | roles.ATTENTION | roles.QK_NORMS | roles.EXPERTS | SHARED_EXPERT | roles.DRAFT


def read_experts(family: ModelFamily, settings: Settings) -> Metadata:
    """Return the delta nets and the experts."""
    experts = {key: UInt32(settings.integer(name)) for key, name in EXPERT_KEYS.items()}
    return read_delta_net(settings) | experts


def write_experts(family: ModelFamily, keys: GgufKeys, config: Json) -> Json:
    """Return the delta nets, the experts, and the part of a head that is rotated."""
    experts = {name: keys.integer(key) for key, name in EXPERT_KEYS.items()}
    return write_delta_net(keys) | {"rope_parameters": rotary_parameters(keys, config)} | experts


def read_next(family: ModelFamily, settings: Settings) -> Metadata:
    """Return the delta nets and the experts, which all layers must have."""
    if settings.get("mlp_only_layers") not in (None, []):
        raise settings.wrong("mlp_only_layers", "GGUF cannot express layers without experts")
    if settings.integer("decoder_sparse_step") != 1:
        raise settings.wrong("decoder_sparse_step", "GGUF cannot express layers without experts")
    keys = read_experts(family, settings)
    if not settings.flag("norm_topk_prob"):
        keys["expert_weights_norm"] = False
    return keys


def write_next(family: ModelFamily, keys: GgufKeys, config: Json) -> Json:
    """Return the delta nets and the experts, which all layers have."""
    return write_experts(family, keys, config) | {
        "norm_topk_prob": keys.flag("expert_weights_norm", default=True),
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
    }


EXPERT_DEFAULTS = {
    **DEFAULTS,
    "num_key_value_heads": 2,
    "intermediate_size": 0,  # of layers without experts, of which there are none
    "moe_intermediate_size": 512,
    "shared_expert_intermediate_size": 512,
}
QWEN35MOE = replace(
    QWEN35,
    architecture="qwen35moe",
    huggingface=(
        HuggingFaceType(
            model_types=("qwen3_5_moe_text",),
            model_class="Qwen3_5MoeForCausalLM",
            config_class="Qwen3_5MoeTextConfig",
            read_settings=read_experts,
            write_config=write_experts,
            defaults={**EXPERT_DEFAULTS, "num_experts": 256, "num_experts_per_tok": 8},
            biases={"attention_bias": roles.ATTENTION_BIASES},
            biased_roles=("ssm_dt",),
            harmless=DRAFT_SETTINGS,
        ),
    ),
    roles=LAYERS | DELTA_NET,
    changes=TILED_CHANGES | SHARED_CHANGES,
    experts=ExpertRule(shared=True),
)
QWEN3NEXT = replace(
    QWEN35MOE,
    architecture="qwen3next",
    huggingface=(
        HuggingFaceType(
            model_types=("qwen3_next",),
            model_class="Qwen3NextForCausalLM",
            config_class="Qwen3NextConfig",
            read_settings=read_next,
            write_config=write_next,
            defaults={
                **EXPERT_DEFAULTS,
                "num_experts": 512,
                "num_experts_per_tok": 10,
                "norm_topk_prob": True,
                "decoder_sparse_step": 1,
            },
            biases={"attention_bias": roles.ATTENTION_BIASES},
            biased_roles=("ssm_dt",),
            harmless=DRAFT_SETTINGS,
        ),
    ),
    roles=LAYERS
    | ROLES
    | {"linear_attn.in_proj_qkvz": "attn_qkvz", "linear_attn.in_proj_ba": "ssm_ba"},
    changes=JOINED_CHANGES | SHARED_CHANGES,
    joined={"attn_qkvz": ("attn_qkv", "attn_gate")},
    tiled_values=False,
    rope_sections=(),
    optional_expert_norm=True,
    unread_by_llama_cpp=frozenset({"expert_weights_norm"}),
)
