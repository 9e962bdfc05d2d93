"""OLMo 2 and 3: norms after attention and feed-forward part, and norms of all heads together.

OLMo 3 has windows, and its windowed layers do not stretch rotary positions.
"""

from zeropoint.checkpoints.families import tensor_roles as roles
from zeropoint.checkpoints.families.llama import no_entries, rotated_keys
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


def read_olmo3(family: ModelFamily, settings: Settings) -> Metadata:
    """Return the windows: by default, every fourth layer has none."""
    period = window_rule(family).period
    flags = read_layer_types(settings, periodic_flags(layer_count(settings), period))
    window = check_window(settings, settings.integer_or_none("sliding_window"), flags)
    if not any(flags):
        return rotated_keys(family, settings)
    return rotated_keys(family, settings) | window_keys(window, flags, period)


def write_olmo3(family: ModelFamily, keys: GgufKeys, config: Json) -> Json:
    """Return the windows, and rotary parameters for both kinds of layers."""
    window, flags = read_windows(keys, window_rule(family))
    full = config["rope_parameters"]
    base = keys.number("rope.freq_base_swa", keys.number("rope.freq_base", 10000.0))
    return {
        "sliding_window": window,
        "layer_types": layer_types(flags),
        "rope_parameters": {
            "full_attention": full,
            "sliding_attention": {"rope_type": "default", "rope_theta": base},
        },
    }


BIASES = {"attention_bias": roles.ATTENTION_BIASES}

OLMO2 = ModelFamily(
    architecture="olmo2",
    huggingface=(
        HuggingFaceType(
            model_types=("olmo3",),
            model_class="Olmo3ForCausalLM",
            config_class="Olmo3Config",
            needs=frozenset({"window"}),
            read_settings=read_olmo3,
            write_config=write_olmo3,
            defaults={"sliding_window": 4096},
            rope_theta=5e5,
            biases=BIASES,
            rope_types_of_full_layers=("default", "linear", "yarn"),
        ),
        HuggingFaceType(
            model_types=("olmo2",),
            model_class="Olmo2ForCausalLM",
            config_class="Olmo2Config",
            read_settings=rotated_keys,
            write_config=no_entries,
            biases=BIASES,
        ),
    ),
    roles=roles.NORMS_AFTER | roles.ATTENTION | roles.QK_NORMS | roles.MLP,
    norms_of_all_heads=True,
    plain_window_rope=True,
    windows=WindowRule(period=4, per_layer=True),
    unread_by_llama_cpp=frozenset(
        {"attention.scale", "rope.scaling.yarn_beta_fast", "rope.freq_base_swa"}
    ),
)
