"""Rotary positions: pair i of a head's elements turns by position · inverse_frequency[i].

The frequencies are float32 and computed as transformers does (float32 results of each operation),
so that both turn by the same angles: at position 2,000 one unit in the last place is 1e-4 of a
turn.
"""

from dataclasses import dataclass
from math import ceil, floor, log, pi
from typing import TYPE_CHECKING

import numpy as np

from zeropoint.formats import F32
from zeropoint.models.header import Header

if TYPE_CHECKING:
    from zeropoint.models.architecture import Family


@dataclass(frozen=True, kw_only=True)
class Rope:
    """How one kind of layer turns its queries and keys."""

    dimensions: int  # leading elements of each head that turn; the rest stay
    interleaved: bool  # pairs are (2i, 2i+1); else (i, i + dimensions/2)
    frequencies: tuple[float, ...]  # float32 values, (dimensions/2,)
    long_frequencies: tuple[float, ...] | None  # for contexts beyond `original_context`
    original_context: int
    magnitude: float  # queries and keys are also multiplied by this

    def inverse_frequencies(self, context: int) -> F32:
        """Return (dimensions/2,) for sequences of up to `context` positions."""
        use_long = self.long_frequencies is not None and context > self.original_context
        return np.array(self.long_frequencies if use_long else self.frequencies, np.float32)


def read_rope(header: Header, family: "Family", head_size: int, *, windowed: bool) -> Rope:
    """Read a layer's rotary positions; windowed layers of Gemma have a base of their own."""
    dimensions = header.integer("rope.dimension_count", head_size)
    if not 0 < dimensions <= head_size or dimensions % 2:
        raise header.wrong("rope.dimension_count", f"{dimensions} of {head_size} cannot turn")
    base = header.number("rope.freq_base", 10000.0, above=1)
    if windowed and (family.window_base or family.default_window):
        base = header.number("rope.freq_base_swa", family.window_base or base, above=1)
    context = header.integer("context_length")
    original = header.integer("rope.scaling.original_context_length", 0) or context
    kind = header.text("rope.scaling.type", "linear")
    factor = header.number("rope.scaling.factor", 0.0) or header.number("rope.scale_linear", 0.0)
    factor = 1.0 if windowed and family.window_base else factor or 1.0
    if factor < 1e-6:
        raise header.wrong("rope.scaling.factor", f"{factor:g} cannot divide positions")
    magnitude = header.number("rope.scaling.attn_factor", 1.0)
    powers = _powers(base, dimensions)
    long = None
    if kind == "yarn" and factor != 1.0:
        short = _yarn(header, powers, base, factor, original)
        magnitude *= 0.1 * log(factor) + 1.0
    elif kind == "longrope":
        long = _divided(powers * _factors(header, "rope_factors_long.weight", powers.size))
        short = _divided(powers * _factors(header, "rope_factors_short.weight", powers.size))
    elif kind in ("linear", "none", "yarn"):
        short = _divided(powers) / np.float32(factor if kind == "linear" else 1.0)
        if "rope_freqs.weight" in header.checkpoint.tensors:
            short = short / _factors(header, "rope_freqs.weight", powers.size)
    else:
        raise header.wrong("rope.scaling.type", f"{kind!r} is not known here")
    return Rope(
        dimensions=dimensions,
        interleaved=family.interleaved,
        frequencies=tuple(short.tolist()),
        long_frequencies=None if long is None else tuple(long.tolist()),
        original_context=original,
        magnitude=magnitude,
    )


def _powers(base: float, dimensions: int) -> F32:
    """Return base^(2i / dimensions), correctly rounded to float32 (as torch's power is, nearly)."""
    exponents = np.arange(0, dimensions, 2).astype(np.float32) / np.float32(dimensions)
    return np.power(np.float64(base), exponents.astype(np.float64)).astype(np.float32)


def _divided(powers: F32) -> F32:
    return np.float32(1.0) / powers


def _factors(header: Header, name: str, size: int) -> F32:
    header.expect(name, (size,))
    tensor = header.checkpoint.read(name)
    factors = tensor.format.decode_blocks(tensor.data).reshape(-1)
    if not (np.isfinite(factors) & (factors > 0)).all():
        raise header.wrong("rope.scaling.type", f"{name} holds a factor that is not positive")
    return factors.astype(np.float32)


def _yarn(header: Header, powers: F32, base: float, factor: float, original: int) -> F32:
    """Slow pairs are interpolated, fast ones kept, those between mixed (arXiv:2309.00071, §3.2)."""
    dimensions = 2 * powers.size

    def dimension_of(rotations: float) -> float:
        return dimensions * log(original / (rotations * 2 * pi)) / (2 * log(base))

    beta_fast = header.number("rope.scaling.yarn_beta_fast", 32.0, above=0)
    beta_slow = header.number("rope.scaling.yarn_beta_slow", 1.0, above=0)
    low = max(floor(dimension_of(beta_fast)), 0)
    high = min(ceil(dimension_of(beta_slow)), dimensions - 1)
    ramp = (np.arange(powers.size, dtype=np.float32) - np.float32(low)) / np.float32(
        max(high - low, 0.001)
    )
    keep = np.float32(1.0) - np.clip(ramp, 0, 1)
    interpolated = np.float32(1.0) / (np.float32(factor) * powers)
    mixed: F32 = interpolated * (np.float32(1.0) - keep) + _divided(powers) * keep
    return mixed
