"""Writes the rotary positions of a config.json as GGUF keys and factor tensors.

As in transformers 5, `rope_scaling` has priority over `rope_parameters`. Missing entries come from
the top of the file (`rope_theta`, `partial_rotary_factor`, `original_max_position_embeddings`).
Only the entries that the type uses are read. Gemma 3 has two sets, one for each kind of layer. Each
type needs:

    default   rope_theta
    linear    factor
    yarn      factor, beta_fast, beta_slow, and attention_factor or mscale and mscale_all_dim
    llama3    factor, low_freq_factor, high_freq_factor; GGUF stores a tensor of divisors
    proportional  partial_rotary_factor, factor; a tensor of divisors (Gemma 4)
    longrope  long_factor, short_factor, and attention_factor or factor; two tensors of divisors
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.checkpoints.settings.settings import Settings
from zeropoint.checkpoints.values import Float32, UInt32
from zeropoint.errors import printable

Metadata = dict[str, object]
Constants = dict[str, list[float]]

MAX_SECTION = 1 << 15  # pairs
STANDSTILL = 1e30  # divides a frequency so that its pair does not rotate in any context
TEMPERATURE = "llama_4_scaling_beta"
FULL, SLIDING = "full_attention", "sliding_attention"


@dataclass(frozen=True)
class RopeDefaults:
    """The defaults of transformers' class for settings that a config.json does not have."""

    theta: float = 10000.0
    sliding_theta: float = 10000.0  # the base of windowed layers, if there are `full_types`
    same_base: bool = False  # a file without a base of windowed layers means that of the others
    full_types: tuple[str, ...] = ()  # of layers without a window; (): one set for all layers
    partial: bool = False  # only the first part of a head may be rotated
    longrope_only: bool = False  # Phi-3
    sections: tuple[int, ...] = ()  # Qwen 3.5: pairs by time, height and width, and the rest
    temperature: bool = False  # Ministral 3: yarn, whose steps of positions sharpen the queries
    yarn_truncates: bool = True  # the only value of yarn's `truncate` that a file can express


@dataclass(frozen=True)
class RopeKeys:
    """GGUF keys without the architecture, and tensors by name."""

    metadata: Metadata
    constants: Constants
    parts: tuple[Settings, ...]  # the objects of config.json that were read


def read_rope(settings: Settings, defaults: RopeDefaults, head_size: int) -> RopeKeys:
    """Return the keys and factor tensors of the rotary positions.

    Raises CheckpointError for an entry that is missing or wrong, or that GGUF cannot express.
    """
    if defaults.full_types:
        return _read_both(settings, defaults, head_size)
    rope = _flat(settings, defaults.theta)
    kind = _kind(rope)
    if defaults.longrope_only and kind in ("su", "yarn"):
        kind = "longrope"  # older Phi-3 folders use these names
    types = ("default", "longrope") if defaults.longrope_only else tuple(_TYPES)
    types = ("yarn",) if defaults.temperature else types
    if kind not in types:
        shown, known = printable(repr(kind)), ", ".join(types)
        raise rope.wrong("rope_type", f"GGUF cannot express {shown}; supported: {known}")
    size = head_size
    partial = _partial(settings, rope)
    found: Metadata = {"rope.freq_base": Float32(rope.positive("rope_theta"))}
    if defaults.partial:
        size = int(head_size * partial)
        found["rope.dimension_count"] = UInt32(size)
    elif partial != 1.0:
        raise rope.wrong(
            "partial_rotary_factor", f"is {partial:g}; this family rotates whole heads"
        )
    if kind == "yarn" and _truncates(rope) != defaults.yarn_truncates:
        only = str(defaults.yarn_truncates).lower()
        raise rope.wrong("truncate", f"files of this family can only express {only}")
    if defaults.sections:
        found["rope.dimension_sections"] = _sections(rope, defaults.sections)
    keys, constants = _TYPES[kind](settings, rope, size)
    if defaults.temperature:
        keys |= _temperature(rope)
        if "rope.scaling.yarn_log_multiplier" in keys:
            keys.pop("rope.scaling.attn_factor", None)
    return RopeKeys(found | keys, constants, (rope,))


