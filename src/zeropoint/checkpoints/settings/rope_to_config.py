"""Writes the rotary positions of a GGUF file as `rope_parameters` of a config.json.

The inverse of `rope_to_gguf`. transformers has a name for most of what GGUF can express. Its
longrope with two equal sets of divisors stands for all the rest: any divisors, and any magnitude of
queries and keys.
"""

from collections.abc import Mapping

import numpy as np

from zeropoint.checkpoints.settings.gguf_keys import GgufKeys
from zeropoint.checkpoints.settings.rope_to_gguf import STANDSTILL, llama3_factors, yarn_magnitude

Json = dict[str, object]
Factors = Mapping[str, list[float]]

_FREQS, _LONG, _SHORT = (
    f"rope_{name}.weight" for name in ("freqs", "factors_long", "factors_short")
)


def rope_parameters(keys: GgufKeys, factors: Factors, size: int) -> Json:
    """Return the rotary parameters of an architecture's keys.

    `factors` are the values of the file's rope_* tensors; `size` is the number of rotated elements
    of a head. Raises UnsupportedModel for combinations that transformers cannot express.
    """
    kind = keys.text("rope.scaling.type", "linear")
    scale = keys.number("rope.scaling.factor", 0.0) or keys.number("rope.scale_linear", 0.0) or 1.0
    magnitude = keys.number("rope.scaling.attn_factor", 1.0) or 1.0
    rope: Json = {"rope_type": "default", "rope_theta": keys.number("rope.freq_base", 10000.0)}
    scaled = kind in ("linear", "yarn") and scale != 1.0
    if scaled and factors:
        raise keys.unsupported("rope.scaling.factor")
    if _LONG in factors and _SHORT in factors:
        original = _original(keys)
        return rope | _longrope(factors[_LONG], factors[_SHORT], original, magnitude)
    if kind not in ("none", "linear", "yarn") or (factors and _FREQS not in factors):
        raise keys.unsupported("rope.scaling.type")
    if scaled and kind == "yarn":
        return rope | _yarn(keys, scale, magnitude)
    if scaled and magnitude == 1.0:
        return rope | {"rope_type": "linear", "factor": scale}
    divisors = factors.get(_FREQS, [scale if scaled else 1.0] * (size // 2))
    if magnitude != 1.0 or (_FREQS in factors and set(divisors) != {1.0}):
        known = _proportional(divisors) or _llama3(rope, divisors) if magnitude == 1.0 else None
        context = keys.integer("context_length")
        return rope | (known or _longrope(divisors, divisors, context, magnitude))
    return rope


def _longrope(long: list[float], short: list[float], original: object, magnitude: float) -> Json:
    return {
        "rope_type": "longrope",
        "long_factor": long,
        "short_factor": short,
        "original_max_position_embeddings": original,
        "attention_factor": magnitude,
    }


def _original(keys: GgufKeys) -> int:
    """Return the context length that the model was trained with."""
    return keys.integer("rope.scaling.original_context_length", 0) or keys.integer("context_length")


def _yarn(keys: GgufKeys, factor: float, magnitude: float) -> Json:
    if keys.number("rope.scaling.yarn_ext_factor", -1.0) not in (1.0, -1.0):
        raise keys.unsupported("rope.scaling.yarn_ext_factor")
    multiplier = keys.number("rope.scaling.yarn_log_multiplier", 0.0)
    original = _original(keys)
    rope: Json = {
        "rope_type": "yarn",
        "factor": factor,
        "original_max_position_embeddings": original,
    }
    if magnitude == 1.0 and multiplier > 0:
        rope |= {"mscale": 1.0, "mscale_all_dim": multiplier}
    elif magnitude != 1.0 or multiplier:
        default_magnitude = yarn_magnitude(factor) / yarn_magnitude(factor, multiplier)
        rope["attention_factor"] = magnitude * default_magnitude
    for key, default in (("beta_fast", 32.0), ("beta_slow", 1.0)):
        if (beta := keys.number(f"rope.scaling.yarn_{key}", default)) != default:
            rope[key] = beta
    return rope


def _proportional(divisors: list[float]) -> Json | None:
    """Return the parameters of divisors that stop all pairs behind the first ones, if they do."""
    rotated = [divisor for divisor in divisors if divisor < STANDSTILL / 2]
    if len(rotated) == len(divisors) or divisors[: len(rotated)] != rotated:
        return None
    if len(set(rotated)) > 1:
        return None
    partial = len(rotated) / len(divisors)
    if int(partial * 2 * len(divisors) // 2) != len(rotated):
        partial = (len(rotated) + 0.25) / len(divisors)
    scaled: Json = {"factor": rotated[0]} if rotated and rotated[0] != 1.0 else {}
    return {"rope_type": "proportional", "partial_rotary_factor": partial} | scaled


def _llama3(rope: Json, factors: list[float]) -> Json | None:
    """Return the parameters that give these factors, if they are those of a published model."""
    size, base = 2 * len(factors), rope["rope_theta"]
    assert isinstance(base, float)
    for original in (8192, 4096, 16384, 2048, 1024, 512, 256, 128, 64, 32):
        for high in (4.0, 2.0, 8.0):
            scaling: Json = {
                "rope_type": "llama3",
                "factor": max(factors),
                "low_freq_factor": 1.0,
                "high_freq_factor": high,
                "original_max_position_embeddings": original,
            }
            computed = llama3_factors(size, base, max(factors), (1.0, high), original)
            if np.array_equal(np.array(computed, np.float32), np.array(factors, np.float32)):
                return scaling
    return None
