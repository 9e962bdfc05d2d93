"""What single families say in a config.json beside what all of them say, as GGUF keys.

Each public function reads the settings of one family and returns keys without the architecture's
name. It reads every setting that transformers' class reads, also where the value has no effect.
"""

import numpy as np

from zeropoint.checkpoints.settings.settings import Settings
from zeropoint.checkpoints.values import Float32, UInt32
from zeropoint.errors import printable

Metadata = dict[str, object]


def rotated(settings: Settings) -> Metadata:
    """Return how much of a head turns: all of it."""
    width, heads = settings.integer("hidden_size"), settings.integer("num_attention_heads")
    return {"rope.dimension_count": UInt32(settings.integer_or_none("head_dim") or width // heads)}


def mistral(settings: Settings) -> Metadata:
    """Return the window that all layers of Mistral have; llama.cpp does not read it."""
    window = settings.integer_or_none("sliding_window")
    kinds = settings.get("layer_types")  # transformers does not read it here
    if kinds is not None and kinds != [_kind(window is not None)] * layers(settings):
        raise settings.wrong("layer_types", "all layers of this family are of one kind")
    return rotated(settings) | _windows(window, [True] * layers(settings), 0)


def mixtral(settings: Settings) -> Metadata:
    """Return Mistral's keys and the experts."""
    count = "num_experts" if settings.get("num_experts") is not None else "num_local_experts"
    return mistral(settings) | {
        "expert_count": UInt32(settings.integer(count)),
        "expert_used_count": UInt32(settings.integer("num_experts_per_tok")),
    }


def smollm3(settings: Settings) -> Metadata:
    """Return the windows of SmolLM 3. Raises CheckpointError for layers without positions that
    are not every fourth.
    """
    count = layers(settings)
    every = settings.integer_or_none("no_rope_layer_interval")
    given = settings.get("no_rope_layers")  # 1 where a layer has positions
    if (given is None and every != 4) or given not in (None, _every_fourth(count)):
        key = "no_rope_layer_interval" if given is None else "no_rope_layers"
        raise settings.wrong(key, "GGUF can only leave out every fourth layer's positions")
    use, window = settings.flag("use_sliding_window"), settings.integer_or_none("sliding_window")
    default = [use and window is not None and not flag for flag in _every_fourth(count)]
    flags = _layer_types(settings, default)
    if any(flags) and not use:
        raise settings.wrong("layer_types", "has windowed layers; use_sliding_window is false")
    return rotated(settings) | _windows(_needed(settings, window, flags), flags, 0)


def _every_fourth(count: int) -> list[int]:
    return [int((index + 1) % 4 != 0) for index in range(count)]


def qwen(settings: Settings) -> Metadata:
    """Return the windows of Qwen 2 and 3."""
    use, window = settings.flag("use_sliding_window"), settings.integer_or_none("sliding_window")
    first, window = settings.integer("max_window_layers"), window if use else None
    default = [window is not None and index >= first for index in range(layers(settings))]
    flags = _layer_types(settings, default)
    return _windows(_needed(settings, window, flags), flags, 0)


def qwen3moe(settings: Settings) -> Metadata:
    """Return the experts of Qwen 3 and the window that all its layers may have."""
    if settings.get("mlp_only_layers") not in (None, []):
        raise settings.wrong("mlp_only_layers", "GGUF cannot express layers without experts")
    if settings.integer("decoder_sparse_step") != 1:
        raise settings.wrong("decoder_sparse_step", "GGUF cannot express layers without experts")
    count = "num_local_experts" if settings.get("num_local_experts") is not None else "num_experts"
    use, window = settings.flag("use_sliding_window"), settings.integer_or_none("sliding_window")
    found: Metadata = {
        "expert_count": UInt32(settings.integer(count)),
        "expert_used_count": UInt32(settings.integer("num_experts_per_tok")),
        "expert_feed_forward_length": UInt32(settings.integer("moe_intermediate_size")),
    }
    if not settings.flag("norm_topk_prob"):
        found["expert_weights_norm"] = False
    return found | _windows(window if use else None, [True] * layers(settings), 0)


def _gemma(settings: Settings, period: int, full_every: int, wide_blocks: int) -> Metadata:
    """Return what Gemma 2 and 3 share; `period` and `wide_blocks` are what GGUF's runtimes assume.

    Of `full_every` layers the last one has no window, unless `layer_types` says otherwise.
    """
    count = layers(settings)
    flags = _layer_types(settings, [(i + 1) % full_every != 0 for i in range(count)])
    window = settings.integer_or_none("sliding_window")
    window = _needed(settings, window, flags) or settings.integer("max_position_embeddings")
    found = _windows(window, flags, period)
    width, heads = settings.integer("hidden_size"), settings.integer("num_attention_heads")
    head_size = settings.integer_or_none("head_dim") or width // heads
    scalar = settings.positive("query_pre_attn_scalar")
    if scalar != (width // heads if count == wide_blocks else head_size):
        found["attention.scale"] = Float32(scalar**-0.5)
    return found


def gemma2(settings: Settings) -> Metadata:
    """Return the windows, the query scale and the soft caps of Gemma 2."""
    found = _gemma(settings, 2, 2, 46)
    for key in ("attn_logit_softcapping", "final_logit_softcapping"):
        found[key] = Float32(settings.positive_or_none(key) or 0.0)  # 0: no soft cap
    return found


def gemma3(settings: Settings) -> Metadata:
    """Return the windows, the query scale and the soft caps of Gemma 3."""
    found = _gemma(settings, 6, settings.integer_or_none("sliding_window_pattern") or 6, 62)
    if (cap := settings.positive_or_none("final_logit_softcapping")) is not None:
        found["final_logit_softcapping"] = Float32(cap)
    return found


def phi3(settings: Settings) -> Metadata:
    """Return the window of Phi-3; 0 if there is none. llama.cpp does not use it."""
    window = settings.integer_or_none("sliding_window")
    settings.get("original_max_position_embeddings")  # of long contexts only, see `read_rope`
    return _windows(window, [True] * layers(settings), 0) or {"attention.sliding_window": UInt32(0)}


def bitnet(settings: Settings) -> Metadata:
    """Return how much of a head turns; a head has hidden_size / heads elements."""
    width, heads = settings.integer("hidden_size"), settings.integer("num_attention_heads")
    if settings.integer_or_none("head_dim") not in (None, width // heads):
        raise settings.wrong("head_dim", f"bitnet needs {width // heads}, hidden_size / heads")
    return rotated(settings)


def layers(settings: Settings) -> int:
    """Return the number of layers."""
    return settings.integer("num_hidden_layers")


def _kind(windowed: bool) -> str:
    return "sliding_attention" if windowed else "full_attention"


def _layer_types(settings: Settings, default: list[bool]) -> list[bool]:
    """Return for each layer whether it has a window."""
    given = settings.get("layer_types")
    if given is None:
        return default
    if not isinstance(given, list) or len(given) != len(default):
        raise settings.wrong("layer_types", f"expected a list of {len(default)} names")
    for kind in given:
        if kind not in ("full_attention", "sliding_attention", "attention"):
            found = printable(repr(kind))
            raise settings.wrong("layer_types", f"GGUF cannot express {found} in this family")
    return [kind == "sliding_attention" for kind in given]


def _needed(settings: Settings, window: int | None, flags: list[bool]) -> int | None:
    if any(flags) and window is None:
        raise settings.wrong("sliding_window", "is null or not used, but some layers have a window")
    return window


def _windows(window: int | None, flags: list[bool], period: int) -> Metadata:
    """Return the keys of the sliding window.

    `period`: what GGUF's runtimes assume without a pattern, of so many layers the last one has no
    window; 0: all layers have one.
    """
    if window is None or (period == 0 and not any(flags)):
        return {}
    found: Metadata = {"attention.sliding_window": UInt32(min(window, 2**31 - 1))}
    if flags != [period == 0 or (index + 1) % period != 0 for index in range(len(flags))]:
        found["attention.sliding_window_pattern"] = np.array(flags, np.bool_)
    return found