def _sections(rope: Settings, default: tuple[int, ...]) -> NDArray[np.int32]:
    """Return how many pairs rotate by time, height, width, and none of them; text needs none."""
    given, count = rope.get("mrope_section"), len(default)
    rope.get("mrope_interleaved")  # of text all positions are equal, whatever their order
    found = list(default) if given is None else given
    if not isinstance(found, list) or not all(isinstance(part, int) for part in found):
        raise rope.wrong("mrope_section", "expected a list of whole numbers")
    if len(found) > count or not all(0 <= part <= MAX_SECTION for part in found):
        raise rope.wrong("mrope_section", f"expected up to {count} numbers of pairs")
    return np.array(found + [0] * (count - len(found)), np.int32)


def _flat(settings: Settings, theta: float) -> Settings:
    """Return the one set of rotary parameters that all layers share."""
    scaling, parameters = settings.group("rope_scaling"), settings.group("rope_parameters")
    name, rope = ("rope_scaling", scaling) if scaling else ("rope_parameters", parameters)
    top = settings.get("rope_theta")
    base = theta if top is None else top
    dropped = parameters.get("rope_theta") if scaling else None
    if dropped is not None and "rope_theta" not in rope and dropped != base:
        raise settings.wrong(
            "rope_parameters.rope_theta",
            f"is {dropped!r}, but rope_scaling replaces all of rope_parameters and has no such "
            "rope_theta; put it into rope_scaling",
        )
    for kind in (FULL, SLIDING):
        if isinstance(rope.get(kind), Mapping):
            raise settings.wrong(
                f"{name}.{kind}", "only gemma3 files have rotary parameters for each kind of layer"
            )
    return Settings(settings.path, rope, {"rope_theta": base}, name)


def _kind(rope: Settings) -> str:
    old, kind = rope.get("type"), rope.get("rope_type")
    return str(kind or old or "default")


def _partial(settings: Settings, rope: Settings) -> float:
    top = settings.positive_or_none("partial_rotary_factor")
    own = rope.positive_or_none("partial_rotary_factor")
    partial = own if own is not None else top if top is not None else 1.0
    if partial > 1:
        raise rope.wrong(
            "partial_rotary_factor", f"is {partial:g}; it must be at most 1, the whole head"
        )
    return partial


def _read_both(settings: Settings, defaults: RopeDefaults, head_size: int) -> RopeKeys:
    """Return the keys of folders with parameters for each kind of layer (Gemma 3, OLMo 3)."""
    parameters = settings.group("rope_parameters")
    outer = Settings(settings.path, parameters, {}, "rope_parameters")
    sets = []
    local_key = "" if defaults.same_base else "rope_local_base_freq"
    for kind, key, theta in (
        (FULL, "rope_theta", defaults.theta),
        (SLIDING, local_key, defaults.sliding_theta),
    ):
        top = settings.get(key) if key else None
        base = {"rope_theta": theta if top is None else top}
        own = dict(outer.group(kind)) or {"rope_type": "default"}
        if kind == FULL and "proportional" not in defaults.full_types:  # its class ignores it
            own |= settings.group("rope_scaling")
        sets.append(Settings(settings.path, own, base, f"rope_parameters.{kind}"))
    full, sliding = sets
    kind, types = _kind(full), defaults.full_types
    if kind not in types:
        shown, known = printable(repr(kind)), ", ".join(types)
        raise full.wrong("rope_type", f"files of this family cannot express {shown}; only {known}")
    if _kind(sliding) != "default":
        raise sliding.wrong(
            "rope_type", "files of this family cannot scale the positions of windowed layers"
        )
    for rope in sets:
        if _partial(settings, rope) != 1.0 and _kind(rope) != "proportional":
            raise rope.wrong("partial_rotary_factor", "files of this family rotate whole heads")
    if kind == "yarn" and not _truncates(full):
        raise full.wrong("truncate", "transformers does not read it in this place")
    found: Metadata = {"rope.freq_base": Float32(full.positive("rope_theta"))}
    local = sliding.positive("rope_theta")
    assumed = full.positive("rope_theta") if defaults.same_base else defaults.sliding_theta
    if local != assumed:
        found["rope.freq_base_swa"] = Float32(local)
    read = _proportional if "proportional" in types else _TYPES[kind]
    keys, constants = read(settings, full, head_size)
    return RopeKeys(found | keys, constants, (outer, full, sliding))


