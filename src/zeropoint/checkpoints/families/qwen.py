"""Qwen 2, Qwen 3 and its mixtures of experts."""

from zeropoint.checkpoints.families import tensor_roles as roles
from zeropoint.checkpoints.families.record import (
    HuggingFaceType,
    Json,
    Metadata,
    ModelFamily,
    WindowRule,
)
from zeropoint.checkpoints.families.windows import (
    check_window,
    layer_count,
    optional_windows,
    read_layer_types,
    single_window,
    window_keys,
)
from zeropoint.checkpoints.settings.gguf_keys import GgufKeys
from zeropoint.checkpoints.settings.settings import Settings
from zeropoint.checkpoints.values import UInt32

UNREAD_BY_LLAMA_CPP = frozenset({"attention.sliding_window", "rope.scaling.yarn_beta_fast"})
DEFAULTS = {"num_key_value_heads": 32, "sliding_window": 4096, "max_window_layers": 28}


def read_dense(family: ModelFamily, settings: Settings) -> Metadata:
    """Return the windows of Qwen 2 and 3: the first `max_window_layers` layers have none."""
    use, window = settings.flag("use_sliding_window"), settings.integer_or_none("sliding_window")
    first, window = settings.integer("max_window_layers"), window if use else None
    default = [window is not None and layer >= first for layer in range(layer_count(settings))]
    flags = read_layer_types(settings, default)
    return window_keys(check_window(settings, window, flags), flags)


def write_dense(family: ModelFamily, keys: GgufKeys, config: Json) -> Json:
    """Return the windows."""
    return optional_windows(keys)


def read_experts(family: ModelFamily, settings: Settings) -> Metadata:
    """Return the experts of Qwen 3, and the window that all its layers may have."""
    if settings.get("mlp_only_layers") not in (None, []):
        raise settings.wrong("mlp_only_layers", "GGUF cannot express layers without experts")
    if settings.integer("decoder_sparse_step") != 1:
        raise settings.wrong("decoder_sparse_step", "GGUF cannot express layers without experts")
    count = "num_local_experts" if settings.get("num_local_experts") is not None else "num_experts"
    use, window = settings.flag("use_sliding_window"), settings.integer_or_none("sliding_window")
    keys: Metadata = {
        "expert_count": UInt32(settings.integer(count)),
        "expert_used_count": UInt32(settings.integer("num_experts_per_tok")),
        "expert_feed_forward_length": UInt32(settings.integer("moe_intermediate_size")),
    }
    if not settings.flag("norm_topk_prob"):
        keys["expert_weights_norm"] = False
    return keys | window_keys(window if use else None, [True] * layer_count(settings))


def write_experts(family: ModelFamily, keys: GgufKeys, config: Json) -> Json:
    """Return the experts and the window."""
    window = single_window(keys)
    return {
        "num_experts": keys.integer("expert_count"),
        "num_experts_per_tok": keys.integer("expert_used_count"),
        "moe_intermediate_size": keys.integer("expert_feed_forward_length"),
        "norm_topk_prob": keys.flag("expert_weights_norm", default=True),
        "use_sliding_window": window is not None,
        "sliding_window": window,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
    }


QWEN2 = ModelFamily(
    architecture="qwen2",
    huggingface=(
        HuggingFaceType(
            model_types=("qwen2",),
            model_class="Qwen2ForCausalLM",
            config_class="Qwen2Config",
            read_settings=read_dense,
            write_config=write_dense,
            defaults=DEFAULTS,
            biased_roles=roles.QKV,
        ),
    ),
    roles=roles.LLAMA,
    windows=WindowRule(per_layer=True),
    unread_by_llama_cpp=UNREAD_BY_LLAMA_CPP,
    layers_of_70b=80,
)
QWEN3 = ModelFamily(
    architecture="qwen3",
    huggingface=(
        HuggingFaceType(
            model_types=("qwen3",),
            model_class="Qwen3ForCausalLM",
            config_class="Qwen3Config",
            read_settings=read_dense,
            write_config=write_dense,
            defaults={**DEFAULTS, "head_dim": 128},
            biases={"attention_bias": roles.ATTENTION_BIASES},
        ),
    ),
    roles=roles.LLAMA | roles.QK_NORMS,
    windows=WindowRule(per_layer=True),
    unread_by_llama_cpp=UNREAD_BY_LLAMA_CPP,
)
QWEN3MOE = ModelFamily(
    architecture="qwen3moe",
    huggingface=(
        HuggingFaceType(
            model_types=("qwen3_moe",),
            model_class="Qwen3MoeForCausalLM",
            config_class="Qwen3MoeConfig",
            read_settings=read_experts,
            write_config=write_experts,
            defaults={
                "num_key_value_heads": 4,
                "decoder_sparse_step": 1,
                "moe_intermediate_size": 768,
                "num_experts_per_tok": 8,
                "num_experts": 128,
                "sliding_window": 4096,
            },
            biases={"attention_bias": roles.ATTENTION_BIASES},
            harmless={
                "max_window_layers": "published folders have it, but transformers' class does not"
                " read it"
            },
        ),
    ),
    roles=roles.LLAMA | roles.QK_NORMS | roles.EXPERTS,
    windows=WindowRule(),
    optional_expert_norm=True,
    unread_by_llama_cpp=UNREAD_BY_LLAMA_CPP | {"expert_weights_norm"},
)
