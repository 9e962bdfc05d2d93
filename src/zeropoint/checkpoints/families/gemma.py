"""Gemma 1, 2 and 3 (the text model)."""

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
    layer_types,
    periodic_flags,
    read_layer_types,
    read_windows,
    window_keys,
    window_rule,
)
from zeropoint.checkpoints.settings.gguf_keys import GgufKeys
from zeropoint.checkpoints.settings.settings import Settings
from zeropoint.checkpoints.values import Float32

GELU = "gelu_pytorch_tanh"
ATTENTION_CAP, LOGIT_CAP = "attn_logit_softcapping", "final_logit_softcapping"
UNUSED_ACTIVATION = {"hidden_act": "transformers reads hidden_activation instead"}


def read_shared(family: ModelFamily, settings: Settings, period: int) -> Metadata:
    """Return what Gemma 2 and 3 share: the windows and the scale of attention scores.

    Of `period` layers the last one has no window, unless `layer_types` is set.
    """
    count = layer_count(settings)
    flags = read_layer_types(settings, periodic_flags(count, period))
    window = check_window(settings, settings.integer_or_none("sliding_window"), flags)
    window = window or settings.integer("max_position_embeddings")
    keys = window_keys(window, flags, window_rule(family).period)
    width, heads = settings.integer("hidden_size"), settings.integer("num_attention_heads")
    head_size = settings.integer_or_none("head_dim") or width // heads
    scalar = settings.positive("query_pre_attn_scalar")
    if scalar != (width // heads if count == family.width_scaled_layers else head_size):
        keys["attention.scale"] = Float32(scalar**-0.5)
    return keys


def read_gemma2(family: ModelFamily, settings: Settings) -> Metadata:
    """Return the windows, the scale of attention scores and the soft caps (0: no cap)."""
    keys = read_shared(family, settings, window_rule(family).period)
    for key in (ATTENTION_CAP, LOGIT_CAP):
        keys[key] = Float32(settings.positive_or_none(key) or 0.0)
    return keys


def read_gemma3(family: ModelFamily, settings: Settings) -> Metadata:
    """Return the windows, the scale of attention scores and the soft cap of logits."""
    period = settings.integer_or_none("sliding_window_pattern") or window_rule(family).period
    keys = read_shared(family, settings, period)
    if (cap := settings.positive_or_none(LOGIT_CAP)) is not None:
        keys[LOGIT_CAP] = Float32(cap)
    return keys


def write_shared(family: ModelFamily, keys: GgufKeys, config: Json) -> Json:
    """Return the entries that Gemma 2 and 3 share."""
    window, flags = read_windows(keys, window_rule(family))
    return {
        "query_pre_attn_scalar": query_scalar(family, keys, config),
        "sliding_window": window or keys.integer("context_length"),
        "layer_types": layer_types(flags),
    }


def query_scalar(family: ModelFamily, keys: GgufKeys, config: Json) -> int:
    """Return the whole number s for which attention scores are divided by √s."""
    heads, width = keys.integer("attention.head_count"), keys.integer("embedding_length")
    by_width = keys.integer("block_count") == family.width_scaled_layers
    scale = keys.number("attention.scale", 0.0)
    if not scale:
        return int(width // heads if by_width else config["head_dim"])  # type: ignore[call-overload, no-any-return]
    scalar = scale**-2
    if abs(scalar - round(scalar)) > 1e-5 * scalar or round(scalar) < 1:
        raise keys.unsupported("attention.scale")
    return round(scalar)


def write_gemma2(family: ModelFamily, keys: GgufKeys, config: Json) -> Json:
    """Return the shared entries and the soft caps."""
    return write_shared(family, keys, config) | {
        ATTENTION_CAP: keys.number(ATTENTION_CAP, family.attention_softcap) or None,
        LOGIT_CAP: keys.number(LOGIT_CAP, family.logit_softcap) or None,
    }


def write_gemma3(family: ModelFamily, keys: GgufKeys, config: Json) -> Json:
    """Return the shared entries, the soft cap of logits, and both sets of rotary parameters."""
    if keys.number(ATTENTION_CAP, 0.0):  # transformers' class has the setting and ignores it
        raise keys.unsupported(ATTENTION_CAP)
    base = keys.number("rope.freq_base_swa", family.window_rope_base)
    return write_shared(family, keys, config) | {
        LOGIT_CAP: keys.number(LOGIT_CAP, family.logit_softcap) or None,
        "rope_parameters": {
            "full_attention": config["rope_parameters"],
            "sliding_attention": {"rope_type": "default", "rope_theta": base},
        },
    }


GEMMA = ModelFamily(
    architecture="gemma",
    huggingface=(
        HuggingFaceType(
            model_types=("gemma",),
            model_class="GemmaForCausalLM",
            config_class="GemmaConfig",
            defaults={"tie_word_embeddings": True},
        ),
    ),
    roles=roles.LLAMA,
    norm_offset=1.0,
    activation=GELU,
    scaled_embedding=True,
)
GEMMA2 = ModelFamily(
    architecture="gemma2",
    huggingface=(
        HuggingFaceType(
            model_types=("gemma2",),
            model_class="Gemma2ForCausalLM",
            config_class="Gemma2Config",
            read_settings=read_gemma2,
            write_config=write_gemma2,
            defaults={
                "num_key_value_heads": 4,
                "head_dim": 256,
                "query_pre_attn_scalar": 256,
                "sliding_window": 4096,
                "attn_logit_softcapping": 50.0,
                "final_logit_softcapping": 30.0,
                "tie_word_embeddings": True,
            },
            activation_key="hidden_activation",
            biases={"attention_bias": roles.ATTENTION_BIASES},
            harmless=UNUSED_ACTIVATION,
        ),
    ),
    roles=roles.NORMS_AROUND | roles.ATTENTION | roles.MLP,
    norm_offset=1.0,
    activation=GELU,
    scaled_embedding=True,
    windows=WindowRule(period=2, default_positions=4096, per_layer=True),
    width_scaled_layers=46,
    attention_softcap=50.0,
    logit_softcap=30.0,
    unread_by_llama_cpp=frozenset({"attention.scale"}),
)
GEMMA3 = ModelFamily(
    architecture="gemma3",
    huggingface=(
        HuggingFaceType(
            model_types=("gemma3_text", "gemma3"),
            model_class="Gemma3ForCausalLM",
            config_class="Gemma3TextConfig",
            read_settings=read_gemma3,
            write_config=write_gemma3,
            defaults={  # published folders of the larger sizes leave out more keys than others do
                "max_position_embeddings": 131072,
                "num_attention_heads": 8,
                "num_key_value_heads": 4,
                "head_dim": 256,
                "rms_norm_eps": 1e-6,
                "vocab_size": 262208,
                "query_pre_attn_scalar": 256,
                "sliding_window": 4096,
                "tie_word_embeddings": True,
            },
            activation_key="hidden_activation",
            rope_theta=1e6,
            biases={"attention_bias": roles.ATTENTION_BIASES},
            rope_types_of_full_layers=("default", "linear"),
            harmless=UNUSED_ACTIVATION
            | {ATTENTION_CAP: "transformers' forward pass does not apply it for this type"},
        ),
    ),
    roles=roles.NORMS_AROUND | roles.ATTENTION | roles.MLP | roles.QK_NORMS,
    norm_offset=1.0,
    activation=GELU,
    scaled_embedding=True,
    window_rope_base=10000.0,
    windows=WindowRule(period=6, per_layer=True),
    width_scaled_layers=62,
    logit_softcap=0.0,
    unread_by_llama_cpp=frozenset({"attention.scale"}),
)