def _original(settings: Settings, rope: Settings) -> int:
    """Return the context length before scaling, with transformers' order of priority."""
    own = rope.integer_or_none("original_max_position_embeddings")
    top = settings.integer_or_none("original_max_position_embeddings")
    return top or own or settings.integer("max_position_embeddings")


def _default(settings: Settings, rope: Settings, size: int) -> tuple[Metadata, Constants]:
    return {}, {}


def _linear(settings: Settings, rope: Settings, size: int) -> tuple[Metadata, Constants]:
    factor = rope.positive("factor")
    return {"rope.scaling.type": "linear", "rope.scaling.factor": Float32(factor)}, {}


def _yarn(settings: Settings, rope: Settings, size: int) -> tuple[Metadata, Constants]:
    original = _original(settings, rope)
    factor = rope.positive_or_none("factor")
    if factor is None and "factor" not in rope.given:
        raise rope.wrong("factor", "this key is missing")
    if factor is None:  # null, as in DeepSeek's folders
        factor = settings.integer("max_position_embeddings") / original
    if factor < 1:
        raise rope.wrong("factor", f"is {factor:g}; it must be at least 1")
    fast = rope.positive("beta_fast") if rope.get("beta_fast") else 32.0
    slow = rope.positive("beta_slow") if rope.get("beta_slow") else 1.0
    if _reversed(rope, size, original, fast, slow):
        raise rope.wrong(
            "beta_slow", f"is {slow:g}; that leaves no range below beta_fast, {fast:g}"
        )
    found: Metadata = {
        "rope.scaling.type": "yarn",
        "rope.scaling.factor": Float32(factor),
        "rope.scaling.original_context_length": UInt32(original),
    }
    # GGUF's runtimes multiply by 0.1 ln(factor) + 1; attn_factor is the remaining factor.
    rest = _yarn_magnitude(rope, factor) / yarn_magnitude(factor)
    if abs(rest - 1) > 1e-7:
        found["rope.scaling.attn_factor"] = Float32(rest)
    if (fast, slow) != (32.0, 1.0):
        found["rope.scaling.yarn_beta_fast"] = Float32(fast)
        found["rope.scaling.yarn_beta_slow"] = Float32(slow)
    return found, {}


def _temperature(rope: Settings) -> Metadata:
    """Return the keys of queries with a temperature, and of mscale as files of the family have it.

    Such a file means an `mscale` of 1; `rope.scaling.attn_factor` expresses any other.
    """
    rope.get("max_position_embeddings")  # a copy of the model's, which transformers ignores
    found: Metadata = {"attention.temperature_scale": Float32(rope.number(TEMPERATURE))}
    if rope.get("mscale") == 1 and rope.get("mscale_all_dim") and not rope.get("attention_factor"):
        found["rope.scaling.yarn_log_multiplier"] = Float32(rope.positive("mscale_all_dim"))
    return found


def yarn_magnitude(factor: float, scale: float = 1.0) -> float:
    """Return the factor that YaRN applies to queries and keys: 0.1 · scale · ln(factor) + 1.

    It is 1 for factors up to 1 (arXiv:2309.00071, section 3.4; `scale` is DeepSeek's mscale).
    """
    return 0.1 * scale * math.log(factor) + 1.0 if factor > 1 else 1.0


def _yarn_magnitude(rope: Settings, factor: float) -> float:
    given = rope.positive_or_none("attention_factor")
    above, below = rope.get("mscale"), rope.get("mscale_all_dim")
    if given is not None:
        return given
    if above and below:
        above, below = rope.number("mscale"), rope.number("mscale_all_dim")
        return yarn_magnitude(factor, above) / yarn_magnitude(factor, below)
    return yarn_magnitude(factor)


def _truncates(rope: Settings) -> bool:
    return rope.get("truncate") is None or rope.flag("truncate")


