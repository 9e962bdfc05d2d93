"""Rounds tensors to block formats, to the nearest value or at random: fake quantization.

Blocks run along the last axis of a tensor, which is the axis that a product sums over. A block of
values x becomes

    scale = a rule of the format, from max |x| of the block
    value = x / scale, rounded to a value of the element type
    x    ≈ factor · scale · value

Nearest rounding is blind below half a step: the value of x = 0.2 steps is 0 each time. Stochastic
rounding takes the upper neighbour with the probability with which x is above the lower one, so that
the mean over many draws is x. It is nearest rounding after noise that is uniform in (−½, ½) steps:

    E[round(x + noise)] = x            variance (x − lower) · (upper − x) ≤ step² / 4

This holds only if nothing is clipped: a value beyond the largest one is rounded down each time. So
the scale must never be rounded down (Tseng et al. 2025, "Training LLMs with MXFP4",
arXiv:2502.20586; NVIDIA 2025, "Pretraining Large Language Models with NVFP4", arXiv:2509.25149).

A scale does not follow a gradient, and rounding has the gradient 1, also for clipped values (the
straight-through estimator; Bengio et al. 2013, arXiv:1308.3432): see `products`.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Generator, Tensor

from zeropoint.formats.floats import E4M3, FloatType
from zeropoint.formats.group_formats import MAX_WEIGHT
from zeropoint.formats.microscaling import E8M0_BIAS

TILE = 16  # rows and columns of the blocks of a weight matrix in NVFP4
NVFP4_HEADROOM = 17 / 16  # E4M3 rounds to the nearest scale, at worst by a factor of 16/17
NOISE_BITS = 16
_TINY = 2.0**-149  # the smallest float32

ScaleRule = Literal["floor", "ceil"]
_EXPONENT_BITS = {
    torch.float32: (torch.int32, 0x7F800000),
    torch.float64: (torch.int64, 0x7FF << 52),
}


class Blocks(NamedTuple):
    """A tensor that was rounded to blocks: (rows, groups, group size) values and their scales."""

    values: Tensor
    #: (rows, groups, 1); None: 1.
    scale: Tensor | None = None
    #: (1, 1) or (rows, 1), the scale of the tensor or of each row; None: 1.
    factor: Tensor | None = None

    def units(self) -> Tensor:
        """Return scale · value, (rows, columns): in units of `factor`, and exact in bfloat16."""
        values = self.values if self.scale is None else self.scale * self.values
        return values.flatten(1)

    def weights(self) -> Tensor:
        """Return what the blocks decode to, (rows, columns), with the roundings of `formats`."""
        if self.factor is None:
            return self.units()
        factor = self.factor[..., None]
        return ((factor if self.scale is None else factor * self.scale) * self.values).flatten(1)


class Rounding(Protocol):
    """A way to round a tensor to a format."""

    @property
    def group(self) -> int:
        """Columns that share a scale; 1 if any number of columns can be rounded."""

    def __call__(self, x: Tensor, draws: Generator | None = None) -> Blocks:
        """Round (rows, columns) float32 values; `draws` supplies random numbers.

        Infinities become the largest value of their block, and NaN stays NaN.
        """


def round_values(x: Tensor, type: FloatType, noise: Tensor | None = None) -> Tensor:
    """Round float32 or float64 values to a small float type: the nearest value, ties to even.

    Larger magnitudes, also infinities, become the largest value; NaN stays NaN. `noise`, in steps
    and between −½ and ½, makes the rounding stochastic.
    """
    x = x.clamp(-type.max, type.max)
    integers, mask = _EXPONENT_BITS[x.dtype]
    power = (x.view(integers) & mask).view(x.dtype)
    step = power.clamp_min_(type.smallest_normal).mul_(2.0**-type.mantissa_bits)
    steps = x.div_(step)
    if noise is not None:
        steps += noise
    return steps.round_().mul_(step)


def uniform_noise(x: Tensor, draws: Generator) -> Tensor:
    """Return noise for x, uniform on the 2^16 points (k + ½) · 2^−16 between −½ and ½."""
    words = torch.empty(-(-x.numel() * NOISE_BITS // 64), dtype=torch.int64, device=x.device)
    words.random_(-(2**63), None, generator=draws)
    integers = words.view(torch.int16)[: x.numel()].view(x.shape)
    return integers.to(x.dtype).add_(0.5).mul_(2.0**-NOISE_BITS)


def largest(x: Tensor) -> Tensor:
    """Return max |x| of each block, (…, 1) float64, at most the largest weight of `formats`."""
    return x.abs().amax(-1, keepdim=True).clamp_max_(float(MAX_WEIGHT)).double()


@dataclass(frozen=True)
class MXRounding:
    """MXFP8, MXFP6 or MXFP4: 32 elements with a scale that is a power of two.

    Rule "floor" is that of OCP, 2^(floor(log2 max |x|) − exponent of the largest value), which
    clips the largest elements; "ceil" is the smallest power of two with which nothing is clipped,
    2^ceil(log2(max |x| / largest value)). `shrink` multiplies x before it is rounded, and the scale
    is divided by it; with ¾ the rule "floor" does not clip either.
    """

    element: FloatType
    rule: ScaleRule = "ceil"
    stochastic: bool = False
    shrink: float = 1.0
    group: int = 32

    def __call__(self, x: Tensor, draws: Generator | None = None) -> Blocks:
        groups = _grouped(x, self.group)
        peak = largest(groups)
        if self.rule == "floor":
            exponent = torch.frexp(peak).exponent - 1 - self.element.max_exponent
        else:
            mantissa, exponent = torch.frexp(peak / self.element.max)
            exponent = exponent - (mantissa == 0.5).int()
        exponent = torch.where(peak > 0, exponent, -E8M0_BIAS).clamp(-E8M0_BIAS, E8M0_BIAS)
        scale = torch.ldexp(torch.ones_like(peak), exponent).float()
        scaled = groups / scale
        if self.shrink != 1:
            scaled *= self.shrink
        noise = uniform_noise(scaled, _given(draws)) if self.stochastic else None
        values = round_values(scaled, self.element, noise)
        return Blocks(values, scale / self.shrink)


@dataclass(frozen=True)
class NVFP4Rounding:
    """NVFP4: 16 elements of E2M1 with a scale in E4M3, and a scale of the tensor in float32.

        factor = max |x| of the tensor / (448 · 6)            times headroom
        scale  = max |x| of the block / 6 / factor            times headroom, as E4M3

    With a headroom of 17/16 a rounded scale is never so small that an element is clipped. `tiles`
    gives 16 × 16 elements one scale, so that a matrix and its transpose have the same values.
    """

    element: FloatType
    stochastic: bool = False
    headroom: float = 1.0
    tiles: bool = False
    group: int = 16

    def __call__(self, x: Tensor, draws: Generator | None = None) -> Blocks:
        factor = self._factor(x)
        groups = _grouped(_divide(x, factor), self.group)
        peak = largest(groups)
        if self.tiles:
            tiles = peak.reshape(-1, TILE, *peak.shape[1:]).amax(1, keepdim=True)
            peak = tiles.expand(-1, TILE, -1, -1).flatten(0, 1)
        scale = self._scale(peak)
        scaled = _divide(groups, scale)
        noise = uniform_noise(scaled, _given(draws)) if self.stochastic else None
        return Blocks(round_values(scaled, self.element, noise), scale, factor.reshape(1, 1))

    def _factor(self, x: Tensor) -> Tensor:
        peak = largest(x.reshape(-1)).squeeze()
        factor = (peak * self.headroom / (E4M3.max * self.element.max)).float()
        return torch.where(peak > 0, factor.clamp_min(_TINY), factor)

    def _scale(self, peak: Tensor) -> Tensor:
        """Return the scales in E4M3 of blocks with these peaks; a positive one stays positive."""
        wanted = peak * self.headroom / self.element.max
        scale = round_values(wanted, E4M3)
        scale = torch.where(wanted > 0, scale.clamp_min(E4M3.smallest), scale)
        if self.headroom > 1:  # the subnormal scales are further apart
            clips = scale * self.element.max < peak
            scale = torch.where(clips, scale + E4M3.smallest, scale).clamp_max(E4M3.max)
        return scale.float()


@dataclass(frozen=True)
class BFloat16Rounding:
    """Rounds each value to bfloat16, the precision of a product that is not quantized."""

    group: int = 1

    def __call__(self, x: Tensor, draws: Generator | None = None) -> Blocks:
        values = x.bfloat16().float()
        return Blocks(values.unsqueeze(1))


@dataclass(frozen=True)
class TernaryRounding:
    """BitNet b1.58: −1, 0 or 1 times the mean of |x|, which is stored as a float16.

    Ma et al. 2024, "The Era of 1-bit LLMs", arXiv:2402.17764. A matrix of zeros stays zero.
    """

    group: int = 1

    def __call__(self, x: Tensor, draws: Generator | None = None) -> Blocks:
        mean = x.abs().mean(dtype=torch.float64)
        factor = mean.clamp(2.0**-24, 65504.0).half().float()
        values = torch.round(x / factor).clamp(-1, 1).unsqueeze(1)
        return Blocks(values, factor=factor.reshape(1, 1))


@dataclass(frozen=True)
class Int8Rounding:
    """Integers −127 … 127 with a scale for each row, max |x| / 127: the inputs of BitNet."""

    group: int = 1

    def __call__(self, x: Tensor, draws: Generator | None = None) -> Blocks:
        scale = (largest(x) / 127).float().clamp_min(_TINY)
        values = torch.round(x / scale).clamp(-127, 127)
        return Blocks(values.unsqueeze(1), factor=scale)


def rotate(x: Tensor, signs: Tensor) -> Tensor:
    """Apply a random Hadamard transform to every `len(signs)` columns: (rows, columns).

    x · diag(signs) · H / √d, where H is the Hadamard matrix of d columns, a power of two. It is
    orthogonal: a product of two tensors whose last axes were rotated alike is unchanged. It spreads
    an outlier over d columns, so that it no longer sets the scale of its block.
    """
    size = len(signs)
    matrix = x.new_ones(1, 1)
    while len(matrix) < size:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    mixed: Tensor = _grouped(x, size) @ (signs[:, None] * matrix * size**-0.5)
    return mixed.reshape(x.shape)


def random_signs(size: int, draws: Generator) -> Tensor:
    """Return (size,) random signs, −1 or 1."""
    return torch.randint(0, 2, (size,), generator=draws).float() * 2 - 1


def _grouped(x: Tensor, size: int) -> Tensor:
    return x.reshape(*x.shape[:-1], -1, size)


def _divide(x: Tensor, scale: Tensor) -> Tensor:
    """Divide by scales; where a scale is 0, the result is 0."""
    ratio = x / scale
    return torch.where(scale == 0, 0.0, ratio) if bool((scale == 0).any()) else ratio


def _given(draws: Generator | None) -> Generator:
    if draws is None:
        raise ValueError("stochastic rounding needs a generator of random numbers")
    return draws
