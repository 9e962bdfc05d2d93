"""GLM 4.5 and 4.6: experts by sigmoid scores with a bias for the choice, leading dense layers."""

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
from zeropoint.checkpoints.values import Float32, UInt32

SIGMOID = 2  # of expert_gating_func
DRAFTS = {  # layers of multi-token prediction have these beside those of other layers
    "enorm.weight": "nextn.enorm.weight",
    "hnorm.weight": "nextn.hnorm.weight",
    "eh_proj.weight": "nextn.eh_proj.weight",
    "embed_tokens.weight": "nextn.embed_tokens.weight",
    "shared_head.head.weight": "nextn.shared_head_head.weight",
    "shared_head.norm.weight": "nextn.shared_head_norm.weight",
}


def read_settings(family: ModelFamily, settings: Settings) -> Metadata:
    """Return the experts."""
    settings.get("use_qk_norm")  # the tensors decide
    aliased = settings.get("num_local_experts") is not None
    shared = settings.integer("n_shared_experts")
    inner = settings.integer("moe_intermediate_size")
    return {
        "leading_dense_block_count": UInt32(settings.integer("first_k_dense_replace")),
        "expert_count": UInt32(
            settings.integer("num_local_experts" if aliased else "n_routed_experts")
        ),
        "expert_used_count": UInt32(settings.integer("num_experts_per_tok")),
        "expert_shared_count": UInt32(shared),
        "expert_feed_forward_length": UInt32(inner),
        "expert_gating_func": UInt32(SIGMOID),
        "expert_group_count": UInt32(settings.integer("n_group", minimum=1)),
        "expert_group_used_count": UInt32(settings.integer("topk_group", minimum=1)),
        "expert_weights_scale": Float32(settings.positive("routed_scaling_factor")),
        "expert_weights_norm": settings.flag("norm_topk_prob"),
    }


def write_config(family: ModelFamily, keys: GgufKeys, config: Json) -> Json:
    """Return the experts, the layers of multi-token prediction, and the part that is rotated."""
    if keys.integer("expert_gating_func", SIGMOID) not in (0, SIGMOID):
        raise keys.unsupported("expert_gating_func")
    inner, shared = keys.integer("expert_feed_forward_length"), keys.integer("expert_shared_count")
    if keys.integer("expert_shared_feed_forward_length", inner * shared) != inner * shared:
        raise keys.unsupported("expert_shared_feed_forward_length")
    if keys.integer("interleave_moe_layer_step", 1) != 1:
        raise keys.unsupported("interleave_moe_layer_step")
    drafts, size = keys.integer("nextn_predict_layers", 0), int(config["head_dim"])  # type: ignore[call-overload]
    rope = dict(config["rope_parameters"])  # type: ignore[call-overload]
    rotated = keys.integer("rope.dimension_count", size)
    rope["partial_rotary_factor"] = rotated / size
    return {
        "num_hidden_layers": keys.integer("block_count") - drafts,
        "num_nextn_predict_layers": drafts,
        "rope_parameters": rope,
        "first_k_dense_replace": keys.integer("leading_dense_block_count", 0),
        "n_routed_experts": keys.integer("expert_count"),
        "num_experts_per_tok": keys.integer("expert_used_count"),
        "n_shared_experts": shared,
        "moe_intermediate_size": inner,
        "n_group": keys.integer("expert_group_count", 0) or 1,
        "topk_group": keys.integer("expert_group_used_count", 0) or 1,
        "routed_scaling_factor": keys.number("expert_weights_scale", 0.0) or 1.0,
        "norm_topk_prob": keys.flag("expert_weights_norm", default=False),
        "use_qk_norm": "blk.0.attn_q_norm.weight" in keys.tensors,
    }


GLM4MOE = ModelFamily(
    architecture="glm4moe",
    huggingface=(
        HuggingFaceType(
            model_types=("glm4_moe",),
            model_class="Glm4MoeForCausalLM",
            config_class="Glm4MoeConfig",
            read_settings=read_settings,
            write_config=write_config,
            defaults={
                "num_key_value_heads": 8,
                "moe_intermediate_size": 1408,
                "num_experts_per_tok": 8,
                "n_shared_experts": 1,
                "n_routed_experts": 128,
                "routed_scaling_factor": 1.0,
                "n_group": 1,
                "topk_group": 1,
                "first_k_dense_replace": 1,
                "norm_topk_prob": True,
                "partial_rotary_factor": 0.5,
            },
            biases={"attention_bias": roles.QKV},
            biased_roles=("exp_probs_b",),
            harmless=dict.fromkeys(
                ("num_mtp_layers", "num_nextn_predict_layers"),
                "the tensors decide whether there are such layers, and logits do not use them",
            ),
        ),
    ),
    roles=roles.RENAMED_NORMS
    | roles.ATTENTION
    | roles.QK_NORMS
    | roles.MLP
    | roles.EXPERTS
    | roles.SHARED_EXPERTS,
    parameters={"mlp.gate.e_score_correction_bias": "exp_probs_b.bias"} | DRAFTS,
    stored_names={"ffn_norm": "post_attention_norm"},
    optional_norms=frozenset({"attn_q_norm", "attn_k_norm"}),
    partial_rope=True,
    draft_layers=True,
    experts=ExpertRule(
        gating="sigmoid",
        optional_gating=True,
        selection_bias=True,
        grouped=True,
        normalize=False,
        epsilon=1e-20,
        shared=True,
        some_layers_dense=True,
    ),
    optional_expert_norm=True,
    unread_by_llama_cpp=frozenset({"attention.scale", "rope.scaling.yarn_beta_fast"}),
)