def _reversed(rope: Settings, size: int, original: int, fast: float, slow: float) -> bool:
    """Return whether the range between the betas is empty; there, programs differ."""
    base = rope.positive("rope_theta")
    if base <= 1:
        raise rope.wrong("rope_theta", f"is {base:g}; it must be greater than 1")

    def pair_of(rotations: float) -> float:
        return size * math.log(original / (rotations * 2 * math.pi)) / (2 * math.log(base))

    low, high = pair_of(fast), pair_of(slow)
    if _truncates(rope):
        low, high = math.floor(low), math.ceil(high)
    return max(low, 0) > min(high, size - 1)


def _llama3(settings: Settings, rope: Settings, size: int) -> tuple[Metadata, Constants]:
    low, high = rope.positive("low_freq_factor"), rope.positive("high_freq_factor")
    if high <= low:
        raise rope.wrong(
            "high_freq_factor", f"is {high}; it must be greater than low_freq_factor, {low}"
        )
    base, factor = rope.positive("rope_theta"), rope.positive("factor")
    original = _original(settings, rope)
    return {}, {"rope_freqs.weight": llama3_factors(size, base, factor, (low, high), original)}


def llama3_factors(
    size: int, base: float, factor: float, low_high: tuple[float, float], original: int
) -> list[float]:
    """Return the divisor of each of size / 2 frequencies: `factor` for slow pairs, 1 for fast ones.

    Between the wavelengths original / high and original / low, the divisor follows the
    interpolation that Llama 3.1 was trained with.
    """
    low, high = low_high
    found = []
    for power in np.arange(0, size, 2).astype(np.float32) / np.float32(size):
        frequency = np.float32(1.0) / np.float32(np.float64(base) ** np.float64(power))
        wavelength = 2 * math.pi / float(frequency)
        if wavelength < original / high:
            found.append(1.0)
        elif wavelength > original / low:
            found.append(factor)
        else:
            smooth = (original / wavelength - low) / (high - low)
            found.append(1 / ((1 - smooth) / factor + smooth))
    return found


def _proportional(settings: Settings, rope: Settings, size: int) -> tuple[Metadata, Constants]:
    """Rotate the first pairs only; the divisor of the others is so large that they stand still."""
    if _kind(rope) == "default":
        return {}, {"rope_freqs.weight": [1.0] * (size // 2)}
    rotated = int(_partial(settings, rope) * size // 2)
    factor = rope.positive_or_none("factor") or 1.0
    return {}, {"rope_freqs.weight": [factor] * rotated + [STANDSTILL] * (size // 2 - rotated)}


def _longrope(settings: Settings, rope: Settings, size: int) -> tuple[Metadata, Constants]:
    original = _original(settings, rope)
    if original < 2:
        raise rope.wrong(
            "original_max_position_embeddings", f"is {original}; it must be at least 2"
        )
    factor = rope.positive_or_none("factor")
    if factor is None:
        factor = settings.integer("max_position_embeddings") / original
    magnitude = rope.positive_or_none("attention_factor")
    if magnitude is None:
        magnitude = math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 else 1.0
    constants = {}
    for kind in ("long", "short"):
        factors = rope.get(f"{kind}_factor")
        if not isinstance(factors, list) or not all(_is_positive(f) for f in factors):
            raise rope.wrong(f"{kind}_factor", "expected a list of positive numbers")
        if len(factors) != size // 2:
            raise rope.wrong(
                f"{kind}_factor",
                f"has {len(factors)} numbers; rope_type longrope needs {size // 2}",
            )
        constants[f"rope_factors_{kind}.weight"] = [float(f) for f in factors]
    found: Metadata = {
        "rope.scaling.type": "longrope",
        "rope.scaling.original_context_length": UInt32(original),
        "rope.scaling.attn_factor": Float32(magnitude),
    }
    return found, constants


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e30


RopeReader = Callable[[Settings, Settings, int], tuple[Metadata, Constants]]
_TYPES: Mapping[str, RopeReader] = {
    "default": _default,
    "linear": _linear,
    "yarn": _yarn,
    "llama3": _llama3,
    "longrope": _longrope,
}
