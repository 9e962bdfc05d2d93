"""Rotary positions: pair i of a head's elements is rotated by position · inverse_frequency[i].

The frequencies are float32 and computed operation by operation as transformers does, so that both
rotate by the same angles. At position 2,000 one unit in the last place is 1e-4 of a full rotation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, floor, log, pi

import numpy as np
from numpy.typing import NDArray

from zeropoint.checkpoints.families import ModelFamily
from zeropoint.errors import printable
from zeropoint.formats import F32
from zeropoint.models.header import ModelHeader

_FREQS, _LONG, _SHORT = (
    f"rope_{name}.weight" for name in ("freqs", "factors_long", "factors_short")
)
MIN_FACTOR = 1e-6  # of the scaling of positions; its inverse is the maximum
FACTORS = frozenset({_FREQS, _LONG, _SHORT})  # tensors that divide frequencies


@dataclass(frozen=True, kw_only=True)
class Rope:
    """How the queries and keys of one kind of layer are rotated."""

    dimensions: int  # leading elements of each head that are rotated
    interleaved: bool  # pairs are (2i, 2i + 1); otherwise (i, i + dimensions / 2)
    frequencies: tuple[float, ...]  # radians per position, (dimensions / 2,) float32 values
    long_frequencies: tuple[float, ...] | None  # for contexts beyond `original_context`
    original_context: int
    magnitude: float  # queries and keys are also multiplied by this

    def inverse_frequencies(self, context: int) -> F32:
        """Return (dimensions / 2,) float32 for sequences of up to `context` positions."""
        use_long = self.long_frequencies is not None and context > self.original_context
        return np.array(self.long_frequencies if use_long else self.frequencies, np.float32)


def read_rope(header: ModelHeader, family: ModelFamily, head_size: int, *, windowed: bool) -> Rope:
    """Return a layer's rotary positions; windowed layers may have a base of their own (Gemma 3).

    As in llama.cpp, tensors of divisors have priority over the scaling type: Phi-3 files with both
    sets have no type. Scaling of positions (linear, yarn) applies in addition to the divisors.
    Raises CheckpointError for values that contradict each other.
    """
    plain = family.plain_window_rope
    own = windowed and (plain or family.window_rope_base is not None)
    dimensions = _read_dimensions(header, family, head_size, windowed=windowed)
    base = _read_base(header, family, windowed)
    if family.window_sizes:  # the file's divisors are all that scales positions
        powers = _powers(base, dimensions)
        divisors = np.float32(1.0) if own else _factors(header, _FREQS, powers.size)
        return Rope(
            dimensions=dimensions,
            interleaved=family.interleaved_rope,
            frequencies=tuple((np.float32(1.0) / powers / divisors).tolist()),
            long_frequencies=None,
            original_context=0,
            magnitude=1.0,
        )
    kind = header.text("rope.scaling.type", "linear")
    if kind not in ("none", "linear", "yarn", "longrope"):
        raise header.wrong(
            "rope.scaling.type",
            f"{printable(kind)!r} is not supported; supported: none, linear, yarn, longrope",
        )
    original = header.integer("rope.scaling.original_context_length", 0)
    original = original or header.integer("context_length")
    factor = header.number("rope.scaling.factor", 0.0) or header.number("rope.scale_linear", 0.0)
    factor = 1.0 if own or kind == "none" else factor or 1.0
    if not MIN_FACTOR <= factor <= 1 / MIN_FACTOR:
        limits = f"from {MIN_FACTOR:g} to {1 / MIN_FACTOR:g}"
        raise header.wrong("rope.scaling.factor", f"is {factor:g}; it must be {limits}")
    magnitude = header.number("rope.scaling.attn_factor", 1.0)
    magnitude = 1.0 if windowed and plain else magnitude
    if kind == "yarn":
        magnitude *= _yarn_magnitude(header, factor)

    def frequencies(powers: F32) -> F32:
        if kind == "yarn":
            return _yarn(header, family, powers, base, factor, original)
        return np.float32(1.0) / powers / np.float32(factor)

    short, long = _divided(header, dimensions, base, frequencies, own=own, both=kind == "longrope")
    return Rope(
        dimensions=dimensions,
        interleaved=family.interleaved_rope,
        frequencies=tuple(short.tolist()),
        long_frequencies=None if long is None else tuple(long.tolist()),
        original_context=original,
        magnitude=magnitude,
    )


def _read_dimensions(
    header: ModelHeader, family: ModelFamily, head_size: int, *, windowed: bool
) -> int:
    if family.rope_sections:
        header.get("rope.dimension_sections")  # a token of text has the same position in all
    key = f"rope.dimension_count{'_swa' if windowed and family.window_sizes else ''}"
    dimensions = header.integer(key, head_size)
    if not 0 < dimensions <= head_size or dimensions % 2:
        raise header.wrong(
            key,
            f"is {dimensions}; it must be even and from 2 to the head size, {head_size}",
        )
    if dimensions != head_size and not family.partial_rope:
        raise header.wrong(
            key,
            f"is {dimensions}; {header.architecture} files rotate whole heads of {head_size}",
        )
    return dimensions


def _read_base(header: ModelHeader, family: ModelFamily, windowed: bool) -> float:
    base = header.number("rope.freq_base", 10000.0, above=1)
    default_window = family.windows.default_positions if family.windows else 0
    if not (default_window or family.window_rope_base or family.plain_window_rope):
        return base
    windows = header.number("rope.freq_base_swa", family.window_rope_base or base, above=1)
    return windows if windowed else base


def _divided(
    header: ModelHeader,
    dimensions: int,
    base: float,
    frequencies: Callable[[F32], F32],
    *,
    own: bool,
    both: bool,
) -> tuple[F32, F32 | None]:
    """Return the frequencies for short and for long contexts, divided by the file's factors.

    A layer with an `own` base takes no factors. If `both` is true, the file must have both sets
    (longrope).
    """
    powers = _powers(base, dimensions)
    found = frozenset() if own else FACTORS & header.checkpoint.tensors.keys()
    if _FREQS in found and len(found) > 1:
        raise header.wrong(
            "rope.scaling.type", f"the file has both {_FREQS} and {_LONG} or {_SHORT}"
        )
    if _FREQS in found:
        return frequencies(powers) / _factors(header, _FREQS, powers.size), None
    if not found and (own or not both):
        return frequencies(powers), None
    long, short = (_factors(header, name, powers.size) for name in (_LONG, _SHORT))
    return frequencies(powers * short), frequencies(powers * long)


def _powers(base: float, dimensions: int) -> F32:
    """Return base^(2i / dimensions), correctly rounded to float32 (torch's power nearly is)."""
    exponents = np.arange(0, dimensions, 2).astype(np.float32) / np.float32(dimensions)
    return np.power(np.float64(base), exponents.astype(np.float64)).astype(np.float32)


def factors_of(family: ModelFamily) -> frozenset[str]:
    """Return the names of the tensors of divisors that files of a family may have."""
    if not family.rotates:
        return frozenset()
    return frozenset({_FREQS}) if family.window_sizes else FACTORS


def _factors(header: ModelHeader, name: str, size: int) -> F32:
    header.expect(name, (size,))
    tensor = header.checkpoint.read(name)
    factors = tensor.format.decode_blocks(tensor.data).reshape(-1)
    if not (np.isfinite(factors) & (factors > 0)).all():
        raise header.wrong(
            "rope.scaling.type", f"{name} holds a factor that is not positive and finite"
        )
    return factors.astype(np.float32)


def _yarn(
    header: ModelHeader,
    family: ModelFamily,
    powers: F32,
    base: float,
    factor: float,
    original: int,
) -> F32:
    """Interpolate slow pairs, keep fast ones, mix those between (arXiv:2309.00071, section 3.2)."""
    dimensions = 2 * powers.size

    def dimension_of(rotations: float) -> float:
        return dimensions * log(original / (rotations * 2 * pi)) / (2 * log(base))

    beta_fast = header.number("rope.scaling.yarn_beta_fast", 32.0, above=0)
    beta_slow = header.number("rope.scaling.yarn_beta_slow", 1.0, above=0)
    if factor == 1.0:
        return np.float32(1.0) / powers
    first, last = dimension_of(beta_fast), dimension_of(beta_slow)
    if family.yarn_truncates:
        first, last = floor(first), ceil(last)
    low, high = max(first, 0), min(last, dimensions - 1)
    ramp = (np.arange(powers.size, dtype=np.float32) - np.float32(low)) / np.float32(
        max(high - low, 0.001)
    )
    keep = np.float32(1.0) - np.clip(ramp, 0, 1)
    interpolated = np.float32(1.0) / (np.float32(factor) * powers)
    mixed: F32 = interpolated * (np.float32(1.0) - keep) + np.float32(1.0) / powers * keep
    return mixed


def _yarn_magnitude(header: ModelHeader, factor: float) -> float:
    """Return (0.1 ln f + 1) / (0.1 m ln f + 1), where m is the file's multiplier (default 0)."""
    multiplier = header.number("rope.scaling.yarn_log_multiplier", 0.0, above=-1e-9)
    extrapolation = header.number("rope.scaling.yarn_ext_factor", -1.0)
    if extrapolation != 1.0 and extrapolation >= 0:  # negative: not given
        # llama.cpp reads it for Grok only, and transformers does not read it.
        raise header.wrong("rope.scaling.yarn_ext_factor", "only 1 is implemented")
    growth = max(0.1 * log(factor), 0.0)
    return (growth + 1.0) / (multiplier * growth + 1.0)


def cosines_and_sines(rope: Rope, positions: NDArray[np.int64], context: int) -> tuple[F32, F32]:
    """Return cosines and sines (n, dimensions / 2); the angle is rounded to float32 first."""
    angles = positions.astype(np.float32)[:, None] * rope.inverse_frequencies(context)
    wide = angles.astype(np.float64)
    magnitude = np.float32(rope.magnitude)
    return (
        np.cos(wide).astype(np.float32) * magnitude,
        np.sin(wide).astype(np.float32) * magnitude,
    )


def rotate(rope: Rope, heads: F32, cosines: F32, sines: F32) -> F32:
    """Rotate the pairs of (n, heads, size): (a, b) becomes (a·cos − b·sin, b·cos + a·sin)."""
    size = rope.dimensions
    out = heads.copy()
    if rope.interleaved:
        first, second = (..., slice(0, size, 2)), (..., slice(1, size, 2))
    else:
        first, second = (..., slice(0, size // 2)), (..., slice(size // 2, size))
    a, b = heads[first], heads[second]
    cosine, sine = cosines[:, None], sines[:, None]
    out[first] = a * cosine - b * sine
    out[second] = b * cosine + a * sine
    return out
