"""gpt-oss: attention sinks, a window in every other layer, experts with a clamped activation.

The experts of published folders are MXFP4, and stay so in a file.
"""

from zeropoint.checkpoints.families import tensor_roles as roles
from zeropoint.checkpoints.families.record import (
    ExpertRule,
    HuggingFaceType,
    Json,
    Metadata,
    ModelFamily,
    WindowRule,
)
from zeropoint.checkpoints.families.windows import (
    check_window,
    layer_count,
    layer_types,
    periodic_flags,
    read_layer_types,
    read_windows,
    window_keys,
    window_rule,
)
from zeropoint.checkpoints.settings.gguf_keys import GgufKeys
from zeropoint.checkpoints.settings.settings import Settings
from zeropoint.checkpoints.values import UInt32

FIXED = {"swiglu_alpha": 1.702, "swiglu_limit": 7.0}  # constants in llama.cpp's graph
STACKS = ("ffn_gate_exps", "ffn_up_exps", "ffn_down_exps")


def read_settings(family: ModelFamily, settings: Settings) -> Metadata:
    """Return the experts and the windows. Raises CheckpointError for another activation."""
    for key, value in FIXED.items():
        if settings.number(key) != value:
            raise settings.wrong(key, f"{family.architecture} files mean {value}")
    count = "num_experts" if settings.get("num_experts") is not None else "num_local_experts"
    period = window_rule(family).period
    flags = read_layer_types(settings, periodic_flags(layer_count(settings), period))
    window = check_window(settings, settings.integer_or_none("sliding_window"), flags)
    return {
        "expert_count": UInt32(settings.integer(count)),
        "expert_used_count": UInt32(settings.integer("num_experts_per_tok")),
        "expert_feed_forward_length": UInt32(settings.integer("intermediate_size")),
    } | window_keys(window, flags, period)


def write_config(family: ModelFamily, keys: GgufKeys, config: Json) -> Json:
    """Return the experts, the windows, and the rotary parameters as this type means them."""
    window, flags = read_windows(keys, window_rule(family))
    rope = dict(config["rope_parameters"])  # type: ignore[call-overload]
    if rope["rope_type"] == "yarn":
        rope["truncate"] = family.yarn_truncates
    size = keys.integer("feed_forward_length", 0)
    return {
        "num_local_experts": keys.integer("expert_count"),
        "num_experts_per_tok": keys.integer("expert_used_count"),
        "intermediate_size": keys.integer("expert_feed_forward_length", size),
        "sliding_window": window or None,
        "layer_types": layer_types(flags),
        "rope_parameters": rope,
    }


GPT_OSS = ModelFamily(
    architecture="gpt-oss",
    huggingface=(
        HuggingFaceType(
            model_types=("gpt_oss",),
            model_class="GptOssForCausalLM",
            config_class="GptOssConfig",
            read_settings=read_settings,
            write_config=write_config,
            defaults={
                **FIXED,
                "num_key_value_heads": 8,
                "head_dim": 64,
                "num_local_experts": 128,
                "num_experts_per_tok": 4,
                "sliding_window": 128,
                "attention_bias": True,
                "rope_parameters": {
                    "rope_type": "yarn",
                    "factor": 32.0,
                    "beta_fast": 32.0,
                    "beta_slow": 1.0,
                    "truncate": False,
                    "original_max_position_embeddings": 4096,
                },
            },
            activation_key="",
            rope_theta=150000.0,
            biases={"attention_bias": roles.ATTENTION_BIASES},
            biased_roles=("ffn_gate_inp", *STACKS),
            packed_method="mxfp4",
            harmless={
                "hidden_act": "the experts have an activation of their own",
                "experts_per_token": "published folders have it besides num_experts_per_tok",
                "initial_context_length": "published folders have it besides rope_scaling",
            },
        ),
    ),
    roles=roles.RENAMED_NORMS | roles.ATTENTION | {"mlp.router": "ffn_gate_inp"},
    parameters={"self_attn.sinks": "attn_sinks.weight"},
    stored_names={"ffn_norm": "post_attention_norm"},
    alternating_experts=True,
    experts=ExpertRule(gating="softmax_chosen", biased=True),
    attention_sinks=True,
    activation="clamped_swiglu",
    windows=WindowRule(period=2, per_layer=True),
    yarn_truncates=False,
    unread_by_llama_cpp=frozenset({"attention.scale", "rope.scaling.yarn_beta_fast"}),
)
