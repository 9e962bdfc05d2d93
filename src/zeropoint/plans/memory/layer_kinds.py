"""The kind of each layer of a decoder, from the lists and periods of its config.json."""

from collections.abc import Mapping

from zeropoint.checkpoints.families import HUGGINGFACE_TYPES, families_of
from zeropoint.plans.memory.cache_shape import WINDOWS
from zeropoint.plans.memory.config_values import ConfigValues

# Kind of a layer's mixer, by its name in `layer_types`.
LAYER_KINDS = {
    "full_attention": "full", "attention": "full", "sliding_attention": "window",
    "chunked_attention": "window", "linear_attention": "delta", "mamba": "mamba", "mamba2": "mamba",
    "conv": "conv", "hybrid": "both", "kda": "kda", "moe": "none", "mlp": "none",
    "recurrent": "recurrent",
}  # fmt: skip
# Kind of a layer's mixer, by its letter in `hybrid_override_pattern`.
PATTERN_KINDS = {"M": "mamba", "*": "full", "-": "none", "E": "none"}
# Such letters by the names of layers with a single part.
LETTERS = {
    "mamba": "M", "linear_attention": "M", "attention": "*", "full_attention": "*", "mlp": "-",
    "moe": "E",
}  # fmt: skip


def single_parts(values: ConfigValues) -> str:
    """Return a letter for each layer of a model whose layers have one part; "" for others.

    M is Mamba, * attention, - a dense feed-forward part and E a mixture of experts.
    """
    pattern = values.read.get("hybrid_override_pattern")
    if isinstance(pattern, str):
        return pattern
    listed = values.read.get("layers_block_type")
    if isinstance(listed, list) and {"mlp", "moe"} & set(map(str, listed)):
        return "".join(LETTERS.get(str(name), "*") for name in listed)
    return ""


def layer_kinds(values: ConfigValues) -> list[str]:
    """Return the kind of each layer, such as full, window, latent, delta, mamba or none."""
    read, count = values.read, values.count
    listed = read.get("layer_types") or read.get("layers_block_type")
    cycle = read.get("block_types") or read.get("_block_types")
    if parts := single_parts(values):
        kinds = [PATTERN_KINDS.get(letter, "full") for letter in parts]
    elif isinstance(listed, list):
        kinds = [LAYER_KINDS.get(str(kind), "full") for kind in listed]
    elif isinstance(cycle, list) and cycle:  # Griffin, whose attention has a window
        kinds = ["window" if kind == "attention" else "recurrent" for kind in cycle]
        kinds = (kinds * count)[:count]
    else:
        kinds = [_kind_by_period(values, index) for index in range(count)]
    if len(kinds) < count:
        raise read.wrong("layer_types", f"it has {len(kinds)} kinds for {count} layers")
    if values.type.layers == "mamba and attention":
        kinds = ["both"] * count
    if read.get("kv_lora_rank"):
        kinds = ["latent" if kind in ("full", "window") else kind for kind in kinds]
    return kinds[:count]


def _kind_by_period(values: ConfigValues, index: int) -> str:
    """Return the kind of a layer from periods, where the config has no list of kinds."""
    read = values.read
    if values.type.layers == "mamba":
        return "mamba"
    linear = read.get("linear_attn_config")
    if isinstance(linear, Mapping):
        layers = linear.get("kda_layers")
        return "kda" if isinstance(layers, list) and index + 1 in layers else "full"
    if values.number("linear_num_value_heads"):
        interval = values.number("full_attention_interval") or 4
        return "full" if (index + 1) % interval == 0 else "delta"
    period = values.number("attn_layer_period")
    if period:
        return "full" if index % period == values.number("attn_layer_offset") else "mamba"
    for key, other in (("attn_layer_indices", "mamba"), ("full_attn_idxs", "conv")):
        chosen = read.get(key)
        if isinstance(chosen, list):
            return "full" if index in chosen else other
    rule = WINDOWS.get(values.architecture)
    unused = read.get("use_sliding_window") is False or _has_no_windows(read.get("model_type"))
    if rule is None or unused or (rule.layers and rule.layers != values.count):
        return "full"
    period = values.number("sliding_window_pattern", "_sliding_window_pattern") or rule.period
    global_layer = 0 if rule.first else period - 1
    return "window" if period == 0 or index % period != global_layer else "full"


def _has_no_windows(model_type: object) -> bool:
    """Return whether a type has no windows, unlike another one of its family (OLMo 2 and 3)."""
    kind = HUGGINGFACE_TYPES.get(str(model_type))
    if kind is None or "window" in kind.needs:
        return False
    types = [other for family in families_of(kind) for other in family.huggingface]
    return any("window" in other.needs for other in types)
