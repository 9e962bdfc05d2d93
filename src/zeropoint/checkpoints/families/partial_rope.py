"""Rotary positions for part of a head: the setting of config.json, from GGUF's key."""

from zeropoint.checkpoints.families.record import Json
from zeropoint.checkpoints.settings.gguf_keys import GgufKeys


def partial_rope(keys: GgufKeys, config: Json) -> Json:
    """Return the rotary parameters of `config` with the part of a head that is rotated."""
    rope: Json = dict(config["rope_parameters"])  # type: ignore[call-overload]
    size = keys.integer("attention.key_length", int(config["head_dim"]))  # type: ignore[call-overload]
    rotated = keys.integer("rope.dimension_count", size)
    part = rotated / size  # transformers multiplies by it and rounds down
    rope["partial_rotary_factor"] = part if int(part * size) == rotated else (rotated + 0.5) / size
    return rope
