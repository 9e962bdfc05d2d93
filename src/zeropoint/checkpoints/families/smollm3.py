"""SmolLM 3: a Llama in which every fourth layer has no rotary positions."""

from zeropoint.checkpoints.families import tensor_roles as roles
from zeropoint.checkpoints.families.llama import rotated_keys
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
    window_keys,
)
from zeropoint.checkpoints.settings.gguf_keys import GgufKeys
from zeropoint.checkpoints.settings.settings import Settings

PUBLISHED_BUT_UNREAD = "published folders have it, but transformers' class does not read it"


def rope_flags(family: ModelFamily, count: int) -> list[int]:
    """Return `no_rope_layers`: 1 for each layer that has rotary positions, otherwise 0."""
    return [int(not family.is_ropeless(layer)) for layer in range(count)]


def read_settings(family: ModelFamily, settings: Settings) -> Metadata:
    """Return the windows. Raises CheckpointError if other layers lack positions than GGUF's."""
    count = layer_count(settings)
    interval = settings.integer_or_none("no_rope_layer_interval")
    given, flags = settings.get("no_rope_layers"), rope_flags(family, count)
    if given not in (None, flags) or (given is None and interval != family.rope_skip_period):
        key = "no_rope_layer_interval" if given is None else "no_rope_layers"
        raise settings.wrong(key, "GGUF can only leave out every fourth layer's positions")
    use, window = settings.flag("use_sliding_window"), settings.integer_or_none("sliding_window")
    default = [use and window is not None and not flag for flag in flags]
    windowed = read_layer_types(settings, default)
    if any(windowed) and not use:
        raise settings.wrong("layer_types", "has windowed layers; use_sliding_window is false")
    return rotated_keys(family, settings) | window_keys(
        check_window(settings, window, windowed), windowed
    )


def write_config(family: ModelFamily, keys: GgufKeys, config: Json) -> Json:
    """Return the layers without positions, and the windows."""
    return {
        "no_rope_layers": rope_flags(family, keys.integer("block_count")),
        "pad_token_id": None,
        **optional_windows(keys),
    }


SMOLLM3 = ModelFamily(
    architecture="smollm3",
    huggingface=(
        HuggingFaceType(
            model_types=("smollm3",),
            model_class="SmolLM3ForCausalLM",
            config_class="SmolLM3Config",
            read_settings=read_settings,
            write_config=write_config,
            defaults={
                "num_key_value_heads": 4,
                "no_rope_layer_interval": 4,
                "tie_word_embeddings": True,
            },
            rope_theta=2e6,
            biases={"attention_bias": roles.ATTENTION_BIASES, "mlp_bias": roles.MLP_BIASES},
            harmless={"max_window_layers": PUBLISHED_BUT_UNREAD},
        ),
    ),
    roles=roles.LLAMA,
    permuted_roles=("attn_q", "attn_k"),
    interleaved_rope=True,
    rope_skip_period=4,
    windows=WindowRule(per_layer=True),
    unread_by_llama_cpp=frozenset({"attention.sliding_window", "rope.scaling.yarn_beta_fast"}),
)
