"""Phi-3: fused matrices, and rotary positions for part of a head."""

from zeropoint.checkpoints.families import tensor_roles as roles
from zeropoint.checkpoints.families.partial_rope import partial_rope
from zeropoint.checkpoints.families.record import (
    HuggingFaceType,
    Json,
    Metadata,
    ModelFamily,
    WindowRule,
)
from zeropoint.checkpoints.families.windows import layer_count, single_window, window_keys
from zeropoint.checkpoints.settings.gguf_keys import GgufKeys
from zeropoint.checkpoints.settings.settings import Settings
from zeropoint.checkpoints.values import UInt32

PUBLISHED_BUT_UNREAD = "published folders have it, but transformers' class does not read it"


def read_settings(family: ModelFamily, settings: Settings) -> Metadata:
    """Return the window of all layers; 0 means no window."""
    window = settings.integer_or_none("sliding_window")
    settings.get("original_max_position_embeddings")  # for long contexts only: see `read_rope`
    keys = window_keys(window, [True] * layer_count(settings))
    return keys or {"attention.sliding_window": UInt32(0)}


def write_config(family: ModelFamily, keys: GgufKeys, config: Json) -> Json:
    """Return the window, and rotary parameters for the part of a head that is rotated."""
    rope = partial_rope(keys, config)
    context = config["max_position_embeddings"]
    return {
        "rope_parameters": rope,
        "original_max_position_embeddings": rope.get("original_max_position_embeddings", context),
        "sliding_window": single_window(keys),
        "pad_token_id": None,
    }


PHI3 = ModelFamily(
    architecture="phi3",
    huggingface=(
        HuggingFaceType(
            model_types=("phi3",),
            model_class="Phi3ForCausalLM",
            config_class="Phi3Config",
            read_settings=read_settings,
            write_config=write_config,
            defaults={"original_max_position_embeddings": 4096},
            harmless=dict.fromkeys(("full_attn_mod", "interpolate_factor"), PUBLISHED_BUT_UNREAD),
        ),
    ),
    roles=roles.NORMS | roles.FUSED_ATTENTION | roles.FUSED_MLP,
    partial_rope=True,
    longrope_only=True,
    windows=WindowRule(),
    unread_by_llama_cpp=frozenset({"attention.sliding_window"}),
)
