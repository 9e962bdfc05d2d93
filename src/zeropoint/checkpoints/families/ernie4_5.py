"""ERNIE 4.5: a Llama whose rotary pairs are neighbours in transformers too; dense, and mixtures."""

from zeropoint.checkpoints.families import tensor_roles as roles
from zeropoint.checkpoints.families.llama import no_entries, rotated_keys
from zeropoint.checkpoints.families.record import (
    ExpertRule,
    HuggingFaceType,
    Json,
    Metadata,
    ModelFamily,
    StoredChange,
)
from zeropoint.checkpoints.families.windows import layer_count
from zeropoint.checkpoints.settings.gguf_keys import GgufKeys
from zeropoint.checkpoints.settings.settings import Settings
from zeropoint.checkpoints.values import UInt32

ERNIE4_5 = ModelFamily(
    architecture="ernie4_5",
    huggingface=(
        HuggingFaceType(
            model_types=("ernie4_5",),
            model_class="Ernie4_5ForCausalLM",
            config_class="Ernie4_5Config",
            read_settings=rotated_keys,
            write_config=no_entries,
            defaults={"num_key_value_heads": 2, "head_dim": 128, "tie_word_embeddings": True},
            rope_theta=5e5,
            biases={"use_bias": roles.ATTENTION_BIASES + roles.MLP_BIASES},
        ),
    ),
    roles=roles.LLAMA,
    interleaved_rope=True,
    unread_by_llama_cpp=frozenset({"rope.scaling.yarn_beta_fast"}),
)

MIN_SUM = 1e-12  # of weights that are divided by their sum; softmax sums are never so small
SELECTION_BIAS = "exp_probs_b"


def read_experts(family: ModelFamily, settings: Settings) -> Metadata:
    """Return the experts. Raises CheckpointError for what a file cannot express."""
    name = family.architecture
    if settings.flag("use_bias"):
        raise settings.wrong("use_bias", f"{name} files have no biases")
    if settings.integer("moe_layer_interval") != 1:
        raise settings.wrong("moe_layer_interval", f"in {name} files all later layers have experts")
    if settings.number("moe_layer_end_index") not in (-1, layer_count(settings) - 1):
        raise settings.wrong("moe_layer_end_index", f"in {name} files the last layer has experts")
    if settings.number("moe_norm_min") != MIN_SUM:
        raise settings.wrong("moe_norm_min", f"{name} files mean {MIN_SUM:g}")
    count = "moe_num_experts" if settings.get("num_experts") is None else "num_experts"
    used = "moe_k" if settings.get("num_experts_per_tok") is None else "num_experts_per_tok"
    inner, shared = (
        settings.integer("moe_intermediate_size"),
        settings.integer("moe_num_shared_experts"),
    )
    return rotated_keys(family, settings) | {
        "leading_dense_block_count": UInt32(settings.integer("moe_layer_start_index")),
        "interleave_moe_layer_step": UInt32(1),
        "expert_count": UInt32(settings.integer(count)),
        "expert_used_count": UInt32(settings.integer(used)),
        "expert_feed_forward_length": UInt32(inner),
        "expert_shared_count": UInt32(shared),
        "expert_shared_feed_forward_length": UInt32(inner * shared),
    }


def write_experts(family: ModelFamily, keys: GgufKeys, config: Json) -> Json:
    """Return the experts."""
    if keys.integer("interleave_moe_layer_step", 1) != 1:
        raise keys.unsupported("interleave_moe_layer_step")
    inner, shared = (
        keys.integer("expert_feed_forward_length"),
        keys.integer("expert_shared_count", 0),
    )
    size = keys.integer("expert_shared_feed_forward_length", inner * shared)
    if size % inner:
        raise keys.unsupported("expert_shared_feed_forward_length")
    return {
        "moe_layer_start_index": keys.integer("leading_dense_block_count", 0),
        "moe_layer_end_index": -1,
        "moe_layer_interval": 1,
        "moe_num_experts": keys.integer("expert_count"),
        "moe_k": keys.integer("expert_used_count"),
        "moe_intermediate_size": inner,
        "moe_num_shared_experts": size // inner,
        "use_bias": False,
    }


ERNIE4_5_MOE = ModelFamily(
    architecture="ernie4_5-moe",
    huggingface=(
        HuggingFaceType(
            model_types=("ernie4_5_moe",),
            model_class="Ernie4_5_MoeForCausalLM",
            config_class="Ernie4_5_MoeConfig",
            read_settings=read_experts,
            write_config=write_experts,
            defaults={
                "num_key_value_heads": 4,
                "moe_intermediate_size": 1536,
                "moe_k": 6,
                "moe_num_experts": 64,
                "moe_num_shared_experts": 2,
                "moe_layer_start_index": 1,
                "moe_layer_end_index": -1,
                "moe_layer_interval": 1,
                "moe_norm_min": MIN_SUM,
                "tie_word_embeddings": True,
            },
            rope_theta=5e5,
            biased_roles=(SELECTION_BIAS,),
        ),
    ),
    roles=roles.LLAMA | roles.EXPERTS | roles.SHARED_EXPERTS,
    parameters={
        "mlp.moe_statics.e_score_correction_bias": f"{SELECTION_BIAS}.bias",
        "mlp.gate.moe_statics.e_score_correction_bias": f"{SELECTION_BIAS}.bias",
    },
    changes={SELECTION_BIAS: StoredChange(unit_axis=0)},
    interleaved_rope=True,
    experts=ExpertRule(selection_bias=True, shared=True, some_layers_dense=True),
    unread_by_llama_cpp=frozenset({"attention.scale", "rope.scaling.yarn_beta_fast"}),
)
